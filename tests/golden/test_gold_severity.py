"""SOFA and SAPS-I: the scales at their edges, and worked examples."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from gold.mortality import saps, sofa
from gold.mortality.feature import Values
from gold.mortality.scales import Bands, points
from tests.conftest import assert_rows

SOFA_INPUTS = (
    "_pf_ratio_min", "_pf_ratio_ventilated_min", "platelets_min", "bilirubin_max", "map_min", "ni_map_min", "gcs_min",
    "creatinine_max", "urine_sum",
)  # fmt: skip
SAPS_INPUTS = (
    *(
        f"{concept}_{end}_first_24h"
        for concepts, _, _ in saps.EXTREMES.values()
        for concept in concepts
        for end in ("min", "max")
    ),
    "age", "ventilated_share_first_24h", "urine_sum_first_24h", "gcs_min_first_24h",
)  # fmt: skip


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        (sofa.RESPIRATION, {400: 0, 399.9: 1, 300: 1, 299.9: 2, 50: 2}),
        (sofa.RESPIRATION_VENTILATED, {200: 0, 199.9: 3, 100: 3, 99.9: 4}),
        (sofa.COAGULATION, {150: 0, 149: 1, 99: 2, 49: 3, 19: 4}),
        (sofa.LIVER, {1.1: 0, 1.2: 1, 2: 2, 6: 3, 12: 4}),
        (sofa.CARDIOVASCULAR, {70: 0, 69: 1}),
        (sofa.NERVOUS, {15: 0, 14: 1, 13: 1, 12: 2, 10: 2, 9: 3, 6: 3, 5: 4}),
        (sofa.RENAL_CREATININE, {1.1: 0, 1.2: 1, 2: 2, 3.5: 3, 5: 4}),
        (sofa.RENAL_URINE, {500: 0, 499: 3, 200: 3, 199: 4}),
        (saps.AGE, {45: 0, 46: 1, 55: 1, 56: 2, 66: 3, 75: 3, 76: 4}),
        (saps.GCS, {15: 0, 13: 0, 12: 1, 10: 1, 9: 2, 7: 2, 6: 3, 4: 3, 3: 4}),
        (saps.URINE, {5.1: 2, 4.9: 1, 3.4: 0, 0.7: 0, 0.6: 2, 0.4: 3, 0.1: 4}),
        (saps.EXTREMES["heart_rate"][2], {39: 4, 40: 3, 54: 3, 55: 2, 69: 2, 70: 0, 109: 0, 110: 2, 140: 3, 180: 4}),
        (saps.EXTREMES["systolic_pressure"][2], {54: 4, 55: 2, 79: 2, 80: 0, 149: 0, 150: 2, 190: 4}),
        (
            saps.EXTREMES["temperature"][2],
            {29.9: 4, 30: 3, 32: 2, 34: 1, 36: 0, 38.4: 0, 38.5: 1, 38.9: 1, 39: 3, 41: 4},
        ),
        (saps.EXTREMES["respiratory_rate"][2], {5: 4, 6: 2, 9: 2, 10: 1, 12: 0, 24: 0, 25: 1, 35: 3, 50: 4}),
        (saps.EXTREMES["urea"][2], {3.4: 1, 3.5: 0, 7.4: 0, 7.5: 1, 29: 2, 36: 3, 55: 4}),
        (saps.EXTREMES["hematocrit"][2], {19: 4, 20: 2, 30: 0, 45.9: 0, 46: 1, 50: 2, 60: 4}),
        (saps.EXTREMES["white_cells"][2], {0.9: 4, 1: 2, 3: 0, 14.9: 0, 15: 1, 20: 2, 40: 4}),
        (saps.EXTREMES["glucose"][2], {1.5: 4, 1.6: 3, 2.8: 2, 3.9: 0, 13.9: 0, 14: 1, 27.8: 3, 44.5: 4}),
        (saps.EXTREMES["potassium"][2], {2.4: 4, 2.5: 2, 3: 1, 3.5: 0, 5.4: 0, 5.5: 1, 6: 3, 7: 4}),
        (saps.EXTREMES["sodium"][2], {109: 4, 110: 3, 120: 2, 130: 0, 150: 0, 151: 1, 156: 2, 161: 3, 180: 4}),
        (saps.EXTREMES["bicarbonate"][2], {4: 4, 5: 3, 10: 1, 20: 0, 29: 0, 30: 1, 40: 3}),
    ],
)
def test_points_at_the_edges_of_the_published_bands(bands: Bands, expected: dict[float, int]) -> None:
    given = points(np.array([*expected, np.nan]), bands)
    assert given[:-1].tolist() == list(expected.values())
    assert np.isnan(given[-1])


def column(values: Sequence[float | None]) -> Values:
    return np.array([np.nan if value is None else value for value in values])


def rows_of(stays: Sequence[str], columns: Mapping[str, Values]) -> list[dict[str, object]]:
    """A record a stay, with None for what is not a number."""
    cells = zip(*(values.tolist() for values in columns.values()), strict=True)
    return [
        {"stay_id": stay, **{name: None if np.isnan(cell) else cell for name, cell in zip(columns, row, strict=True)}}
        for stay, row in zip(stays, cells, strict=True)
    ]


def test_sofa_worked_example() -> None:
    """s1: a patient in septic shock who gets better; s2: nothing measured but the GCS of the first day."""
    first = (250.0, 180.0, 90.0, 2.5, None, 60.0, 9.0, 3.6, 150.0)
    last = (350.0, None, 160.0, 1.0, 80.0, 75.0, 15.0, 1.5, 1800.0)
    alone = (None, None, None, None, None, None, 14.0, None, None)
    names = [f"{name}{period}" for period in sofa.PERIODS for name in SOFA_INPUTS]
    stays = zip((*first, *last), (*alone, *(None,) * 9), strict=True)
    columns = sofa.sofa(dict(zip(names, map(column, stays), strict=True)).__getitem__)
    assert list(columns) == [f.name for f in sofa.FEATURES]

    def row(stay: str, of_first: tuple[float | None, ...], of_last: tuple[float | None, ...]) -> dict[str, object]:
        by_name: dict[str, float | None] = {}
        for period, values in zip(sofa.PERIODS, (of_first, of_last), strict=True):
            names = (*(f"sofa_{component}{period}" for component in sofa.COMPONENTS), f"sofa{period}")
            by_name |= dict(zip(names, values, strict=True))
        return {"stay_id": stay, **by_name}

    assert_rows(
        rows_of(("s1", "s2"), columns),
        [
            {**row("s1", (3, 2, 2, 1, 3, 4, 15), (1, 0, 0, 0, 0, 1, 2)), "sofa_change": -13},
            {**row("s2", (None, None, None, None, 1, None, 1), (None,) * 7), "sofa_change": None},
        ],
        key=("stay_id",),
    )


def test_saps_worked_example() -> None:
    """s1: every variable off its normal band; s2: 40 years old and nothing measured; s3: nothing known."""
    given: dict[str, float | None] = {
        "age": 72.9, "hr_min": 60, "hr_max": 145, "sys_abp_min": 85, "sys_abp_max": 160, "ni_sys_abp_min": 50,
        "ni_sys_abp_max": 120, "temp_min": 35.5, "temp_max": 39.2, "resp_rate_min": 8, "resp_rate_max": 52,
        "bun_min": 20, "bun_max": 28 * 3, "hct_min": 25, "hct_max": 31, "wbc_min": 12, "wbc_max": 21,
        "glucose_min": 45, "glucose_max": 300, "k_min": 3.2, "k_max": 6.1, "na_min": 128, "na_max": 140,
        "hco3_min": 9, "hco3_max": 24, "ventilated_share": 0.5, "urine_sum": 450, "gcs_min": 6,
    }  # fmt: skip
    stays = {
        name: column((given[name.removesuffix("_first_24h")], 40.0 if name == "age" else None, None))
        for name in SAPS_INPUTS
    }
    columns = saps.saps(stays.__getitem__)
    assert list(columns) == [f.name for f in saps.FEATURES]
    expected = {
        "age": 3, "heart_rate": 3, "systolic_pressure": 4, "temperature": 3, "respiratory_rate": 3, "urea": 2,
        "hematocrit": 2, "white_cells": 2, "glucose": 3, "potassium": 3, "sodium": 2, "bicarbonate": 3, "urine": 3,
        "gcs": 3,
    }  # fmt: skip
    nothing: dict[str, float | None] = dict.fromkeys(expected)

    def row(stay: str, of: dict[str, float | None], total: float | None) -> dict[str, object]:
        return {"stay_id": stay, **{f"saps_i_{v}": of[v] for v in saps.VARIABLES}, "saps_i": total}

    assert_rows(
        rows_of(("s1", "s2", "s3"), columns),
        [row("s1", dict(expected), 39), row("s2", {**nothing, "age": 0}, 0), row("s3", nothing, None)],
        key=("stay_id",),
    )
