"""Urine output by body weight, the measure of oliguria (KDIGO, Kidney Int Suppl 2012;2:1-138: below 0.5 mL/kg/h)."""

import numpy as np

from gold.mortality.feature import ByName, Feature, Values
from gold.mortality.statistics import SPANS

FEATURES = tuple(
    Feature(f"urine_ml_kg_h{suffix}", f"Urine output by body weight{span.words} [mL/kg/h]")
    for suffix, span in SPANS.items()
)


def urine(window_hours: int, of: ByName) -> dict[str, Values]:
    """`FEATURES` by name, over the statistics of a stay and its `weight_kg`; NaN without either."""
    weight = of("weight_kg")
    weight = np.where(weight > 0, weight, np.nan)
    return {
        f"urine_ml_kg_h{suffix}": of(f"urine_sum{suffix}") / weight / min(span.hours or window_hours, window_hours)
        for suffix, span in SPANS.items()
    }
