"""The rival's silver: what the lake's `silver.stays` and `silver.events` say of Challenge records, in polars."""

import polars as pl

from lakehouse.reference import read_dictionary

SOURCE = "challenge2012"
DESCRIPTORS = ("RecordID", "Age", "Gender", "Height", "ICUType")
ICU_TYPES = {1: "CCU", 2: "CSRU", 3: "MICU", 4: "SICU"}
DERIVED = {"map": ("sys_abp", "dias_abp"), "ni_map": ("ni_sys_abp", "ni_dias_abp")}
"""Mean pressures that follow from two others of the same minute where they are not charted."""
CAPPED_LOW, CAPPED_HIGH = -1, -2

_CONCEPTS = read_dictionary("concepts")
_CORRECTIONS = read_dictionary("corrections", SOURCE)
NAMES = pl.Enum([str(row["concept"]) for row in _CONCEPTS])
RANGES = pl.DataFrame(_CONCEPTS, infer_schema_length=None).select(
    pl.col("concept").cast(NAMES),
    "unit",
    "aggregate",
    "possible_low",
    "possible_high",
    "plausible_low",
    "plausible_high",
)
_ITEMS = pl.DataFrame(
    [
        {"parameter": row["item"], "concept": row["concept"]}
        for row in read_dictionary("concept_sources", SOURCE)
        if row["item"] not in DESCRIPTORS
    ],
    {"parameter": pl.String, "concept": NAMES},
)


def stay_id() -> pl.Expr:
    return pl.format(f"{SOURCE}-{{}}", "record_id")


