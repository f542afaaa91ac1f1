"""Cleans values by the dictionary's rules: corrections, possible and plausible ranges. No range stands in code."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

_INFINITY = float("inf")

UNIT_CONVERSION, CAPPED_LOW, CAPPED_HIGH = 0, -1, -2
"""`correction` while the work goes on: one of these, or the place of a rule in conf/corrections.csv. Numbers, since
both engines aggregate these by hashing, and text (on the JVM) only by sorting; `named_corrections` gives the names."""
_NAMES = {UNIT_CONVERSION: "unit_conversion", CAPPED_LOW: "capped_low", CAPPED_HIGH: "capped_high"}


def add_reason(condition: Column, reason: str) -> Column:
    """`_left_out` with one more reason behind those that are there already."""
    return F.coalesce(F.col("_left_out"), F.when(condition, F.lit(reason)))


def clean(measured: DataFrame, corrections: DataFrame, concepts: DataFrame) -> DataFrame:
    """Measured rows with `value` and `correction` as the dictionary has them, `_left_out` where a correction leaves the
    row out, and `impossible BOOLEAN`.

    Needs `source`, `concept_id`, `value`, `correction`, `_left_out`.
    """
    rules = _rules(corrections, concepts)
    ranged = measured.join(
        F.broadcast(_ranges(concepts, rules)), F.col("concept_id") == F.col("_ranged_id"), how="left"
    )
    return _cap(_correct(ranged, rules)).drop(
        "_ranged_id", "possible_low", "possible_high", "plausible_low", "plausible_high", "_ruled"
    )


def _ranges(concepts: DataFrame, rules: DataFrame) -> DataFrame:
    """Bounds by concept; `_ruled`: some correction speaks of values inside the plausible range too."""
    low, high = F.coalesce("plausible_low", F.lit(-_INFINITY)), F.coalesce("plausible_high", F.lit(_INFINITY))
    plausible = concepts.select(F.col("id").alias("_plausible_id"), low.alias("_from"), high.alias("_to"))
    touches = (F.col("_concept_id") == F.col("_plausible_id")) & (F.col("_low") <= F.col("_to"))
    ruled = (
        rules.join(plausible, touches & (F.col("_high") >= F.col("_from")), how="inner")
        .groupBy("_plausible_id")
        .agg(F.lit(True).alias("_ruled"))
    )
    return concepts.join(ruled, F.col("id") == F.col("_plausible_id"), how="left").select(
        F.col("id").alias("_ranged_id"),
        "possible_low",
        "possible_high",
        "plausible_low",
        "plausible_high",
        F.coalesce("_ruled", F.lit(False)).alias("_ruled"),
    )


def _correct(ranged: DataFrame, rules: DataFrame) -> DataFrame:
    """Applies to `value` the first of the value-range corrections (file order) whose range holds it.

    `leave_out` gives the rule's name as the reason; `convert` sets the value and records the rule's place in
    `correction`. A row meets a rule only when it meets none of the earlier ones, so the join never multiplies rows.
    """
    value, source = F.col("value"), F.col("source")

    def holds(low: Column, high: Column, of_source: Column) -> Column:
        return (value >= low) & (value <= high) & (of_source.isNull() | (of_source == source))

    first = ~F.exists("_earlier", lambda rule: holds(rule["low"], rule["high"], rule["source"]))
    # Few values lie in any range: only for these is it asked whether an earlier rule holds them too.
    is_first = F.when(holds(F.col("_low"), F.col("_high"), F.col("_of_source")), first)
    # Nearly all values are plausible, and few corrections speak of such: a null key spares them the rules altogether.
    plain = ~F.col("_ruled") & ~(value < F.col("plausible_low")) & ~(value > F.col("plausible_high"))
    suspect = F.col("_left_out").isNull() & ~F.coalesce(plain, F.lit(False))
    meets = (F.when(suspect, F.col("concept_id")) == F.col("_concept_id")) & is_first
    convert = F.col("_action") == "convert"
    return (
        ranged.join(F.broadcast(rules), meets, how="left")
        .withColumn("_left_out", F.coalesce("_left_out", F.when(F.col("_action") == "leave_out", F.col("_rule"))))
        .withColumn("value", F.when(convert, value * F.col("_scale") + F.col("_offset")).otherwise(value))
        .withColumn("correction", F.when(convert, F.col("_place")).otherwise(F.col("correction")))
        .drop(
            "_concept_id", "_place", "_of_source", "_low", "_high", "_rule", "_action", "_scale", "_offset", "_earlier"
        )
    )


def _rules(corrections: DataFrame, concepts: DataFrame) -> DataFrame:
    """One row a (correction, concept), `*` spelt out, with the ranges of the corrections before it.

    Joined by equality alone: of another join the embedded engine does not know how few rows it gives, and would then
    hash the events instead of these.
    """
    ids = concepts.select(F.col("id").alias("_concept_id"), F.col("concept").alias("_concept"))
    one, every = corrections.where(F.col("concept") != "*"), corrections.where(F.col("concept") == "*")
    named = one.join(ids, F.col("concept") == F.col("_concept"), how="inner")
    rules = named.unionByName(every.crossJoin(ids)).select(
        "_concept_id",
        F.col("position").alias("_place"),
        F.col("source").alias("_of_source"),
        F.coalesce("low", F.lit(-_INFINITY)).alias("_low"),
        F.coalesce("high", F.lit(_INFINITY)).alias("_high"),
        F.col("rule").alias("_rule"),
        F.col("action").alias("_action"),
        F.col("scale").alias("_scale"),
        F.col("offset").alias("_offset"),
    )
    ranges = rules.groupBy("_concept_id").agg(
        F.collect_list(
            F.struct(
                F.col("_place").alias("place"),
                F.col("_low").alias("low"),
                F.col("_high").alias("high"),
                F.col("_of_source").alias("source"),
            )
        ).alias("_earlier")
    )
    return rules.join(ranges, on="_concept_id", how="inner").withColumn(
        "_earlier", F.filter("_earlier", lambda rule: rule["place"] < F.col("_place"))
    )


def _cap(ranged: DataFrame) -> DataFrame:
    """Adds `impossible BOOLEAN`; draws possible values into the plausible range, recorded in `correction`.

    A blank bound bounds nothing. Impossible values stay as they are: a rule sends them to quarantine. The scheme is
    that of the MIMIC-III benchmarks' variable ranges (Harutyunyan et al. 2019): outlier bounds outside valid bounds.
    """
    value = F.col("value")
    impossible = F.coalesce((value < F.col("possible_low")) | (value > F.col("possible_high")), F.lit(False))
    above, below = value > F.col("plausible_high"), value < F.col("plausible_low")
    return (
        ranged.withColumn("impossible", impossible)
        .withColumn("_side", F.when(impossible, None).when(above, 1).when(below, -1))
        .withColumn(
            "value",
            F.when(F.col("_side") == 1, F.col("plausible_high"))
            .when(F.col("_side") == -1, F.col("plausible_low"))
            .otherwise(value),
        )
        .withColumn(
            "correction",
            F.when(F.col("_side") == 1, F.lit(CAPPED_HIGH))
            .when(F.col("_side") == -1, F.lit(CAPPED_LOW))
            .otherwise(F.col("correction")),
        )
        .drop("_side")
    )


def named_corrections(frame: DataFrame, corrections: DataFrame) -> DataFrame:
    """`correction` as STRING: the rule's name, or `unit_conversion`, `capped_low`, `capped_high`; null: as measured."""
    rules = corrections.select(F.col("position").alias("_place"), F.col("rule").alias("_rule"))
    name = F.col("_rule")
    for code, text in _NAMES.items():
        name = F.when(F.col("correction") == code, F.lit(text)).otherwise(name)
    joined = frame.join(F.broadcast(rules), F.col("correction") == F.col("_place"), how="left")
    return joined.withColumn("correction", name).drop("_place", "_rule")
