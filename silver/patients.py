"""patients: one row a person in a source.

Key: patient_id. From: each source's patient register; for the Challenge, whose records cannot be linked, one patient a
record. Must never contain: a masked birth date (300 years early), a name, or a raw identifier where there is a key.
"""

from pyspark.sql import DataFrame

from lakehouse.table import MAPPED, Rule, Table

TABLE = Table(
    name="silver.patients",
    description="One row a person in a source.",
    ddl="""
        patient_id STRING NOT NULL COMMENT 'the person, unique over all sources',
        source STRING NOT NULL COMMENT 'source system, a module of silver/sources',
        gender STRING COMMENT 'F or M as registered; null: not recorded',
        birth_date DATE COMMENT 'shifted as the source shifts its dates; null: masked or not published',
        death_date DATE COMMENT 'shifted likewise; null: no death known'
    """,
    key=("patient_id",),
    inputs=(MAPPED,),
    partition_by=("source",),
    by="patient_id",
    rules=(
        Rule("known_gender", "gender IN ('F', 'M')"),
        Rule("death_after_birth", "death_date >= birth_date"),
    ),
)


def build(mapped: DataFrame) -> DataFrame:
    """`mapped`: the contract's columns, one row a registered person."""
    return mapped
