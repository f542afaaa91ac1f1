"""What is known of a patient when the ICU stay begins: age, sex, body, kind of ICU, and the way there."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gold.mortality.feature import Feature

ICU_TYPES = {
    "CCU": "coronary care unit",
    "CSRU": "cardiac surgery recovery unit",
    "MICU": "medical ICU",
    "SICU": "surgical ICU",
}

FEATURES = (
    Feature("age", "Age when the stay began, 90 where the source masks it [years]"),
    Feature("age_masked", "1: the source masks an age over 89"),
    Feature("male", "1: man, 0: woman"),
    Feature("male_missing", "1: sex unknown"),
    Feature("height_cm", "Height: descriptor of the stay, else first charted by the end of the window [cm]"),
    Feature("height_missing", "1: height unknown"),
    Feature("weight_kg", "Weight: descriptor of the stay, else first charted by the end of the window [kg]"),
    Feature("weight_missing", "1: weight unknown"),
    Feature("bmi", "Body mass index [kg/m2]"),
    Feature("bmi_missing", "1: body mass index unknown"),
    *(Feature(f"icu_{code.lower()}", f"1: the stay is in a {words}") for code, words in ICU_TYPES.items()),
    Feature("icu_type_missing", "1: kind of ICU unknown"),
    Feature("hours_admission_to_icu", "Time from hospital admission to the start of the stay [h]"),
    Feature("hours_in_emergency", "Time in the emergency department before the stay, 0: came another way [h]"),
    Feature("elective_admission", "1: planned admission, 0: other; null: unknown"),
)


def demographics(mortality_cohort: DataFrame, stays: DataFrame, admissions: DataFrame, events: DataFrame) -> DataFrame:
    """One row a stay of the cohort with `FEATURES`; `events` are those known by the window's end.

    MIMIC dates the body measured at admission a minute or hours before the stay, so those count too.
    """
    charted = (
        events.where(F.col("concept").isin("height", "weight"))
        .groupBy("stay_id")
        .agg(*(_first(concept).alias(f"_{concept}") for concept in ("height", "weight")))
    )
    way = admissions.select("admission_id", "admitted_at", "ed_arrived_at", "ed_left_at", "admission_type")
    known = (
        mortality_cohort.select("stay_id")
        .join(stays, on="stay_id", how="inner")
        .join(way, on="admission_id", how="left")
        .join(charted, on="stay_id", how="left")
        .withColumns(
            {
                "height_cm": F.coalesce("height_cm", "_height"),
                "weight_kg": F.coalesce("weight_kg", "_weight"),
                "male": F.when(F.col("gender") == "M", 1.0).when(F.col("gender") == "F", 0.0),
            }
        )
        .withColumn("bmi", F.expr("weight_kg / nullif(power(height_cm / 100, 2), 0)"))
    )
    columns = {
        "age": F.col("age"),
        "age_masked": F.col("age_masked"),
        "male": F.col("male"),
        "male_missing": F.col("male").isNull(),
        "height_cm": F.col("height_cm"),
        "height_missing": F.col("height_cm").isNull(),
        "weight_kg": F.col("weight_kg"),
        "weight_missing": F.col("weight_kg").isNull(),
        "bmi": F.col("bmi"),
        "bmi_missing": F.col("bmi").isNull(),
        **{f"icu_{code.lower()}": F.coalesce(F.col("icu_type") == code, F.lit(False)) for code in ICU_TYPES},
        "icu_type_missing": F.col("icu_type").isNull(),
        "hours_admission_to_icu": _hours("admitted_at", "started_at"),
        "hours_in_emergency": _hours_in_emergency(),
        "elective_admission": F.upper("admission_type").rlike("ELECTIVE|SAME DAY"),
    }
    return known.select("stay_id", *(columns[f.name].cast("double").alias(f.name) for f in FEATURES))


def _first(concept: str) -> Column:
    of_concept = F.when(F.col("concept") == concept, F.col("minute"))
    return F.min_by(F.when(F.col("concept") == concept, F.col("value")), of_concept)


def _hours(start: str, end: str | Column) -> Column:
    return (F.unix_timestamp(end) - F.unix_timestamp(start)) / 3600.0


def _hours_in_emergency() -> Column:
    until = F.least("ed_left_at", "started_at")
    return F.when(F.col("ed_arrived_at").isNotNull(), F.greatest(_hours("ed_arrived_at", until), F.lit(0.0))).when(
        F.col("admitted_at").isNotNull(), F.lit(0.0)
    )
