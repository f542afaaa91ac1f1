"""What MIMIC-III and MIMIC-IV have in common: admissions, stays, coded diagnoses and procedures, rows placed in stays.

Both shift each patient's times by an offset of its own, hide ages over 89, and chart by patient, time and item id.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lakehouse.pseudonyms import Identifier

MASKED_AGE = 90.0
"""Years that stand for every age over 89, which both editions hide."""

PRECEDENCE = {"labevents": 0, "chartevents": 1, "outputevents": 2, "procedureevents_mv": 3, "procedureevents": 3}
"""Which table speaks where two chart one concept at one minute: the laboratory before the bedside copy."""


def admissions(rows: DataFrame, source: str, ethnicity: str, identify: Identifier) -> DataFrame:
    """silver.admissions of the table ADMISSIONS; `ethnicity` names the column that holds it."""
    return rows.select(
        identify(source, "hadm_id").alias("admission_id"),
        F.lit(source).alias("source"),
        identify(source, "subject_id").alias("patient_id"),
        F.col("admittime").alias("admitted_at"),
        F.col("dischtime").alias("discharged_at"),
        F.col("deathtime").alias("died_at"),
        F.col("hospital_expire_flag").cast("boolean").alias("in_hospital_death"),
        "admission_type",
        "admission_location",
        "discharge_location",
        "insurance",
        "language",
        "marital_status",
        F.col(ethnicity).alias("ethnicity"),
        F.col("edregtime").alias("ed_arrived_at"),
        F.col("edouttime").alias("ed_left_at"),
    )


def stays(
    icustays: DataFrame,
    admissions: DataFrame,
    patients: DataFrame,
    source: str,
    stay: str,
    age: Column,
    icu_types: dict[str, str],
    identify: Identifier,
) -> DataFrame:
    """silver.stays of ICUSTAYS; `age` (years) may speak of `intime` and of the columns of PATIENTS."""
    deaths = admissions.select(
        "hadm_id", "subject_id", F.col("hospital_expire_flag").cast("boolean").alias("in_hospital_death")
    )
    people = patients.drop("row_id", *[c for c in patients.columns if c.startswith("_")])
    icu_type = F.lit(None).cast("string")
    for unit, kind in icu_types.items():
        icu_type = F.when(F.col("first_careunit") == unit, F.lit(kind)).otherwise(icu_type)
    seconds = F.unix_timestamp("outtime") - F.unix_timestamp("intime")
    unknown = {"height_cm": "double", "weight_kg": "double", "saps_i_outcome": "int", "sofa_outcome": "int"}
    unknown |= {"length_of_stay_days": "int", "survival_days": "int", "record_set": "string"}
    return (
        icustays.join(deaths, on=["hadm_id", "subject_id"], how="left")
        .join(people, on="subject_id", how="left")
        .withColumn("age", age.cast("double"))
        .select(
            identify(source, stay).alias("stay_id"),
            F.lit(source).alias("source"),
            identify(source, "hadm_id").alias("admission_id"),
            identify(source, "subject_id").alias("patient_id"),
            icu_type.alias("icu_type"),
            F.col("intime").alias("started_at"),
            F.col("outtime").alias("ended_at"),
            (seconds / 3600).alias("icu_hours"),
            F.when(F.col("age") >= MASKED_AGE, MASKED_AGE).otherwise(F.col("age")).alias("age"),
            (F.col("age") >= MASKED_AGE).alias("age_masked"),
            "gender",
            "in_hospital_death",
            *[F.lit(None).cast(kind).alias(name) for name, kind in unknown.items()],
        )
    )


def coded(
    rows: DataFrame, titles: DataFrame, source: str, code: str, systems: dict[int, str], identify: Identifier
) -> DataFrame:
    """silver.diagnoses and silver.procedures of the coded tables, which have no time but the admission's end.

    `code` names the column of the code. `systems` maps `icd_version` to the code system; MIMIC-III, which has no such
    column, is version 9 throughout.
    """
    versioned = [r if "icd_version" in r.columns else r.withColumn("icd_version", F.lit(9)) for r in (rows, titles)]
    coded_rows, named = (r.withColumn("code", F.trim(code)) for r in versioned)
    title = named.groupBy("code", "icd_version").agg(F.min("long_title").alias("title"))
    system = F.lit(None).cast("string")
    for version, name in systems.items():
        system = F.when(F.col("icd_version") == version, F.lit(name)).otherwise(system)
    performed = F.col("chartdate") if "chartdate" in rows.columns else F.lit(None)
    return coded_rows.join(F.broadcast(title), on=["code", "icd_version"], how="left").select(
        identify(source, "hadm_id").alias("admission_id"),
        F.lit(source).alias("source"),
        identify(source, "subject_id").alias("patient_id"),
        F.col("seq_num").cast("int").alias("sequence"),
        "code",
        system.alias("code_system"),
        "title",
        performed.cast("date").alias("performed_on"),
    )


def dose(text: str) -> Column:
    """DOUBLE of a dose such as `25,000`; null for a range such as `1-2`, which the text keeps."""
    return F.regexp_replace(text, ",", "").try_cast("double")


def charted(
    rows: DataFrame, bronze: str, stay: str | None, time: str, value: str, unit: str, error: Column | None = None
) -> DataFrame:
    """One charting table's rows in a common shape; `error` is a reason (null: none) for which a row does not count."""
    table = bronze.split("_", 1)[1]
    return rows.select(
        F.col("subject_id").alias("_subject"),
        (F.col(stay) if stay else F.lit(None).cast("bigint")).alias("_given_stay"),
        F.lit(table).alias("source_table"),
        F.col("itemid").cast("string").alias("source_item"),
        F.col(time).alias("time"),
        F.col(value).cast("double").alias("source_value"),
        F.col(unit).alias("source_unit"),
        F.lit(bronze).alias("_from"),
        (F.lit(None).cast("string") if error is None else error).alias("_error"),
        F.lit(PRECEDENCE[table]).alias("_precedence"),
    )


