"""The rival's gold: cohort, features and sequences of the mortality question, as the lake has them, in polars.

The columns are named as in `gold.mortality_features`. History is null, as the Challenge publishes no admission times.
"""

import polars as pl

from bench.polars_composites import OF_HOURS, composites, hourly, not_zero
from bench.polars_events import NAMES
from bench.polars_scores import saps, sofa
from bench.polars_spans import SPANS, STATISTICS, WINDOW_HOURS
from lakehouse.reference import read_dictionary

LAST_MINUTE = WINDOW_HOURS * 60
DECIMALS = 10
FIXED = frozenset({"height", "gcs_eye", "gcs_verbal", "gcs_motor"})
ICU_TYPES = ("CCU", "CSRU", "MICU", "SICU")
PATIENT = (
    *("age", "age_masked", "male", "male_missing", "height_cm", "height_missing", "weight_kg", "weight_missing"),
    *("bmi", "bmi_missing", *(f"icu_{code.lower()}" for code in ICU_TYPES), "icu_type_missing"),
)
_IDS = {str(row["concept"]): int(str(row["id"])) for row in read_dictionary("concepts")}


def cohort(stays: pl.DataFrame) -> pl.DataFrame:
    """Adults; every Challenge record has 48 hours. Set a trains, set b tests."""
    split = pl.col("record_set").replace_strict({"a": "train", "b": "test"}, default="external")
    return stays.filter(pl.col("age") >= 16).with_columns(split=split)


def sequences(cohort: pl.DataFrame, inside: pl.DataFrame) -> pl.DataFrame:
    """Minutes, concept ids and values of each stay, by minute, then concept; empty where nothing was measured."""
    steps = (
        inside.with_columns(id=pl.col("concept").replace_strict(_IDS, return_dtype=pl.Int32))
        .group_by("stay_id", maintain_order=True)
        .agg(minutes="minute", concepts="id", values="value")
    )
    return (
        cohort.select("stay_id", "source")
        .join(steps, on="stay_id", how="left")
        .with_columns(pl.col("minutes").fill_null([]), pl.col("concepts").fill_null([]), pl.col("values").fill_null([]))
    )


def features(cohort: pl.DataFrame, inside: pl.DataFrame) -> pl.DataFrame:
    """One row a stay of the cohort; what the Challenge cannot tell is null."""
    wide = cohort.select("stay_id", "source", "age", "age_masked", "gender", "height_cm", "weight_kg", "icu_type")
    for part in (_first_weight(inside), composites(hourly(inside)), _statistics(inside)):
        wide = wide.join(part, on="stay_id", how="left", maintain_order="left")
    wide = wide.with_columns(**_demographics()).with_columns(
        bmi=pl.col("weight_kg") / not_zero((pl.col("height_cm") / 100) ** 2), male_missing=pl.col("male").is_null()
    )
    wide = wide.with_columns(bmi_missing=pl.col("bmi").is_null(), **_urine(), **sofa(), **saps())
    unknown = [*("hours_admission_to_icu", "hours_in_emergency", "elective_admission"), *_history()]
    return wide.select(
        "stay_id",
        "source",
        *(_column(name) for name in (*PATIENT, *_series(), *OF_HOURS, *_urine(), *sofa(), *saps())),
        *(pl.lit(None, pl.Float64).alias(name) for name in unknown),
    )


def _series() -> list[str]:
    """The statistics that are kept: of a concept charted hourly more than of one drawn a few times a day."""
    names = [*(f"events_count{span}" for span in SPANS), "concepts_count", "events_hours_since_last"]
    for row in read_dictionary("concepts"):
        concept, kind = str(row["concept"]), str(row["kind"])
        if concept not in FIXED:
            names += [f"{concept}_{name}" for name in _kept("flag" if row["aggregate"] == "max" else kind)]
    return names


def _kept(kind: str) -> list[str]:
    if kind == "flag":
        return [*(f"count{span}" for span in SPANS), "hours_since_last", "hours_to_first"]
    if kind == "body":
        return ["count", "mean", "min", "max", "slope", "first", "last", "change", "hours_since_last"]
    six = STATISTICS[:6]
    names = [*six, "first", "last", "change", "deviation", "trend", "hours_since_last", "hours_to_first"]
    names += [f"{name}_first_24h" for name in ("mean", "min", "max")]
    names += [f"{name}_last_24h" for name in six]
    names += [f"{name}_last_12h" for name in ("count", "mean", "min", "max")]
    names += [f"{name}_last_6h" for name in (("count", "mean") if kind in ("lab", "gas") else six)]
    return [*names, *(f"sum{span}" for span in SPANS)] if kind == "output" else names


