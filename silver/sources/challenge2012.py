"""PhysioNet/CinC Challenge 2012 on the clinical model: one patient, admission and stay a record (Silva et al. 2012).

A record is a list of (time, parameter, value) rows over the first 48 ICU hours. Its general descriptors stand at 00:00,
in some records amid the first measurements; `Weight` is a descriptor there and a series as well. -1 means missing.
The records come from MIMIC-II, which hides ages over 89: an age of 90 is that mask.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lakehouse.pseudonyms import Identifier
from lakehouse.table import Mapping

SOURCE = "challenge2012"
MEASUREMENTS = "bronze.challenge2012_measurements"
OUTCOMES = "bronze.challenge2012_outcomes"

DESCRIPTORS = ("RecordID", "Age", "Gender", "Height", "ICUType")
GENDERS = {0: "F", 1: "M"}
ICU_TYPES = {1: "CCU", 2: "CSRU", 3: "MICU", 4: "SICU"}
SELECTED_HOURS = 48.0
MASKED_AGE = 90.0
"""Years that stand for every age over 89: nearly four times as many records have it as have 89."""


def patients(challenge2012_measurements: DataFrame, identify: Identifier) -> DataFrame:
    return _records(challenge2012_measurements).select(
        identify(SOURCE, "record_id").alias("patient_id"),
        F.lit(SOURCE).alias("source"),
        _coded("gender", GENDERS).alias("gender"),
        F.lit(None).cast("date").alias("birth_date"),
        F.lit(None).cast("date").alias("death_date"),
    )


def admissions(
    challenge2012_measurements: DataFrame, challenge2012_outcomes: DataFrame, identify: Identifier
) -> DataFrame:
    records = _with_outcomes(_records(challenge2012_measurements), challenge2012_outcomes)
    unknown_times = ("admitted_at", "discharged_at", "died_at", "ed_arrived_at", "ed_left_at")
    unknown_texts = (
        "admission_type", "admission_location", "discharge_location", "insurance", "language", "marital_status",
        "ethnicity",
    )  # fmt: skip
    return records.where(F.col("_left_out").isNull()).select(
        identify(SOURCE, "record_id").alias("admission_id"),
        F.lit(SOURCE).alias("source"),
        identify(SOURCE, "record_id").alias("patient_id"),
        F.col("in_hospital_death").cast("boolean").alias("in_hospital_death"),
        *[F.lit(None).cast("timestamp").alias(name) for name in unknown_times],
        *[F.lit(None).cast("string").alias(name) for name in unknown_texts],
    )


def stays(challenge2012_measurements: DataFrame, challenge2012_outcomes: DataFrame, identify: Identifier) -> DataFrame:
    """Every record, also one without any series; outcomes of no record are left out as `no_record`."""
    records = _with_outcomes(_records(challenge2012_measurements), challenge2012_outcomes)
    return records.select(
        identify(SOURCE, "record_id").alias("stay_id"),
        F.lit(SOURCE).alias("source"),
        identify(SOURCE, "record_id").alias("admission_id"),
        identify(SOURCE, "record_id").alias("patient_id"),
        "record_set",
        _coded("icu_type", ICU_TYPES).alias("icu_type"),
        F.lit(None).cast("timestamp").alias("started_at"),
        F.lit(None).cast("timestamp").alias("ended_at"),
        F.lit(SELECTED_HOURS).alias("icu_hours"),
        _known("age").alias("age"),
        F.coalesce(F.col("age") >= MASKED_AGE, F.lit(False)).alias("age_masked"),
        _coded("gender", GENDERS).alias("gender"),
        _known("height").alias("height_cm"),
        _known("weight").alias("weight_kg"),
        F.col("in_hospital_death").cast("boolean").alias("in_hospital_death"),
        _known("saps_i").alias("saps_i_outcome"),
        _known("sofa").alias("sofa_outcome"),
        _known("length_of_stay").alias("length_of_stay_days"),
        _known("survival").alias("survival_days"),
        "_from",
        "_left_out",
    )


def events(challenge2012_measurements: DataFrame, identify: Identifier) -> DataFrame:
    """Every row of every record. Descriptors are left out (`stays` holds them), but for Weight, a measurement too."""
    hours, minutes = (F.split_part("time", F.lit(":"), F.lit(i)).try_cast("int") for i in (1, 2))
    minute = hours * 60 + minutes
    reason = (
        F.when(F.col("parameter").isNull(), "blank_parameter")
        .when(F.col("parameter").isin(*DESCRIPTORS), "descriptor")
        .when(minute.isNull(), "no_time")
    )
    return challenge2012_measurements.select(
        F.lit(SOURCE).alias("source"),
        identify(SOURCE, "record_id").alias("stay_id"),
        F.lit("measurements").alias("source_table"),
        F.col("parameter").alias("source_item"),
        minute.alias("minute"),
        F.lit(None).cast("timestamp").alias("time"),
        F.col("value").alias("source_value"),
        F.lit(None).cast("string").alias("source_unit"),
        reason.alias("_left_out"),
    )


def _records(measurements: DataFrame) -> DataFrame:
    """One row a record file: record_set, record_id and its descriptors as recorded (DOUBLE, -1 for missing).

    The first Weight at 00:00 in file order is the descriptor; a second one there is a measurement.
    """
    at_admission = F.col("time") == "00:00"

    def descriptor(parameter: str) -> Column:
        place = F.when(at_admission & (F.col("parameter") == parameter), F.col("_source_row"))
        return F.min_by("value", place).alias({"ICUType": "icu_type"}.get(parameter, parameter.lower()))

    names = ("Age", "Gender", "Height", "ICUType", "Weight")
    return measurements.groupBy("record_set", "record_id").agg(*[descriptor(name) for name in names])


def _with_outcomes(records: DataFrame, outcomes: DataFrame) -> DataFrame:
    """Records beside their outcomes, and outcomes of no record; `_from` names the table that the row accounts for."""
    return (
        records.withColumn("_recorded", F.lit(True))
        .join(outcomes.withColumn("_outcome", F.lit(True)), on=["record_set", "record_id"], how="full")
        .withColumn("_from", F.when(F.col("_outcome"), F.lit(OUTCOMES)).otherwise(F.lit(MEASUREMENTS)))
        .withColumn("_left_out", F.when(F.col("_recorded").isNull(), F.lit("no_record")))
    )


def _known(column: str) -> Column:
    """The column, null where it is -1."""
    return F.when(F.col(column) != -1, F.col(column))


def _coded(column: str, codes: dict[int, str]) -> Column:
    """The name of a numeric code; null for -1 and for a code that the publisher does not define."""
    name = F.lit(None).cast("string")
    for code, text in codes.items():
        name = F.when(F.col(column) == code, F.lit(text)).otherwise(name)
    return name


MAPPINGS = (
    Mapping(SOURCE, "silver.patients", (MEASUREMENTS,), patients),
    Mapping(SOURCE, "silver.admissions", (MEASUREMENTS, OUTCOMES), admissions),
    Mapping(SOURCE, "silver.stays", (MEASUREMENTS, OUTCOMES), stays, consumes=(OUTCOMES,)),
    Mapping(SOURCE, "silver.events", (MEASUREMENTS,), events, consumes=(MEASUREMENTS,)),
)
