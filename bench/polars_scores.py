"""The rival's severity scores: SAPS-I and SOFA from the statistics of a stay, in polars.

The bands are written again: a rival that took them from `gold/` would import Spark, and be charged for it.
"""

from collections.abc import Sequence

import polars as pl

Bands = Sequence[tuple[float, int]]
REST = float("-inf")

AGE: Bands = ((76, 4), (66, 3), (56, 2), (46, 1), (REST, 0))
GCS: Bands = ((13, 0), (10, 1), (7, 2), (4, 3), (REST, 4))
URINE: Bands = ((5, 2), (3.5, 1), (0.7, 0), (0.5, 2), (0.2, 3), (REST, 4))
SAPS: dict[str, tuple[tuple[str, ...], float, Bands]] = {
    "heart_rate": (("hr",), 1, ((180, 4), (140, 3), (110, 2), (70, 0), (55, 2), (40, 3), (REST, 4))),
    "systolic_pressure": (("sys_abp", "ni_sys_abp"), 1, ((190, 4), (150, 2), (80, 0), (55, 2), (REST, 4))),
    "temperature": (("temp",), 1, ((41, 4), (39, 3), (38.5, 1), (36, 0), (34, 1), (32, 2), (30, 3), (REST, 4))),
    "respiratory_rate": (("resp_rate",), 1, ((50, 4), (35, 3), (25, 1), (12, 0), (10, 1), (6, 2), (REST, 4))),
    "urea": (("bun",), 2.8, ((55, 4), (36, 3), (29, 2), (7.5, 1), (3.5, 0), (REST, 1))),
    "hematocrit": (("hct",), 1, ((60, 4), (50, 2), (46, 1), (30, 0), (20, 2), (REST, 4))),
    "white_cells": (("wbc",), 1, ((40, 4), (20, 2), (15, 1), (3, 0), (1, 2), (REST, 4))),
    "glucose": (("glucose",), 18, ((44.5, 4), (27.8, 3), (14, 1), (3.9, 0), (2.8, 2), (1.6, 3), (REST, 4))),
    "potassium": (("k",), 1, ((7, 4), (6, 3), (5.5, 1), (3.5, 0), (3, 1), (2.5, 2), (REST, 4))),
    "sodium": (("na",), 1, ((180, 4), (161, 3), (156, 2), (151, 1), (130, 0), (120, 2), (110, 3), (REST, 4))),
    "bicarbonate": (("hco3",), 1, ((40, 3), (30, 1), (20, 0), (10, 1), (5, 3), (REST, 4))),
}
RESPIRATION: Bands = ((400, 0), (300, 1), (REST, 2))
RESPIRATION_VENTILATED: Bands = ((200, 0), (100, 3), (REST, 4))
COAGULATION: Bands = ((150, 0), (100, 1), (50, 2), (20, 3), (REST, 4))
LIVER: Bands = ((12, 4), (6, 3), (2, 2), (1.2, 1), (REST, 0))
CARDIOVASCULAR: Bands = ((70, 0), (REST, 1))
NERVOUS: Bands = ((15, 0), (13, 1), (10, 2), (6, 3), (REST, 4))
RENAL_CREATININE: Bands = ((5, 4), (3.5, 3), (2, 2), (1.2, 1), (REST, 0))
RENAL_URINE: Bands = ((500, 0), (200, 3), (REST, 4))


def saps() -> dict[str, pl.Expr]:
    worst = {
        name: pl.max_horizontal(
            points(pl.col(f"{concept}_{end}_first_24h") / unit, bands) for concept in concepts for end in ("min", "max")
        )
        for name, (concepts, unit, bands) in SAPS.items()
    }
    ventilated = pl.col("ventilated_share_first_24h") > 0
    parts = {
        "age": points(pl.col("age").floor(), AGE),
        **worst,
        "respiratory_rate": pl.when(ventilated).then(3.0).otherwise(worst["respiratory_rate"]),
        "urine": points(pl.col("urine_sum_first_24h") / 1000, URINE),
        "gcs": points(pl.col("gcs_min_first_24h"), GCS),
    }
    return {**{f"saps_i_{name}": part for name, part in parts.items()}, "saps_i": total(list(parts.values()))}


def sofa() -> dict[str, pl.Expr]:
    columns: dict[str, pl.Expr] = {}
    for period in ("_first_24h", "_last_24h"):
        parts = _organs(period)
        columns |= {f"sofa_{name}{period}": part for name, part in parts.items()}
        columns[f"sofa{period}"] = total(list(parts.values()))
    return columns | {"sofa_change": columns["sofa_last_24h"] - columns["sofa_first_24h"]}


def _organs(period: str) -> dict[str, pl.Expr]:
    of = {
        name: pl.col(f"{name}{period}")
        for name in ("_pf_ratio_min", "_pf_ratio_ventilated_min", "platelets_min", "bilirubin_max", "map_min")
    }
    pressure = pl.min_horizontal(of["map_min"], f"ni_map_min{period}")
    return {
        "respiration": pl.max_horizontal(
            points(of["_pf_ratio_min"], RESPIRATION), points(of["_pf_ratio_ventilated_min"], RESPIRATION_VENTILATED)
        ),
        "coagulation": points(of["platelets_min"], COAGULATION),
        "liver": points(of["bilirubin_max"], LIVER),
        "cardiovascular": points(pressure, CARDIOVASCULAR),
        "nervous": points(pl.col(f"gcs_min{period}"), NERVOUS),
        "renal": pl.max_horizontal(
            points(pl.col(f"creatinine_max{period}"), RENAL_CREATININE),
            points(pl.col(f"urine_sum{period}"), RENAL_URINE),
        ),
    }


def points(value: pl.Expr, bands: Bands) -> pl.Expr:
    """Points of the band that the value falls in; null where there is none."""
    score = pl.lit(None, pl.Float64)
    for lowest, band in reversed(bands):
        score = pl.when(value >= lowest).then(pl.lit(float(band))).otherwise(score)
    return score


def total(parts: Sequence[pl.Expr]) -> pl.Expr:
    """Sum, an unmeasured part taken as normal; null where nothing was measured."""
    return pl.when(pl.coalesce(*parts).is_not_null()).then(pl.sum_horizontal(parts))
