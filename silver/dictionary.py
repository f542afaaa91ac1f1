"""Reads a source's own items with the clinical dictionary: which concept an item is, and its value in its unit."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from silver.cleaning import UNIT_CONVERSION, add_reason


def translate(mapped: DataFrame, concept_sources: DataFrame, concepts: DataFrame) -> DataFrame:
    """Adds `origin INT` (the dictionary's row), `concept_id INT`, `value DOUBLE` (concept's unit), `correction`.

    Joins on source, table, item and unit. A row for one unit goes before the row with a blank unit, which stands for
    every unit that the item's other rows do not name; so no row meets two. A row that no item names gets the reason
    `unmapped_item`; one without a number, where the item's value is not a constant, `no_numeric_value`.
    """
    items = _items(concept_sources, concepts)
    unit = F.coalesce(F.lower(F.trim("source_unit")), F.lit(""))
    meets = (
        (F.col("source") == F.col("_source"))
        & (F.col("source_table") == F.col("_table"))
        & (F.col("source_item") == F.col("_item"))
        & ((F.col("_unit") == unit) | (F.col("_unit").isNull() & ~F.array_contains("_other_units", unit)))
    )
    converted = (F.col("_scale") != 1) | (F.col("_offset") != 0)
    value = F.coalesce(F.col("_constant"), F.col("source_value") * F.col("_scale") + F.col("_offset"))
    return (
        mapped.join(F.broadcast(items), meets, how="left")
        .withColumn("value", value)
        .withColumn("correction", F.when(converted & F.col("_constant").isNull(), F.lit(UNIT_CONVERSION)))
        .withColumn("_left_out", add_reason(F.col("concept_id").isNull(), "unmapped_item"))
        .withColumn("_left_out", add_reason(F.col("value").isNull(), "no_numeric_value"))
        .drop("_source", "_table", "_item", "_unit", "_other_units", "_scale", "_offset", "_constant")
    )


def named(events: DataFrame, concept_sources: DataFrame) -> DataFrame:
    """Adds `source_table` and `source_item` of `origin` (null where there is none)."""
    origins = concept_sources.select(
        F.col("position").alias("_position"), F.col("table").alias("source_table"), F.col("item").alias("source_item")
    )
    return events.join(F.broadcast(origins), F.col("origin") == F.col("_position"), how="left").drop("_position")


def _items(concept_sources: DataFrame, concepts: DataFrame) -> DataFrame:
    """The dictionary's rows under names that no event has, each with the units that its item's other rows name."""
    of_item = ["source", "table", "item"]
    other_units = concept_sources.groupBy(*of_item).agg(F.collect_set(_unit()).alias("_other_units"))
    return (
        concept_sources.join(concepts.select("concept", F.col("id").alias("concept_id")), on="concept", how="inner")
        .join(other_units, on=of_item, how="inner")
        .select(
            F.col("source").alias("_source"),
            F.col("table").alias("_table"),
            F.col("item").alias("_item"),
            _unit().alias("_unit"),
            "_other_units",
            F.col("scale").alias("_scale"),
            F.col("offset").alias("_offset"),
            _constant().alias("_constant"),
            F.col("position").alias("origin"),
            "concept_id",
        )
    )


def _unit() -> Column:
    return F.lower(F.trim("unit"))


def _constant() -> Column:
    """The number of `constant:<number>`: what the presence of such a row says. Null for `valuenum`."""
    return F.when(
        F.col("value_from").startswith("constant:"), F.split_part("value_from", F.lit(":"), F.lit(2)).try_cast("double")
    )
