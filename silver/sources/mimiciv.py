"""MIMIC-IV on the clinical model: modules hosp and icu (MetaVision).

Johnson et al., Sci Data 10:1 (2023). No birth dates: a patient has an age (`anchor_age`, 91 for all over 89) in one
shifted year. Laboratory rows and prescriptions name no stay; the published modules hold no notes.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from lakehouse.pseudonyms import Identifier
from lakehouse.table import Mapping
from silver.sources import mimic

SOURCE = "mimiciv"
PATIENTS, ADMISSIONS, ICUSTAYS = (f"bronze.mimiciv_{t}" for t in ("patients", "admissions", "icustays"))
CHART, LAB = "bronze.mimiciv_chartevents", "bronze.mimiciv_labevents"
OUTPUT, PROCEDURE = "bronze.mimiciv_outputevents", "bronze.mimiciv_procedureevents"
DIAGNOSES, D_DIAGNOSES = "bronze.mimiciv_diagnoses_icd", "bronze.mimiciv_d_icd_diagnoses"
PROCEDURES, D_PROCEDURES = "bronze.mimiciv_procedures_icd", "bronze.mimiciv_d_icd_procedures"
PRESCRIPTIONS = "bronze.mimiciv_prescriptions"

ICU_TYPES = {
    "Coronary Care Unit (CCU)": "CCU",
    "Cardiac Vascular Intensive Care Unit (CVICU)": "CSRU",
    "Medical Intensive Care Unit (MICU)": "MICU",
    "Medical/Surgical Intensive Care Unit (MICU/SICU)": "MICU",
    "Surgical Intensive Care Unit (SICU)": "SICU",
    "Trauma SICU (TSICU)": "SICU",
    "Neuro Surgical Intensive Care Unit (Neuro SICU)": "SICU",
}
"""First care unit; step-down and intermediate units are no ICU of the four kinds."""


def patients(mimiciv_patients: DataFrame, identify: Identifier) -> DataFrame:
    return mimiciv_patients.select(
        identify(SOURCE, "subject_id").alias("patient_id"),
        F.lit(SOURCE).alias("source"),
        "gender",
        F.lit(None).cast("date").alias("birth_date"),
        F.col("dod").cast("date").alias("death_date"),
    )


def admissions(mimiciv_admissions: DataFrame, identify: Identifier) -> DataFrame:
    return mimic.admissions(mimiciv_admissions, SOURCE, "race", identify)


def stays(
    mimiciv_icustays: DataFrame, mimiciv_admissions: DataFrame, mimiciv_patients: DataFrame, identify: Identifier
) -> DataFrame:
    age = F.col("anchor_age") + F.year("intime") - F.col("anchor_year")
    return mimic.stays(
        mimiciv_icustays, mimiciv_admissions, mimiciv_patients, SOURCE, "stay_id", age, ICU_TYPES, identify
    )


def events(
    mimiciv_icustays: DataFrame,
    mimiciv_chartevents: DataFrame,
    mimiciv_labevents: DataFrame,
    mimiciv_outputevents: DataFrame,
    mimiciv_procedureevents: DataFrame,
    identify: Identifier,
) -> DataFrame:
    stay = "stay_id"
    rows = (
        mimic.charted(mimiciv_chartevents, CHART, stay, "charttime", "valuenum", "valueuom")
        .unionByName(mimic.charted(mimiciv_labevents, LAB, None, "charttime", "valuenum", "valueuom"))
        .unionByName(mimic.charted(mimiciv_outputevents, OUTPUT, stay, "charttime", "value", "valueuom"))
        .unionByName(mimic.charted(mimiciv_procedureevents, PROCEDURE, stay, "starttime", "value", "valueuom"))
    )
    return mimic.events(rows, mimiciv_icustays, SOURCE, stay, identify)


def diagnoses(mimiciv_diagnoses_icd: DataFrame, mimiciv_d_icd_diagnoses: DataFrame, identify: Identifier) -> DataFrame:
    systems = {9: "ICD-9-CM", 10: "ICD-10-CM"}
    return mimic.coded(mimiciv_diagnoses_icd, mimiciv_d_icd_diagnoses, SOURCE, "icd_code", systems, identify).drop(
        "performed_on"
    )


def procedures(
    mimiciv_procedures_icd: DataFrame, mimiciv_d_icd_procedures: DataFrame, identify: Identifier
) -> DataFrame:
    systems = {9: "ICD-9-PCS", 10: "ICD-10-PCS"}
    return mimic.coded(mimiciv_procedures_icd, mimiciv_d_icd_procedures, SOURCE, "icd_code", systems, identify)


def medications(mimiciv_prescriptions: DataFrame, mimiciv_icustays: DataFrame, identify: Identifier) -> DataFrame:
    """The stay is the one open at the start. A pharmacy entry has a row a component; its place in file order tells."""
    of_entry = Window.partitionBy("pharmacy_id").orderBy("_source_file", "_source_row")
    rows = mimiciv_prescriptions.select(
        "*",
        F.row_number().over(of_entry).cast("string").alias("_component"),
        F.col("subject_id").alias("_subject"),
        F.lit(None).cast("bigint").alias("_given_stay"),
        F.col("starttime").alias("time"),
    )
    placed = mimic.in_stays(rows, mimiciv_icustays, SOURCE, "stay_id", identify)
    return placed.select(
        F.concat_ws("-", identify(SOURCE, "pharmacy_id"), "_component").alias("medication_id"),
        F.lit(SOURCE).alias("source"),
        identify(SOURCE, "subject_id").alias("patient_id"),
        identify(SOURCE, "hadm_id").alias("admission_id"),
        "stay_id",
        "drug",
        "route",
        mimic.dose("dose_val_rx").alias("dose"),
        F.col("dose_val_rx").alias("dose_text"),
        F.col("dose_unit_rx").alias("dose_unit"),
        "ndc",
        F.col("starttime").alias("started_at"),
        F.col("stoptime").alias("ended_at"),
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
    Mapping(SOURCE, "silver.medications", (PRESCRIPTIONS, ICUSTAYS), medications, consumes=(PRESCRIPTIONS,)),
)
