"""Simplified Acute Physiology Score (SAPS-I) of the stay's first 24 h.

Le Gall et al., Critical Care Medicine 1984;12:975-977: age and 13 physiological variables, each by its value
farthest from normal, 0 to 4 points. A variable without a measurement has no points and counts as normal in the
total. Published in mmol/L, BUN and glucose are converted from mg/dL; ventilation stands in for the respiratory rate
with 3 points.
"""

import numpy as np

from gold.mortality.feature import ByName, Feature, Values
from gold.mortality.scales import REST, Bands, highest, points, total

BUN_MG_DL = 2.8
"""mg/dL of urea nitrogen in one mmol/L of urea."""
GLUCOSE_MG_DL = 18
"""mg/dL of glucose in one mmol/L."""

AGE: Bands = ((76, 4), (66, 3), (56, 2), (46, 1), (REST, 0))
"""Completed years."""
VENTILATED_POINTS = 3
GCS: Bands = ((13, 0), (10, 1), (7, 2), (4, 3), (REST, 4))
URINE: Bands = ((5, 2), (3.5, 1), (0.7, 0), (0.5, 2), (0.2, 3), (REST, 4))
"""L in 24 h."""

EXTREMES: dict[str, tuple[tuple[str, ...], float, Bands]] = {
    "heart_rate": (("hr",), 1, ((180, 4), (140, 3), (110, 2), (70, 0), (55, 2), (40, 3), (REST, 4))),
    "systolic_pressure": (("sys_abp", "ni_sys_abp"), 1, ((190, 4), (150, 2), (80, 0), (55, 2), (REST, 4))),
    "temperature": (("temp",), 1, ((41, 4), (39, 3), (38.5, 1), (36, 0), (34, 1), (32, 2), (30, 3), (REST, 4))),
    "respiratory_rate": (("resp_rate",), 1, ((50, 4), (35, 3), (25, 1), (12, 0), (10, 1), (6, 2), (REST, 4))),
    "urea": (("bun",), BUN_MG_DL, ((55, 4), (36, 3), (29, 2), (7.5, 1), (3.5, 0), (REST, 1))),
    "hematocrit": (("hct",), 1, ((60, 4), (50, 2), (46, 1), (30, 0), (20, 2), (REST, 4))),
    "white_cells": (("wbc",), 1, ((40, 4), (20, 2), (15, 1), (3, 0), (1, 2), (REST, 4))),
    "glucose": (("glucose",), GLUCOSE_MG_DL, ((44.5, 4), (27.8, 3), (14, 1), (3.9, 0), (2.8, 2), (1.6, 3), (REST, 4))),
    "potassium": (("k",), 1, ((7, 4), (6, 3), (5.5, 1), (3.5, 0), (3, 1), (2.5, 2), (REST, 4))),
    "sodium": (("na",), 1, ((180, 4), (161, 3), (156, 2), (151, 1), (130, 0), (120, 2), (110, 3), (REST, 4))),
    "bicarbonate": (("hco3",), 1, ((40, 3), (30, 1), (20, 0), (10, 1), (5, 3), (REST, 4))),
}
"""Variable: its concepts, how much of theirs is one published unit, bands. The worse of lowest and highest counts."""

VARIABLES = ("age", *EXTREMES, "urine", "gcs")

FEATURES = (
    *(Feature(f"saps_i_{v}", f"SAPS-I, points for {v.replace('_', ' ')} in the first 24 h [0-4]") for v in VARIABLES),
    Feature("saps_i", "SAPS-I of the first 24 h [0-56 points]"),
)


def saps(of: ByName) -> dict[str, Values]:
    """`FEATURES` by name, over the statistics and composites of a stay and its `age` in years."""
    components = _components(of)
    return {**{f"saps_i_{v}": components[v] for v in VARIABLES}, "saps_i": total(list(components.values()))}


def _components(of: ByName) -> dict[str, Values]:
    worst = {
        name: highest(
            *(points(of(f"{concept}_{end}_first_24h") / unit, bands) for concept in concepts for end in ("min", "max"))
        )
        for name, (concepts, unit, bands) in EXTREMES.items()
    }
    ventilated = of("ventilated_share_first_24h") > 0
    return {
        "age": points(np.floor(of("age")), AGE),
        **worst,
        "respiratory_rate": np.where(ventilated, VENTILATED_POINTS, worst["respiratory_rate"]),
        "urine": points(of("urine_sum_first_24h") / 1000, URINE),
        "gcs": points(of("gcs_min_first_24h"), GCS),
    }
