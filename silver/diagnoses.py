"""diagnoses: one row a diagnosis coded for an admission.

Key: admission_id, code_system, code, sequence. From: each source's billing codes with their titles, and
`silver.admissions`. Codes are assigned after discharge: they must never describe a stay of their own admission in
anything that predicts it.
"""

from pyspark.sql import DataFrame

from lakehouse.table import MAPPED, Rule, Table
from silver.references import with_known

TABLE = Table(
    name="silver.diagnoses",
    description="One row a diagnosis coded for an admission.",
    ddl="""
        admission_id STRING NOT NULL COMMENT 'the admission, silver.admissions',
        source STRING NOT NULL COMMENT 'source system, a module of silver/sources',
        patient_id STRING NOT NULL COMMENT 'the person, silver.patients',
        sequence INT COMMENT 'priority, 1 is the main diagnosis',
        code STRING NOT NULL COMMENT 'code without its point, upper case as published',
        code_system STRING NOT NULL COMMENT 'ICD-9-CM or ICD-10-CM',
        title STRING COMMENT 'long title of the code; null: not in the source''s dictionary'
    """,
    key=("admission_id", "code_system", "code", "sequence"),
    inputs=(MAPPED, "silver.admissions"),
    partition_by=("source",),
    by="patient_id",
    rules=(
        Rule("known_admission", "_known_admission_id"),
        Rule("known_code", "title IS NOT NULL", "warn"),
    ),
)


def build(mapped: DataFrame, admissions: DataFrame) -> DataFrame:
    """`mapped`: the contract's columns, one row a coded diagnosis."""
    return with_known(mapped, admissions, "admission_id")