def stays(measurements: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """One row a record, descriptors cleaned as the events of their concepts are; implausible ages are refused."""
    names = {"age": "Age", "gender": "Gender", "height": "Height", "icu_type": "ICUType", "weight": "Weight"}
    at_admission = measurements.filter(pl.col("time") == "00:00")
    records = (
        measurements.select("record_set", "record_id")
        .unique(maintain_order=True)
        .join(
            at_admission.group_by("record_id").agg(
                pl.col("value").filter(pl.col("parameter") == parameter).first().alias(name)
                for name, parameter in names.items()
            ),
            on="record_id",
            how="left",
        )
        .with_columns(_known(name).alias(name) for name in names)
        .filter(pl.col("age").is_null() | pl.col("age").is_between(0, 120))
    )
    for descriptor, column in (("height", "height_cm"), ("weight", "weight_kg")):
        values = records.select(
            value=pl.col(descriptor), concept=pl.lit(descriptor, NAMES), correction=pl.lit(None, pl.Int8)
        )
        cleaned = cap(correct(values)).with_columns(
            value=pl.when(~pl.col("left_out") & ~pl.col("impossible")).then("value")
        )
        records = records.with_columns(cleaned["value"].alias(column))
    scores = {
        "saps_i": "saps_i_outcome",
        "sofa": "sofa_outcome",
        "length_of_stay": "length_of_stay_days",
        "survival": "survival_days",
    }
    return records.join(outcomes, on=["record_set", "record_id"], how="left").select(
        "record_id",
        "record_set",
        stay_id().alias("stay_id"),
        pl.lit(SOURCE).alias("source"),
        pl.col("icu_type").replace_strict(ICU_TYPES, default=None, return_dtype=pl.String),
        "age",
        (pl.col("age") >= 90).fill_null(False).alias("age_masked"),
        pl.col("gender").replace_strict({0: "F", 1: "M"}, default=None, return_dtype=pl.String),
        "height_cm",
        "weight_kg",
        (pl.col("in_hospital_death") == 1).alias("in_hospital_death"),
        *(_known(name).alias(alias) for name, alias in scores.items()),
    )


def _known(column: str) -> pl.Expr:
    return pl.when(pl.col(column) != -1).then(column)


def events(measurements: pl.DataFrame, stays: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row a (record, concept, minute), and apart the values that are not possible."""
    clock = pl.col("time").str.split_exact(":", 1).struct
    mapped = measurements.join(_ITEMS, on="parameter", how="inner").select(
        "record_id",
        "concept",
        (
            clock.field("field_0").cast(pl.Int32, strict=False) * 60
            + clock.field("field_1").cast(pl.Int32, strict=False)
        ).alias("minute"),
        "value",
        source_value="value",
        correction=pl.lit(None, pl.Int8),
    )
    known = mapped.filter(pl.col("minute").is_not_null() & pl.col("value").is_not_null())
    known = known.join(stays.select("record_id"), on="record_id", how="semi")
    cleaned = cap(correct(known).filter(~pl.col("left_out")))
    refused = cleaned.filter(pl.col("impossible")).unique(["record_id", "concept", "minute", "value"])
    merged = _merged(cleaned.filter(~pl.col("impossible")))
    return pl.concat([_named(merged), *(_derived(merged, whole, *parts) for whole, parts in DERIVED.items())]), refused


def correct(rows: pl.DataFrame) -> pl.DataFrame:
    """Applies to `value` the first correction whose range holds it: sets `value`, `correction`, `left_out`."""
    rule = pl.lit(None, pl.Int8)
    for place, row in reversed(list(enumerate(_CORRECTIONS, 1))):
        low, high = _bound(row["low"], "-inf"), _bound(row["high"], "inf")
        holds = pl.col("value").is_between(low, high)
        if row["concept"] != "*":
            holds = (pl.col("concept") == pl.lit(row["concept"], NAMES)) & holds
        rule = pl.when(holds).then(pl.lit(place, pl.Int8)).otherwise(rule)
    converts = {place: row for place, row in enumerate(_CORRECTIONS, 1) if row["action"] == "convert"}

    def of_rule(column: str) -> pl.Expr:
        return pl.col("rule").replace_strict(
            {place: row[column] for place, row in converts.items()}, default=None, return_dtype=pl.Float64
        )

    converted = pl.col("value") * of_rule("scale") + of_rule("offset")
    return (
        rows.with_columns(rule=rule)
        .with_columns(converted=converted)
        .with_columns(
            value=pl.coalesce("converted", "value"),
            correction=pl.when(pl.col("converted").is_not_null()).then("rule").otherwise("correction"),
            left_out=pl.col("rule").is_not_null() & pl.col("converted").is_null(),
        )
        .drop("rule", "converted")
    )


def _bound(value: object, otherwise: str) -> float:
    return float(str(otherwise if value is None else value))


def cap(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds `impossible`; draws possible values into the plausible range."""
    value = pl.col("value")
    possible = ~((value < pl.col("possible_low")) | (value > pl.col("possible_high"))).fill_null(False)
    high, low = possible & (value > pl.col("plausible_high")), possible & (value < pl.col("plausible_low"))
    return (
        rows.join(RANGES.drop("unit", "aggregate"), on="concept", how="left", maintain_order="left")
        .with_columns(
            impossible=~possible,
            value=pl.when(high).then("plausible_high").when(low).then("plausible_low").otherwise("value"),
            correction=pl.when(high)
            .then(pl.lit(CAPPED_HIGH, pl.Int8))
            .when(low)
            .then(pl.lit(CAPPED_LOW, pl.Int8))
            .otherwise("correction"),
        )
        .drop("possible_low", "possible_high", "plausible_low", "plausible_high")
    )


def _merged(cleaned: pl.DataFrame) -> pl.DataFrame:
    """What shares a minute, combined as the dictionary says; every concept has one item here."""
    merged = (
        cleaned.group_by("record_id", "concept", "minute")
        .agg(
            low=pl.col("value").min(),
            high=pl.col("value").max(),
            total=pl.col("value").sum(),
            source_low=pl.col("source_value").min(),
            source_high=pl.col("source_value").max(),
            correction=pl.col("correction").max(),
            measurements=pl.len().cast(pl.Int32),
        )
        .join(RANGES.select("concept", "aggregate"), on="concept", how="left")
    )
    differ = pl.col("low") != pl.col("high")
    adds_up = differ & (pl.col("aggregate") == "sum")
    is_max = pl.col("aggregate") == "max"
    return merged.select(
        "record_id",
        "concept",
        "minute",
        value=pl.when(adds_up).then("total").when(is_max).then("high").otherwise((pl.col("low") + pl.col("high")) / 2),
        source_value=pl.when(pl.col("source_low") == pl.col("source_high")).then("source_low"),
        correction=pl.when(adds_up)
        .then(pl.lit("summed"))
        .when(differ)
        .then(pl.lit("conflicting_value"))
        .otherwise(_correction_name()),
        measurements="measurements",
    )


def _correction_name() -> pl.Expr:
    names = {place: row["rule"] for place, row in enumerate(_CORRECTIONS, 1)}
    names |= {CAPPED_LOW: "capped_low", CAPPED_HIGH: "capped_high"}
    return pl.col("correction").replace_strict(names, default=None, return_dtype=pl.String)


def _derived(merged: pl.DataFrame, whole: str, systolic: str, diastolic: str) -> pl.DataFrame:
    """Mean pressure of the minutes that have none."""
    of_minute = ["record_id", "minute"]
    of = {
        name: merged.filter(pl.col("concept") == pl.lit(name, NAMES)).select(*of_minute, "value")
        for name in (whole, systolic, diastolic)
    }
    (limits,) = RANGES.filter(pl.col("concept") == pl.lit(whole, NAMES)).iter_rows(named=True)
    return (
        of[systolic]
        .join(of[diastolic], on=of_minute, how="inner", suffix="_low")
        .join(of[whole], on=of_minute, how="anti")
        .select(
            stay_id=stay_id(),
            source=pl.lit(SOURCE),
            concept=pl.lit(whole, NAMES),
            minute="minute",
            time=pl.lit(None, pl.Datetime("us", "UTC")),
            value=(pl.col("value") + 2 * pl.col("value_low")) / 3,
            unit=pl.lit(limits["unit"]),
            source_table=pl.lit("derived"),
            source_item=pl.lit(f"{systolic} + {diastolic}"),
            source_value=pl.lit(None, pl.Float64),
            correction=pl.lit("derived"),
            measurements=pl.lit(0, pl.Int32),
        )
        .filter(pl.col("value").is_between(limits["possible_low"], limits["possible_high"]))
    )


def _named(merged: pl.DataFrame) -> pl.DataFrame:
    units = RANGES.select("concept", "unit").join(_ITEMS, on="concept", how="left")
    return merged.join(units, on="concept", how="left").select(
        stay_id=stay_id(),
        source=pl.lit(SOURCE),
        concept="concept",
        minute="minute",
        time=pl.lit(None, pl.Datetime("us", "UTC")),
        value="value",
        unit="unit",
        source_table=pl.lit("measurements"),
        source_item="parameter",
        source_value="source_value",
        correction="correction",
        measurements="measurements",
    )
