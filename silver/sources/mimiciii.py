"""MIMIC-III on the clinical model: CareVue (to 2008) and MetaVision (since), 26 published tables.

Johnson et al., Sci Data 3:160035 (2016). Birth dates of patients over 89 are set 300 years before their first
admission; laboratory rows name no stay.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.pseudonyms import Identifier
from lakehouse.table import Mapping
from silver.sources import mimic

SOURCE = "mimiciii"
PATIENTS, ADMISSIONS, ICUSTAYS = (f"bronze.mimiciii_{t}" for t in ("patients", "admissions", "icustays"))
CHART, LAB = "bronze.mimiciii_chartevents", "bronze.mimiciii_labevents"
OUTPUT, PROCEDURE = "bronze.mimiciii_outputevents", "bronze.mimiciii_procedureevents_mv"
DIAGNOSES, D_DIAGNOSES = "bronze.mimiciii_diagnoses_icd", "bronze.mimiciii_d_icd_diagnoses"
PROCEDURES, D_PROCEDURES = "bronze.mimiciii_procedures_icd", "bronze.mimiciii_d_icd_procedures"
PRESCRIPTIONS, NOTES = "bronze.mimiciii_prescriptions", "bronze.mimiciii_noteevents"

ICU_TYPES = {"CCU": "CCU", "CSRU": "CSRU", "MICU": "MICU", "SICU": "SICU", "TSICU": "SICU"}
UNMASKED_FROM = "2000-01-01"
"""Shifted admissions lie in 2100-2200: who was born before this is over 89, and the birth date is a mask."""
DAYS_A_YEAR = 365.25


def patients(mimiciii_patients: DataFrame, identify: Identifier) -> DataFrame:
    born = F.col("dob").cast("date")
    return mimiciii_patients.select(
        identify(SOURCE, "subject_id").alias("patient_id"),
        F.lit(SOURCE).alias("source"),
        "gender",
        F.when(born >= F.lit(UNMASKED_FROM).cast("date"), born).alias("birth_date"),
        F.col("dod").cast("date").alias("death_date"),
    )


def admissions(mimiciii_admissions: DataFrame, identify: Identifier) -> DataFrame:
    return mimic.admissions(mimiciii_admissions, SOURCE, "ethnicity", identify)


def stays(
    mimiciii_icustays: DataFrame,
    mimiciii_admissions: DataFrame,
    mimiciii_patients: DataFrame,
    identify: Identifier,
) -> DataFrame:
    age = F.datediff("intime", "dob") / DAYS_A_YEAR
    return mimic.stays(
        mimiciii_icustays,
        mimiciii_admissions,
        mimiciii_patients,
        SOURCE,
        "icustay_id",
        age,
        ICU_TYPES,
        identify,
    )


def events(
    mimiciii_icustays: DataFrame,
    mimiciii_chartevents: DataFrame,
    mimiciii_labevents: DataFrame,
    mimiciii_outputevents: DataFrame,
    mimiciii_procedureevents_mv: DataFrame,
    identify: Identifier,
) -> DataFrame:
    """Marked errors and rewritten procedures do not count; the presence of the others is up to the dictionary."""
    stay = "icustay_id"
    charted = mimic.charted(
        mimiciii_chartevents,
        CHART,
        stay,
        "charttime",
        "valuenum",
        "valueuom",
        F.when(F.col("error") == 1, F.lit("marked_error")),
    )
    lab = mimic.charted(mimiciii_labevents, LAB, None, "charttime", "valuenum", "valueuom")
    output = mimic.charted(
        mimiciii_outputevents,
        OUTPUT,
        stay,
        "charttime",
        "value",
        "valueuom",
        F.when(F.col("iserror") == 1, F.lit("marked_error")),
    )
    procedure = mimic.charted(
        mimiciii_procedureevents_mv,
        PROCEDURE,
        stay,
        "starttime",
        "value",
        "valueuom",
        F.when(F.col("statusdescription") == "Rewritten", F.lit("rewritten")),
    )
    rows = charted.unionByName(lab).unionByName(output).unionByName(procedure)
    return mimic.events(rows, mimiciii_icustays, SOURCE, stay, identify)


def diagnoses(
    mimiciii_diagnoses_icd: DataFrame, mimiciii_d_icd_diagnoses: DataFrame, identify: Identifier
) -> DataFrame:
    return mimic.coded(
        mimiciii_diagnoses_icd, mimiciii_d_icd_diagnoses, SOURCE, "icd9_code", {9: "ICD-9-CM"}, identify
    ).drop("performed_on")


def procedures(
    mimiciii_procedures_icd: DataFrame, mimiciii_d_icd_procedures: DataFrame, identify: Identifier
) -> DataFrame:
    return mimic.coded(
        mimiciii_procedures_icd, mimiciii_d_icd_procedures, SOURCE, "icd9_code", {9: "ICD-9-PCS"}, identify
    )


def medications(mimiciii_prescriptions: DataFrame, identify: Identifier) -> DataFrame:
    return mimiciii_prescriptions.select(
        identify(SOURCE, "row_id").alias("medication_id"),
        F.lit(SOURCE).alias("source"),
        identify(SOURCE, "subject_id").alias("patient_id"),
        identify(SOURCE, "hadm_id").alias("admission_id"),
        identify(SOURCE, "icustay_id").alias("stay_id"),
        "drug",
        "route",
        mimic.dose("dose_val_rx").alias("dose"),
        F.col("dose_val_rx").alias("dose_text"),
        F.col("dose_unit_rx").alias("dose_unit"),
        "ndc",
        F.col("startdate").alias("started_at"),
        F.col("enddate").alias("ended_at"),
    )


def notes(mimiciii_noteevents: DataFrame, identify: Identifier) -> DataFrame:
    """A note without a time is dated to the end of its day: it must not be known before it was written."""
    end_of_day = F.col("chartdate").cast("date").cast("timestamp") + F.expr("INTERVAL 86399 SECONDS")
    return mimiciii_noteevents.select(
        identify(SOURCE, "row_id").alias("note_id"),
        F.lit(SOURCE).alias("source"),
        identify(SOURCE, "subject_id").alias("patient_id"),
        identify(SOURCE, "hadm_id").alias("admission_id"),
        F.trim("category").alias("category"),
        F.coalesce("charttime", end_of_day).alias("written_at"),
        "text",
        F.when(F.col("iserror") == "1", F.lit("marked_error")).alias("_left_out"),
    )


MAPPINGS = (
    Mapping(SOURCE, "silver.patients", (PATIENTS,), patients, consumes=(PATIENTS,)),
    Mapping(SOURCE, "silver.admissions", (ADMISSIONS,), admissions, consumes=(ADMISSIONS,)),
    Mapping(SOURCE, "silver.stays", (ICUSTAYS, ADMISSIONS, PATIENTS), stays, consumes=(ICUSTAYS,)),
    Mapping(
        SOURCE,
        "silver.events",
        (ICUSTAYS, CHART, LAB, OUTPUT, PROCEDURE),
        events,
        consumes=(CHART, LAB, OUTPUT, PROCEDURE),
    ),
    Mapping(SOURCE, "silver.diagnoses", (DIAGNOSES, D_DIAGNOSES), diagnoses, consumes=(DIAGNOSES,)),
    Mapping(SOURCE, "silver.procedures", (PROCEDURES, D_PROCEDURES), procedures, consumes=(PROCEDURES,)),
    Mapping(SOURCE, "silver.medications", (PRESCRIPTIONS,), medications, consumes=(PRESCRIPTIONS,)),
    Mapping(SOURCE, "silver.notes", (NOTES,), notes, consumes=(NOTES,)),
)
