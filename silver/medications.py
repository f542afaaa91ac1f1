"""medications: one row a component of a drug prescribed.

Key: medication_id. From: each source's prescriptions and `silver.admissions`. What was ordered, not what was given:
must never be read as an administration.
"""

from pyspark.sql import DataFrame

from lakehouse.table import MAPPED, Rule, Table
from silver.references import with_known

TABLE = Table(
    name="silver.medications",
    description="One row a component of a drug prescribed.",
    ddl="""
        medication_id STRING NOT NULL COMMENT 'the prescription''s component, unique over all sources',
        source STRING NOT NULL COMMENT 'source system, a module of silver/sources',
        patient_id STRING NOT NULL COMMENT 'the person, silver.patients',
        admission_id STRING COMMENT 'the admission, silver.admissions; null: outside one',
        stay_id STRING COMMENT 'the ICU stay that was open at the start; null: none',
        drug STRING COMMENT 'name as prescribed',
        route STRING COMMENT 'route, such as PO or IV',
        dose DOUBLE COMMENT 'dose in `dose_unit`; null where the text is a range or no number',
        dose_text STRING COMMENT 'dose as written',
        dose_unit STRING COMMENT 'unit of the dose',
        ndc STRING COMMENT 'national drug code, 11 digits; 0 or null: unknown',
        started_at TIMESTAMP COMMENT 'start of the prescription, UTC (MIMIC-III: midnight of its day)',
        ended_at TIMESTAMP COMMENT 'end of the prescription, UTC (MIMIC-III: midnight of its day)'
    """,
    key=("medication_id",),
    inputs=(MAPPED, "silver.admissions"),
    partition_by=("source",),
    by="patient_id",
    rules=(
        Rule("known_admission", "_known_admission_id"),
        Rule("ends_after_it_begins", "ended_at >= started_at", "warn"),
        Rule("dose_not_negative", "dose >= 0"),
    ),
)


def build(mapped: DataFrame, admissions: DataFrame) -> DataFrame:
    """`mapped`: the contract's columns, one row a component prescribed."""
    return with_known(mapped, admissions, "admission_id")