def _history() -> list[str]:
    conditions = dict.fromkeys((str(row["index"]), str(row["condition"])) for row in read_dictionary("comorbidities"))
    words = ("codes_count", "code_frequency_mean", "code_frequency_min", "code_frequency_max", "codes_unseen_share")
    scores = dict.fromkeys(f"{index}_score" for index, _ in conditions)
    return [
        "previous_admissions",
        "days_since_discharge",
        *(f"history_{name}" for name in (*words, *scores, *("_".join(pair) for pair in conditions))),
    ]


def _column(name: str) -> pl.Expr:
    """Counts and shares are 0 where nothing was measured; everything else is rounded."""
    column = pl.col(name).cast(pl.Float64)
    if "_count" in name or name.startswith("ventilated_share"):
        return column.fill_null(0.0)
    return column.round(DECIMALS, mode="half_away_from_zero")


def _demographics() -> dict[str, pl.Expr]:
    weight = pl.coalesce("weight_kg", "_weight")
    icu_type = pl.col("icu_type")
    return {
        "male": pl.col("gender").replace_strict({"M": 1.0, "F": 0.0}, default=None),
        "weight_kg": weight,
        "height_missing": pl.col("height_cm").is_null(),
        "weight_missing": weight.is_null(),
        **{f"icu_{code.lower()}": (icu_type == code).fill_null(False) for code in ICU_TYPES},
        "icu_type_missing": icu_type.is_null(),
    }


def _first_weight(inside: pl.DataFrame) -> pl.DataFrame:
    weights = inside.filter(pl.col("concept") == pl.lit("weight", NAMES)).sort("minute")
    return weights.group_by("stay_id").agg(_weight=pl.col("value").first())


def _urine() -> dict[str, pl.Expr]:
    weight = pl.when(pl.col("weight_kg") > 0).then("weight_kg")
    return {
        f"urine_ml_kg_h{span}": pl.col(f"urine_sum{span}") / weight / (hours[1] - hours[0] if hours else WINDOW_HOURS)
        for span, hours in SPANS.items()
    }


def _statistics(inside: pl.DataFrame) -> pl.DataFrame:
    """Statistics of each stay and concept in every span, then a column each."""
    long = _long(inside)
    totals = long.group_by("stay_id").agg(
        *(pl.col(f"count{span}").sum().alias(f"events_count{span}") for span in SPANS),
        concepts_count=pl.len(),
        events_hours_since_last=pl.col("hours_since_last").min(),
    )
    names = [name for name in long.columns if name not in ("stay_id", "concept")]
    wide = totals
    for concept in (name for name in _IDS if name not in FIXED):
        of_concept = long.filter(pl.col("concept") == pl.lit(concept, NAMES))
        part = of_concept.select("stay_id", *(pl.col(name).alias(f"{concept}_{name}") for name in names))
        wide = wide.join(part, on="stay_id", how="left")
    return wide


def _long(inside: pl.DataFrame) -> pl.DataFrame:
    minute, value = pl.col("minute"), pl.col("value")
    masked: dict[str, pl.Expr] = {}
    for span, hours in SPANS.items():
        within: pl.Expr
        if hours is None:
            within = pl.lit(True)
        elif hours[0] == 0:
            within = minute <= hours[1] * 60
        else:
            within = minute > hours[0] * 60
        y: pl.Expr = pl.when(within).then(value)
        x: pl.Expr = pl.when(within).then(minute / 60.0 - WINDOW_HOURS / 2)
        masked |= {f"y{span}": y, f"x{span}": x, f"xy{span}": x * y, f"xx{span}": x * x}
    rows = inside.select("stay_id", "concept", "minute", "value", **masked)
    aggregates: list[pl.Expr] = []
    for span in SPANS:
        y = pl.col(f"y{span}")
        n, x = y.count().cast(pl.Float64), pl.col(f"x{span}").sum()
        spread = n * pl.col(f"xx{span}").sum() - x * x
        aggregates += [
            n.alias(f"count{span}"),
            y.mean().alias(f"mean{span}"),
            y.std().alias(f"std{span}"),
            y.min().alias(f"min{span}"),
            y.max().alias(f"max{span}"),
            pl.when(n > 0).then(y.sum()).alias(f"sum{span}"),
            pl.when((n > 1) & (spread > 1e-9))
            .then((n * pl.col(f"xy{span}").sum() - x * y.sum()) / spread)
            .alias(f"slope{span}"),
        ]
    return (
        rows.group_by("stay_id", "concept")
        .agg(
            *aggregates,
            first=value.first(),
            last=value.last(),
            hours_since_last=(LAST_MINUTE - minute.max()) / 60.0,
            hours_to_first=minute.min() / 60.0,
        )
        .with_columns(
            change=pl.col("last") - pl.col("first"),
            deviation=pl.col("last") - pl.col("mean"),
            trend=pl.col("mean_last_6h") - pl.col("mean_first_24h"),
        )
    )
