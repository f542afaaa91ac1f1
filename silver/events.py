"""events: one row a (stay, concept, minute), every measured value of the ICU in one unit per concept.

Key: stay_id, concept, minute. From: each source's charted, laboratory, output and procedure rows (one mapped row a raw
row), the clinical dictionary, and `silver.stays`. Must never contain: a value outside its concept's possible range, two
rows for one minute of a concept, a row of a stay that `silver.stays` lacks, a missing-value sentinel.

Order of work: dictionary -> corrections -> capping -> one aggregate by (stay, concept, minute).

What shares a minute combines as the dictionary's `aggregate` says:
- equal values are one measurement (`duplicate`);
- unequal values of a `mean` concept conflict: the midpoint of lowest and highest stands (`conflicting_value`), which
  favours neither site nor sensor and depends on no order of rows;
- outputs (`sum`) of one minute come from several outlets and add up (`summed`), unless one item repeats one amount;
- of a `max` concept the highest stands.
Where several tables of a source chart one minute, the one with the lowest `_precedence` speaks (the laboratory before
the bedside copy of its result), and the others' rows are left out as `duplicate` or `conflicting_value`.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from lakehouse.table import MAPPED, Rule, Table
from silver import derived
from silver.cleaning import add_reason, clean, named_corrections
from silver.dictionary import named, translate

TABLE = Table(
    name="silver.events",
    description="One row a stay, concept and minute: cleaned measurements of all sources.",
    ddl="""
        stay_id STRING NOT NULL COMMENT 'the ICU stay, silver.stays',
        source STRING NOT NULL COMMENT 'source system, a module of silver/sources',
        concept STRING NOT NULL COMMENT 'name in conf/concepts.csv',
        minute INT NOT NULL COMMENT 'minutes since the stay''s start, rounded down; negative before it',
        time TIMESTAMP COMMENT 'time of charting, UTC; null where the source publishes offsets alone',
        value DOUBLE NOT NULL COMMENT 'cleaned value in `unit`',
        unit STRING COMMENT 'the concept''s unit in conf/concepts.csv',
        source_table STRING COMMENT 'raw table; derived for derived concepts; null where several were combined',
        source_item STRING COMMENT 'raw item id or parameter; null where several were combined',
        source_value DOUBLE COMMENT 'value as recorded, in the raw unit; null where several were combined',
        correction STRING COMMENT 'conversion, correction, capping or combination that changed it; null: as measured',
        measurements INT COMMENT 'raw rows that this row stands for; 0 for derived rows'
    """,
    key=("stay_id", "concept", "minute"),
    inputs=(MAPPED, "silver.stays", "conf.concepts", "conf.concept_sources", "conf.corrections"),
    partition_by=("source",),
    by="stay_id",
    key_check=False,
    rules=(
        Rule("possible_value", "value BETWEEN coalesce(_possible_low, value) AND coalesce(_possible_high, value)"),
        Rule("within_stay", "minute >= 0", "warn"),
    ),
)


def build(
    mapped: DataFrame, stays: DataFrame, concepts: DataFrame, concept_sources: DataFrame, corrections: DataFrame
) -> DataFrame:
    """`mapped`: one row a raw row with `source`, `stay_id`, `source_table`, `source_item`, `minute`, `time`,
    `source_value`, `source_unit`, `_left_out`, and where several tables of the source can chart one concept
    `_from` and `_precedence INT`."""
    several_tables = "_precedence" in mapped.columns
    numbered = _numbered(stays)
    measured = translate(_of_known_stays(mapped, numbered), concept_sources, concepts)
    cleaned = clean(measured, corrections, concepts)
    merged = _merge(derived.with_parts(cleaned, concepts), several_tables)
    combined = _combine(merged, concepts, numbered)
    if several_tables:
        combined = _first_table_speaks(combined)
    return _contract(named(named_corrections(combined, corrections), concept_sources))


def _numbered(stays: DataFrame) -> DataFrame:
    """`_stay INT`, a number for each stay: to hash millions of rows by text takes twice as long as by numbers."""
    every = Window.partitionBy(F.lit(1))  # without a partition, engines warn of what is meant here
    number = F.row_number().over(every.orderBy("stay_id"))
    return stays.select(number.alias("_stay"), F.col("stay_id").alias("_stay_id"), F.col("source").alias("_of"))


def _of_known_stays(mapped: DataFrame, numbered: DataFrame) -> DataFrame:
    known = F.broadcast(numbered.select("_stay", "_stay_id"))
    joined = mapped.join(known, F.col("stay_id") == F.col("_stay_id"), how="left")
    return joined.withColumn("_left_out", add_reason(F.col("_stay").isNull(), "no_stay")).drop("stay_id", "_stay_id")


def _merge(rows: DataFrame, several_tables: bool) -> DataFrame:
    """One row a (stay, concept, minute); each impossible value by itself; left-out rows one a reason."""
    stays_in = F.col("_left_out").isNull()

    def kept(column: str) -> Column:
        return F.when(stays_in, F.col(column)).alias(column)

    own = F.col("slot") == 0
    of_input = [
        F.when(own, F.col("_from")).otherwise(F.lit("derived")).alias("_from"),
        F.when(stays_in & own, F.col("_precedence")).alias("_precedence"),
    ]
    keys: list[Column] = [
        kept("_stay"),
        kept("concept_id"),
        kept("minute"),
        F.when(stays_in & F.col("impossible"), F.col("value")).alias("_impossible_value"),
        F.col("_left_out"),
        *(of_input if several_tables else []),
    ]
    of_own = {name: F.when(own, F.col(name)) for name in ("value", "source_value", "origin", "correction")}
    parts = [
        f(F.when(F.col("slot") == slot, F.col("value"))).alias(f"{name}_{slot}")
        for slot in derived.SLOTS
        for name, f in (("low", F.min), ("high", F.max))
    ]
    return rows.groupBy(*keys).agg(
        F.sum(own.cast("bigint")).alias("_rows"),
        F.min("time").alias("time"),
        F.min(of_own["value"]).alias("low"),
        F.max(of_own["value"]).alias("high"),
        F.sum(of_own["value"]).alias("total"),
        F.min(of_own["source_value"]).alias("source_low"),
        F.max(of_own["source_value"]).alias("source_high"),
        F.min(of_own["origin"]).alias("origin_low"),
        F.max(of_own["origin"]).alias("origin_high"),
        F.max(of_own["correction"]).alias("correction"),
        *parts,
    )


def _combine(merged: DataFrame, concepts: DataFrame, numbered: DataFrame) -> DataFrame:
    """The value of each minute, and the reason under which rows beyond the first were merged into it."""
    stays = numbered.select(
        F.col("_stay").alias("_number"), F.col("_stay_id").alias("stay_id"), F.col("_of").alias("source")
    )
    of_input = F.col("_from") if "_from" in merged.columns else F.lit(None).cast("string")
    known = concepts.select(
        F.col("id").alias("_id"),
        "concept",
        "unit",
        "aggregate",
        F.col("possible_low").alias("_possible_low"),
        F.col("possible_high").alias("_possible_high"),
    )
    same_value = F.col("low") == F.col("high")
    same_item = F.col("origin_low") == F.col("origin_high")
    adds_up = (F.col("aggregate") == "sum") & ~(same_value & same_item)
    measured = (
        F.when(adds_up, F.col("total"))
        .when(F.col("aggregate") == "max", F.col("high"))
        .otherwise((F.col("low") + F.col("high")) / 2)
    )
    inferred = derived.derived_value(
        F.col("concept"), [(F.col(f"low_{slot}") + F.col(f"high_{slot}")) / 2 for slot in derived.SLOTS]
    )
    is_derived = F.col("_rows") == 0
    reason = F.when(adds_up, F.lit("summed")).when(same_value, F.lit("duplicate")).otherwise(F.lit("conflicting_value"))
    merged_as = F.when((F.col("_rows") > 1) & F.col("_left_out").isNull(), reason)
    one_source_value = F.col("source_low") == F.col("source_high")
    return (
        merged.join(F.broadcast(known), F.col("concept_id") == F.col("_id"), how="left")
        .join(F.broadcast(stays), F.col("_stay") == F.col("_number"), how="left")
        .withColumn("value", F.when(is_derived, inferred).otherwise(measured))
        .where(~is_derived | F.col("value").isNotNull())
        .withColumn("_merged_as", merged_as)
        .withColumn("origin", F.when(same_item, F.col("origin_low")))
        .withColumn("source_value", F.when(one_source_value, F.col("source_low")))
        .withColumn("_derived", is_derived)
        .withColumn("_from", F.when(is_derived, F.lit("derived")).otherwise(of_input))
        .withColumn("measurements", F.col("_rows").cast("int"))
        .withColumn("_rows", F.greatest(F.col("_rows"), F.lit(1)).cast("bigint"))
    )


def _first_table_speaks(combined: DataFrame) -> DataFrame:
    """Of several tables' rows for one minute the first by `_precedence` stays; a derived row yields to any."""
    minute = Window.partitionBy("_stay", "concept_id", "minute", "_impossible_value")
    order = minute.orderBy(F.col("_derived"), F.col("_precedence"))
    second = F.col("_left_out").isNull() & (F.col("_rank") > 1)
    reason = F.when(F.col("value") == F.col("_spoken"), F.lit("duplicate")).otherwise(F.lit("conflicting_value"))
    return (
        combined.withColumn("_rank", F.row_number().over(order))
        .withColumn("_spoken", F.first("value").over(order))
        .where(~(second & F.col("_derived")))
        .withColumn("_left_out", F.coalesce("_left_out", F.when(second, reason)))
    )


def _contract(events: DataFrame) -> DataFrame:
    is_derived = F.col("_derived")
    combination = F.when(F.col("_merged_as").isin("summed", "conflicting_value"), F.col("_merged_as"))
    correction = F.when(is_derived, F.lit("derived")).otherwise(F.coalesce(combination, "correction"))
    return events.select(
        "stay_id",
        "source",
        "concept",
        "minute",
        "time",
        "value",
        "unit",
        F.when(is_derived, F.lit("derived")).otherwise(F.col("source_table")).alias("source_table"),
        F.when(is_derived, derived.item(F.col("concept"))).otherwise(F.col("source_item")).alias("source_item"),
        "source_value",
        correction.alias("correction"),
        "measurements",
        "_possible_low",
        "_possible_high",
        "_left_out",
        "_rows",
        "_merged_as",
        "_from",
    )
