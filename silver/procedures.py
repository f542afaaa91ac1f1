"""procedures: one row a procedure coded for an admission.

Key: admission_id, code_system, code, sequence. From: each source's billing codes with their titles, and
`silver.admissions`. Codes are assigned after discharge: they must never describe a stay of their own admission in
anything that predicts it. (Procedures charted at the bedside, such as ventilation, are events.)
"""

from pyspark.sql import DataFrame

from lakehouse.table import MAPPED, Rule, Table
from silver.references import with_known

TABLE = Table(
    name="silver.procedures",
    description="One row a procedure coded for an admission.",
    ddl="""
        admission_id STRING NOT NULL COMMENT 'the admission, silver.admissions',
        source STRING NOT NULL COMMENT 'source system, a module of silver/sources',
        patient_id STRING NOT NULL COMMENT 'the person, silver.patients',
        sequence INT COMMENT 'order of the procedures',
        code STRING NOT NULL COMMENT 'code without its point, as published',
        code_system STRING NOT NULL COMMENT 'ICD-9-PCS or ICD-10-PCS',
        title STRING COMMENT 'long title of the code; null: not in the source''s dictionary',
        performed_on DATE COMMENT 'day of the procedure; null: not published'
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
    """`mapped`: the contract's columns, one row a coded procedure."""
    return with_known(mapped, admissions, "admission_id")
