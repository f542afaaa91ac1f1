"""Urine output by body weight, the measure of oliguria (KDIGO, Kidney Int Suppl 2012;2:1-138: below 0.5 mL/kg/h)."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from gold.mortality.feature import ByName, Feature
from gold.mortality.statistics import SPANS

FEATURES = tuple(
    Feature(f"urine_ml_kg_h{suffix}", f"Urine output by body weight{span.words} [mL/kg/h]")
    for suffix, span in SPANS.items()
)


def urine(window_hours: int, of: ByName) -> dict[str, Column]:
    """`FEATURES` by name, over the statistics of a stay and its `weight_kg`; null without either."""
    return {
        f"urine_ml_kg_h{suffix}": of(f"urine_sum{suffix}")
        / F.when(of("weight_kg") > 0, of("weight_kg"))
        / float(min(span.hours or window_hours, window_hours))
        for suffix, span in SPANS.items()
    }
