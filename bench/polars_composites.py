"""The rival's composites: measurements of the same hour combined, and their course over the window, in polars."""

from collections.abc import Sequence

import polars as pl

from bench.polars_events import NAMES
from bench.polars_spans import SPANS, STATISTICS, WINDOW_HOURS

_COMPOSITES = {
    "": (*STATISTICS[1:6], "last"),
    "_first_24h": ("mean",),
    "_last_24h": ("mean", "min", "max"),
    "_last_6h": ("mean",),
}


def _made() -> dict[str, pl.Expr]:
    c = pl.col
    return {
        "shock_index": c("hr") / not_zero(c("sys")),
        "modified_shock_index": c("hr") / not_zero(c("map")),
        "pulse_pressure": c("sys") - c("dias"),
        "pf_ratio": c("pao2") / not_zero(c("fio2")),
        "sf_ratio": c("sao2") / not_zero(c("fio2")),
        "rox_index": c("sao2") / not_zero(c("fio2") * c("resp_rate")),
        "aa_gradient": c("fio2") * 713 - c("paco2") / 0.8 - c("pao2"),
        "bun_creatinine": c("bun") / not_zero(c("creatinine")),
        "osmolality": 2 * c("na") + c("glucose") / 18 + c("bun") / 2.8,
        "cation_gap": c("na") + c("k") - c("hco3"),
    }


def not_zero(value: pl.Expr) -> pl.Expr:
    return pl.when(value != 0).then(value)


OF_HOURS = (
    *(f"{name}_{statistic}{span}" for span, kept in _COMPOSITES.items() for name in _made() for statistic in kept),
    *(f"ventilated_share{span}" for span in SPANS),
)

_MEANS = ("hr", "resp_rate", "sao2", "bun", "creatinine", "na", "k", "hco3", "glucose", "paco2")
_PRESSURES = {"sys": ("sys_abp", "ni_sys_abp"), "dias": ("dias_abp", "ni_dias_abp"), "map": ("map", "ni_map")}
_EXTREMES = ("pao2", "fio2", "mech_vent")
CARRIED_HOURS = 8


def hourly(inside: pl.DataFrame) -> pl.DataFrame:
    """One row a stay and hour that has any of the measurements which the composites combine."""
    used = (*_MEANS, *_EXTREMES, *(concept for pair in _PRESSURES.values() for concept in pair))
    by_concept = (
        inside.filter(pl.col("concept").is_in(pl.Series(used, dtype=NAMES).implode()))
        .with_columns(hour=pl.min_horizontal(pl.col("minute") // 60, WINDOW_HOURS - 1))
        .group_by("stay_id", "hour", "concept")
        .agg(mean=pl.col("value").mean(), low=pl.col("value").min(), high=pl.col("value").max())
    )

    def hours(concepts: Sequence[str], value: str) -> pl.DataFrame:
        rows = by_concept.filter(pl.col("concept").is_in(pl.Series(concepts, dtype=NAMES).implode()))
        return rows.pivot(on="concept", on_columns=list(concepts), index=["stay_id", "hour"], values=value)

    wide = by_concept.select("stay_id", "hour").unique()
    for concepts, value in ((used[:-9], "mean"), (used[-6:], "mean"), (("pao2",), "low"), (used[-8:-6], "high")):
        wide = wide.join(hours(concepts, value), on=["stay_id", "hour"], how="left")
    pressures = {name: pl.coalesce(*pair) for name, pair in _PRESSURES.items()}
    carried = {"fio2": _carried("fio2"), "ventilated": _carried("mech_vent").fill_null(0.0)}
    return wide.sort("stay_id", "hour").with_columns(**pressures, **carried)


def _carried(column: str) -> pl.Expr:
    charted_at = pl.when(pl.col(column).is_not_null()).then("hour").forward_fill().over("stay_id")
    value = pl.col(column).forward_fill().over("stay_id")
    return pl.when(pl.col("hour") - charted_at <= CARRIED_HOURS).then(value)


def composites(hours: pl.DataFrame) -> pl.DataFrame:
    aggregates = [
        _of_hours(name, statistic, span).alias(f"{name}_{statistic}{span}")
        for span, kept in _COMPOSITES.items()
        for name in _made()
        for statistic in kept
    ]
    for span, within in SPANS.items():
        first, end = within or (0, WINDOW_HOURS)
        aggregates.append((_when(span, pl.col("ventilated")).sum() / (end - first)).alias(f"ventilated_share{span}"))
    for span in ("_first_24h", "_last_24h"):
        ratio = _when(span, pl.col("pf_ratio"))
        aggregates += [
            ratio.min().alias(f"_pf_ratio_min{span}"),
            pl.when(pl.col("ventilated") == 1).then(ratio).min().alias(f"_pf_ratio_ventilated_min{span}"),
        ]
    return hours.with_columns(**_made()).group_by("stay_id").agg(aggregates)


def _when(span: str, value: pl.Expr) -> pl.Expr:
    hours = SPANS[span]
    return value if hours is None else pl.when(pl.col("hour").is_between(hours[0], hours[1] - 1)).then(value)


def _of_hours(name: str, statistic: str, span: str) -> pl.Expr:
    y = _when(span, pl.col(name))
    if statistic == "last":
        return y.drop_nulls().last()
    if statistic != "slope":
        expression: pl.Expr = getattr(y, statistic)()
        return expression
    x = pl.when(pl.col(name).is_not_null()).then(pl.col("hour") - WINDOW_HOURS / 2)
    n = y.count()
    spread = n * (x * x).sum() - x.sum() ** 2
    return pl.when((n > 1) & (spread > 1e-9)).then((n * (x * y).sum() - x.sum() * y.sum()) / spread)
