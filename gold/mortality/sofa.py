"""Sequential Organ Failure Assessment of the first and the last 24 h of the window.

Vincent et al., Intensive Care Medicine 1996;22:707-710. Worst value of each period; an organ without a measurement
has no points and counts as normal in the total. The event tables hold no vasopressor doses, so the cardiovascular
component is 1 point for a mean arterial pressure below 70 mmHg and never more: totals are a lower bound.
"""

import numpy as np

from gold.mortality.feature import ByName, Feature, Values
from gold.mortality.scales import REST, Bands, highest, points, total

PERIODS = {"_first_24h": "the first 24 h", "_last_24h": "the last 24 h"}

RESPIRATION: Bands = ((400, 0), (300, 1), (REST, 2))
"""PaO2/FiO2 [mmHg] of any hour; 3 and 4 points need ventilatory support."""
RESPIRATION_VENTILATED: Bands = ((200, 0), (100, 3), (REST, 4))
COAGULATION: Bands = ((150, 0), (100, 1), (50, 2), (20, 3), (REST, 4))
"""Platelets [10^9/L]."""
LIVER: Bands = ((12, 4), (6, 3), (2, 2), (1.2, 1), (REST, 0))
"""Bilirubin [mg/dL]."""
CARDIOVASCULAR: Bands = ((70, 0), (REST, 1))
"""Mean arterial pressure [mmHg]."""
NERVOUS: Bands = ((15, 0), (13, 1), (10, 2), (6, 3), (REST, 4))
"""Glasgow coma scale."""
RENAL_CREATININE: Bands = ((5, 4), (3.5, 3), (2, 2), (1.2, 1), (REST, 0))
"""Creatinine [mg/dL]."""
RENAL_URINE: Bands = ((500, 0), (200, 3), (REST, 4))
"""Urine [mL/day]."""

COMPONENTS = ("respiration", "coagulation", "liver", "cardiovascular", "nervous", "renal")

FEATURES = (
    *(
        Feature(f"sofa_{component}{period}", f"SOFA, {component} component in {words} [0-4 points]")
        for period, words in PERIODS.items()
        for component in COMPONENTS
    ),
    *(
        Feature(f"sofa{period}", f"SOFA in {words}, without vasopressors [0-21 points]")
        for period, words in PERIODS.items()
    ),
    Feature("sofa_change", "SOFA of the last 24 h minus that of the first [points]"),
)


def sofa(of: ByName) -> dict[str, Values]:
    """`FEATURES` by name, over the statistics and composites of a stay."""
    columns: dict[str, Values] = {}
    totals: dict[str, Values] = {}
    for period in PERIODS:
        components = _components(period, of)
        columns |= {f"sofa_{name}{period}": components[name] for name in COMPONENTS}
        totals[f"sofa{period}"] = total(list(components.values()))
    return {**columns, **totals, "sofa_change": totals["sofa_last_24h"] - totals["sofa_first_24h"]}


def _components(period: str, of: ByName) -> dict[str, Values]:
    map_min = np.fmin(of(f"map_min{period}"), of(f"ni_map_min{period}"))
    return {
        "respiration": highest(
            points(of(f"_pf_ratio_min{period}"), RESPIRATION),
            points(of(f"_pf_ratio_ventilated_min{period}"), RESPIRATION_VENTILATED),
        ),
        "coagulation": points(of(f"platelets_min{period}"), COAGULATION),
        "liver": points(of(f"bilirubin_max{period}"), LIVER),
        "cardiovascular": points(map_min, CARDIOVASCULAR),
        "nervous": points(of(f"gcs_min{period}"), NERVOUS),
        "renal": highest(
            points(of(f"creatinine_max{period}"), RENAL_CREATININE),
            points(of(f"urine_sum{period}"), RENAL_URINE),
        ),
    }