def events(rows: DataFrame, icustays: DataFrame, source: str, stay: str, identify: Identifier) -> DataFrame:
    """silver.events' mapped rows of `charted` ones: each with its stay and the minute since the stay's start."""
    placed = in_stays(rows, icustays, source, stay, identify)
    seconds = F.unix_timestamp("time") - F.unix_timestamp("_in")
    reason = F.coalesce(
        F.col("_error"),
        F.when(F.col("time").isNull(), F.lit("no_time")),
        F.when(F.col("stay_id").isNull(), F.lit("no_stay")),
    )
    return placed.select(
        F.lit(source).alias("source"),
        "stay_id",
        "source_table",
        "source_item",
        F.floor(seconds / 60).cast("int").alias("minute"),
        "time",
        "source_value",
        "source_unit",
        "_from",
        reason.alias("_left_out"),
        "_precedence",
    )


def in_stays(rows: DataFrame, icustays: DataFrame, source: str, stay: str, identify: Identifier) -> DataFrame:
    """Adds `stay_id` and `_in` (the stay's start) to rows with `_subject`, `_given_stay` and `time`; null for no stay.

    A row that names its stay belongs there; any other to the stay that was open at its time. Where two were, the one
    that began last has it, so no row meets two.
    """
    time = F.col("time")

    def open_between(start: Column, end: Column) -> Column:
        return (time >= start) & (time <= F.coalesce(end, time))

    taken = F.exists("_later", lambda later: open_between(later["start"], later["end"]))
    by_time = open_between(F.col("_in"), F.col("_out")) & ~taken
    given = F.col("_given_stay")
    belongs = F.when(given.isNotNull(), given == F.col("_stay")).otherwise(by_time)
    meets = (F.col("_subject") == F.col("_stay_subject")) & belongs
    periods = _periods(icustays, stay).withColumn("stay_id", identify(source, "_stay"))
    return rows.join(F.broadcast(periods), meets, how="left")


def _periods(icustays: DataFrame, stay: str) -> DataFrame:
    """`_stay_subject`, `_stay`, `_in`, `_out` of each stay, and `_later`: the periods of the patient's later stays."""
    stays = icustays.select(
        F.col("subject_id").alias("_stay_subject"),
        F.col(stay).alias("_stay"),
        F.col("intime").alias("_in"),
        F.col("outtime").alias("_out"),
    )
    period = F.struct(F.col("_in").alias("start"), F.col("_out").alias("end"), F.col("_stay").alias("stay"))
    of_patient = stays.groupBy("_stay_subject").agg(F.collect_list(period).alias("_later"))

    def is_later(other: Column) -> Column:
        return (other["start"] > F.col("_in")) | ((other["start"] == F.col("_in")) & (other["stay"] > F.col("_stay")))

    return stays.join(of_patient, on="_stay_subject", how="inner").withColumn("_later", F.filter("_later", is_later))
