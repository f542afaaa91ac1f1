"""Concepts that follow from others measured at the same minute, for where the whole is not charted.

- `gcs`: eye + verbal + motor (Teasdale & Jennett 1974). Intubated patients are charted with verbal 1 ("ET/Trach" in
  CareVue, "No Response-ETT" in MetaVision), and count with 1, as the charted totals of CareVue do; the convention
  that takes such a patient for fully awake (verbal 5, as in the SOFA of mimic-code) is not followed.
- `map`, `ni_map`: (systolic + 2 diastolic) / 3.
"""

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

PARTS = {
    "gcs": ("gcs_eye", "gcs_verbal", "gcs_motor"),
    "map": ("sys_abp", "dias_abp"),
    "ni_map": ("ni_sys_abp", "ni_dias_abp"),
}
"""No concept is a part of two."""
WEIGHTS = {"gcs": (1, 1, 1), "map": (1, 2), "ni_map": (1, 2)}
DIVISORS = {"gcs": 1, "map": 3, "ni_map": 3}
"""A derived value is the sum of its parts, each times its weight, over the divisor."""
SLOTS = range(1, 1 + max(len(parts) for parts in PARTS.values()))


def with_parts(measured: DataFrame, concepts: DataFrame) -> DataFrame:
    """Every row as itself (`slot` 0), and once more (`slot` 1, 2, 3) for each derived concept that it is a part of.

    Rows left out stay once; impossible values are part of nothing.
    """
    roles = _roles(concepts)
    meets = (F.col("concept_id") == F.col("_part_id")) & F.col("_left_out").isNull()
    return (
        measured.join(F.broadcast(roles), meets, how="left")
        .withColumn("slot", F.coalesce("slot", F.lit(0)))
        .where(~F.col("impossible") | (F.col("slot") == 0))
        .withColumn("concept_id", F.coalesce("_whole_id", "concept_id"))
        .drop("_part_id", "_whole_id")
    )


def derived_value(concept: Column, parts: list[Column]) -> Column:
    """DOUBLE: what the parts in slots 1, 2, 3 make of `concept`; null where one is missing or nothing is derived."""
    value = F.lit(None).cast("double")
    for name, weights in WEIGHTS.items():
        terms = [part * weight for part, weight in zip(parts, weights, strict=False)]
        value = F.when(concept == name, reduce(Column.__add__, terms) / DIVISORS[name]).otherwise(value)
    return value


def item(concept: Column) -> Column:
    """STRING: the parts' names, as the source item of a derived row."""
    text = F.lit(None).cast("string")
    for name, parts in PARTS.items():
        text = F.when(concept == name, F.lit(" + ".join(parts))).otherwise(text)
    return text


def _roles(concepts: DataFrame) -> DataFrame:
    """`_part_id`, `_whole_id`, `slot`: each concept's role for itself and for what it is a part of.

    Joined by equality alone, so that the embedded engine knows how few rows these are.
    """
    whole, slot = F.lit(None).cast("string"), F.lit(None).cast("int")
    for name, parts in PARTS.items():
        for place, part in enumerate(parts, 1):
            whole = F.when(F.col("concept") == part, F.lit(name)).otherwise(whole)
            slot = F.when(F.col("concept") == part, F.lit(place)).otherwise(slot)
    ids = concepts.select(F.col("id").alias("_whole_id"), F.col("concept").alias("_concept"))
    own = concepts.select(F.col("id").alias("_part_id"), F.col("id").alias("_whole_id"), F.lit(0).alias("slot"))
    parts_of = (
        concepts.select(F.col("id").alias("_part_id"), whole.alias("_whole"), slot.alias("slot"))
        .join(ids, F.col("_whole") == F.col("_concept"), how="inner")
        .select("_part_id", "_whole_id", "slot")
    )
    return own.unionByName(parts_of)
