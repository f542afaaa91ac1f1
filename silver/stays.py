"""stays: one row an ICU stay, with or without measurements.

Key: stay_id. From: each source's ICU stays and `silver.admissions`; for the Challenge the records' descriptors beside
the outcome file. Must never contain: a stay that ends before it begins, a stay of an unknown admission, an unmasked age
over 89. The outcome columns (`in_hospital_death`, `*_outcome`, `length_of_stay_days`, `survival_days`) are labels or
known only later: never features.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lakehouse.table import MAPPED, Rule, Table
from silver.cleaning import clean
from silver.references import with_known

TABLE = Table(
    name="silver.stays",
    description="One row an ICU stay.",
    ddl="""
        stay_id STRING NOT NULL COMMENT 'the ICU stay, unique over all sources',
        source STRING NOT NULL COMMENT 'source system, a module of silver/sources',
        admission_id STRING NOT NULL COMMENT 'the hospital admission, silver.admissions',
        patient_id STRING NOT NULL COMMENT 'the person, silver.patients',
        record_set STRING COMMENT 'set of the Challenge (a, b, c); null elsewhere',
        icu_type STRING COMMENT 'first unit: CCU, CSRU, MICU or SICU; null: none of the four',
        started_at TIMESTAMP COMMENT 'start in the ICU, UTC; null where not published',
        ended_at TIMESTAMP COMMENT 'end in the ICU, UTC; null: not published or not ended',
        icu_hours DOUBLE COMMENT 'hours in the ICU; 48 for the Challenge, the least that it selected',
        age DOUBLE COMMENT 'years at the start; 90 where masked',
        age_masked BOOLEAN COMMENT 'the source hides the age of this patient, who is over 89',
        gender STRING COMMENT 'F or M as registered; null: not recorded',
        height_cm DOUBLE COMMENT 'cm, admission descriptor, cleaned; null where the source charts it as an event',
        weight_kg DOUBLE COMMENT 'kg, admission descriptor, cleaned; null where the source charts it as an event',
        in_hospital_death BOOLEAN COMMENT 'label: died in this admission; null: not published',
        saps_i_outcome INT COMMENT 'SAPS-I in the outcome file, points; null: missing',
        sofa_outcome INT COMMENT 'SOFA in the outcome file, points; null: missing',
        length_of_stay_days INT COMMENT 'days in the hospital, outcome file; null: missing',
        survival_days INT COMMENT 'days from ICU admission to death, outcome file; null: no death recorded'
    """,
    key=("stay_id",),
    inputs=(MAPPED, "silver.admissions", "conf.concepts", "conf.corrections"),
    partition_by=("source",),
    by="patient_id",
    rules=(
        Rule("known_admission", "_known_admission_id"),
        Rule("ends_after_it_begins", "ended_at IS NULL OR ended_at >= started_at"),
        Rule("plausible_age", "age BETWEEN 0 AND 120"),
        Rule("possible_height", "_height_cm_note IS NULL", "warn"),
        Rule("possible_weight", "_weight_kg_note IS NULL", "warn"),
    ),
)


def build(mapped: DataFrame, admissions: DataFrame, concepts: DataFrame, corrections: DataFrame) -> DataFrame:
    """`mapped`: the contract's columns, one row an ICU stay, height and weight as recorded."""
    cleaned = mapped
    for column, concept in (("height_cm", "height"), ("weight_kg", "weight")):
        cleaned = _clean_descriptor(cleaned, column, concept, corrections, concepts)
    return with_known(cleaned, admissions, "admission_id")


def _clean_descriptor(
    stays: DataFrame, column: str, concept: str, corrections: DataFrame, concepts: DataFrame
) -> DataFrame:
    """Cleans a descriptor as its concept's events are; what cannot be becomes null and `_<column>_note` says why."""
    ids = concepts.where(F.col("concept") == concept).select(F.col("id").alias("concept_id"))
    left_out = F.col("_left_out") if "_left_out" in stays.columns else F.lit(None).cast("string")
    rows = (
        stays.withColumn("_stay_left_out", left_out)
        .crossJoin(F.broadcast(ids))
        .withColumns({"value": F.col(column), "correction": F.lit(None).cast("int"), "_left_out": _no_text()})
    )
    cleaned = clean(rows, corrections, concepts)
    reason = F.coalesce("_left_out", F.when(F.col("impossible"), F.lit("impossible_value")))
    return (
        cleaned.withColumn(f"_{column}_note", reason)
        .withColumn(column, F.when(F.col(f"_{column}_note").isNull(), F.col("value")))
        .withColumn("_left_out", F.col("_stay_left_out"))
        .drop("concept_id", "value", "correction", "impossible", "_stay_left_out")
    )


def _no_text() -> Column:
    return F.lit(None).cast("string")
