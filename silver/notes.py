"""notes: one row a free-text note.

Key: note_id. From: each source's notes and `silver.admissions`. Must never contain a note that was marked as an error.
A discharge summary is written when the outcome is known: nothing that predicts its admission may read it.
"""

from pyspark.sql import DataFrame

from lakehouse.table import MAPPED, Rule, Table
from silver.references import with_known

TABLE = Table(
    name="silver.notes",
    description="One row a free-text note.",
    ddl="""
        note_id STRING NOT NULL COMMENT 'the note, unique over all sources',
        source STRING NOT NULL COMMENT 'source system, a module of silver/sources',
        patient_id STRING NOT NULL COMMENT 'the person, silver.patients',
        admission_id STRING COMMENT 'the admission, silver.admissions; null: outside one',
        category STRING COMMENT 'kind of note, such as Discharge summary',
        written_at TIMESTAMP COMMENT 'time of the note, UTC; the end of its day where only that is published',
        text STRING COMMENT 'the note'
    """,
    key=("note_id",),
    inputs=(MAPPED, "silver.admissions"),
    partition_by=("source",),
    by="patient_id",
    rules=(
        Rule("known_admission", "_known_admission_id"),
        Rule("holds_text", "text IS NOT NULL AND trim(text) <> ''", "warn"),
    ),
)


def build(mapped: DataFrame, admissions: DataFrame) -> DataFrame:
    """`mapped`: the contract's columns, one row a note."""
    return with_known(mapped, admissions, "admission_id")
