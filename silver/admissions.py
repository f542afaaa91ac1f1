"""admissions: one row a hospital admission.

Key: admission_id. From: each source's admission register and `silver.patients`; for the Challenge one admission a
record. Must never contain: an admission of a patient that `silver.patients` lacks.
"""

from pyspark.sql import DataFrame

from lakehouse.table import MAPPED, Rule, Table
from silver.references import with_known

TABLE = Table(
    name="silver.admissions",
    description="One row a hospital admission.",
    ddl="""
        admission_id STRING NOT NULL COMMENT 'the admission, unique over all sources',
        source STRING NOT NULL COMMENT 'source system, a module of silver/sources',
        patient_id STRING NOT NULL COMMENT 'the person, silver.patients',
        admitted_at TIMESTAMP COMMENT 'admission to the hospital, UTC; null where not published',
        discharged_at TIMESTAMP COMMENT 'discharge, UTC',
        died_at TIMESTAMP COMMENT 'death in the hospital, UTC; null: none',
        in_hospital_death BOOLEAN COMMENT 'the patient died in this admission; null: not published',
        admission_type STRING COMMENT 'as the source names it, such as EMERGENCY',
        admission_location STRING COMMENT 'where the patient came from',
        discharge_location STRING COMMENT 'where the patient went; known only at discharge',
        insurance STRING COMMENT 'payer',
        language STRING COMMENT 'language spoken',
        marital_status STRING COMMENT 'as registered',
        ethnicity STRING COMMENT 'as registered (MIMIC-IV: race)',
        ed_arrived_at TIMESTAMP COMMENT 'registration in the emergency department, UTC; null: not through it',
        ed_left_at TIMESTAMP COMMENT 'departure from the emergency department, UTC'
    """,
    key=("admission_id",),
    inputs=(MAPPED, "silver.patients"),
    partition_by=("source",),
    by="patient_id",
    rules=(
        Rule("known_patient", "_known_patient_id"),
        Rule("discharged_after_admitted", "discharged_at >= admitted_at"),
        Rule("left_ed_after_arrival", "ed_left_at >= ed_arrived_at", "warn"),
        Rule("death_time_of_a_death", "died_at IS NULL OR in_hospital_death", "warn"),
    ),
)


def build(mapped: DataFrame, patients: DataFrame) -> DataFrame:
    """`mapped`: the contract's columns, one row a registered admission."""
    return with_known(mapped, patients, "patient_id")
