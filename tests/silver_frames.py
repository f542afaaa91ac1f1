"""Small made-up frames for the silver layer: bronze rows by their contracts, and a dictionary of a few concepts."""

from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lakehouse.pseudonyms import Identifier
from lakehouse.registry import registry
from lakehouse.rules import BROKEN, apply_rules, check_columns
from lakehouse.table import Table

PLAIN = Identifier()

CONCEPTS = "id INT, concept STRING, unit STRING, possible_low DOUBLE, possible_high DOUBLE, plausible_low DOUBLE, "
CONCEPTS += "plausible_high DOUBLE, aggregate STRING"
SOURCES = "position INT, source STRING, table STRING, item STRING, concept STRING, unit STRING, scale DOUBLE, "
SOURCES += "offset DOUBLE, value_from STRING"
CORRECTIONS = "position INT, source STRING, concept STRING, rule STRING, low DOUBLE, high DOUBLE, action STRING, "
CORRECTIONS += "scale DOUBLE, offset DOUBLE"


def table_rows(spark: SparkSession, name: str, *rows: dict[str, Any]) -> DataFrame:
    """Rows of a table of the registry, columns that a row does not name null."""
    columns = registry().tables[name].columns
    if unknown := {key for row in rows for key in row} - {c.name for c in columns}:
        raise ValueError(f"{name} has no {unknown}")
    ddl = ", ".join(f"`{c.name}` {c.type}" for c in columns)
    return spark.createDataFrame([tuple(row.get(c.name) for c in columns) for row in rows], ddl)


def judged(frame: DataFrame, table: Table) -> DataFrame:
    """The frame after the runner's own checks: the contract's columns, the accounting, `_broken` as sorted text."""
    check_columns(frame, table)
    accounting = ("_left_out", "_rows", "_merged_as", "_from")
    ruled = apply_rules(frame, table).withColumn(BROKEN, F.array_join(F.array_sort(F.split(BROKEN, " ")), " "))
    return ruled.select(*table.column_names, *accounting, BROKEN)


def concepts(spark: SparkSession) -> DataFrame:
    rows = [
        (1, "hr", "bpm", 1.0, 350.0, 20.0, 300.0, "mean"),
        (2, "temp", "degC", 25.0, 46.0, 26.0, 44.0, "mean"),
        (3, "ph", "pH", 6.3, 8.4, 6.6, 7.9, "mean"),
        (4, "pao2", "mmHg", 15.0, 800.0, 20.0, 700.0, "mean"),
        (5, "urine", "mL", 0.0, 5000.0, 0.0, 3000.0, "sum"),
        (6, "mech_vent", "flag", 0.0, 1.0, 0.0, 1.0, "max"),
        (7, "sys_abp", "mmHg", 10.0, 375.0, 30.0, 300.0, "mean"),
        (8, "dias_abp", "mmHg", 5.0, 200.0, 10.0, 160.0, "mean"),
        (9, "map", "mmHg", 10.0, 250.0, 20.0, 200.0, "mean"),
        (10, "ni_sys_abp", "mmHg", None, None, None, None, "mean"),
        (11, "ni_dias_abp", "mmHg", None, None, None, None, "mean"),
        (12, "ni_map", "mmHg", None, None, None, None, "mean"),
        (13, "gcs", "points", 3.0, 15.0, 3.0, 15.0, "mean"),
        (14, "gcs_eye", "points", 1.0, 4.0, 1.0, 4.0, "mean"),
        (15, "gcs_verbal", "points", 1.0, 5.0, 1.0, 5.0, "mean"),
        (16, "gcs_motor", "points", 1.0, 6.0, 1.0, 6.0, "mean"),
        (17, "weight", "kg", 20.0, 500.0, 30.0, 300.0, "mean"),
        (18, "height", "cm", 90.0, 260.0, 120.0, 230.0, "mean"),
        (19, "glucose", "mg/dL", 5.0, 2200.0, 20.0, 2000.0, "mean"),
    ]
    return spark.createDataFrame(rows, CONCEPTS)


def concept_sources(spark: SparkSession) -> DataFrame:
    challenge = {
        "HR": "hr", "Temp": "temp", "pH": "ph", "PaO2": "pao2", "Urine": "urine", "MechVent": "mech_vent",
        "SysABP": "sys_abp", "DiasABP": "dias_abp", "MAP": "map", "NISysABP": "ni_sys_abp",
        "NIDiasABP": "ni_dias_abp", "NIMAP": "ni_map", "GCS": "gcs", "Weight": "weight",
    }  # fmt: skip
    rows: list[tuple[Any, ...]] = [
        ("challenge2012", "measurements", item, concept, None, 1.0, 0.0, "valuenum")
        for item, concept in challenge.items()
    ]
    for source, procedures in (("mimiciii", "procedureevents_mv"), ("mimiciv", "procedureevents")):
        rows += [
            (source, "chartevents", "220045", "hr", None, 1.0, 0.0, "valuenum"),
            (source, "chartevents", "220739", "gcs_eye", None, 1.0, 0.0, "valuenum"),
            (source, "chartevents", "223900", "gcs_verbal", None, 1.0, 0.0, "valuenum"),
            (source, "chartevents", "223901", "gcs_motor", None, 1.0, 0.0, "valuenum"),
            (source, "chartevents", "198", "gcs", None, 1.0, 0.0, "valuenum"),
            (source, "chartevents", "226512", "weight", None, 1.0, 0.0, "valuenum"),
            (source, "chartevents", "226512", "weight", "lbs", 0.5, 0.0, "valuenum"),
            (source, "chartevents", "223849", "mech_vent", None, 1.0, 0.0, "constant:1"),
            (source, "chartevents", "225664", "glucose", None, 1.0, 0.0, "valuenum"),
            (source, "labevents", "50931", "glucose", None, 1.0, 0.0, "valuenum"),
            (source, "outputevents", "226559", "urine", None, 1.0, 0.0, "valuenum"),
            (source, "outputevents", "226560", "urine", None, 1.0, 0.0, "valuenum"),
            (source, procedures, "225792", "mech_vent", None, 1.0, 0.0, "constant:1"),
        ]
    return spark.createDataFrame([(i, *row) for i, row in enumerate(rows, 1)], SOURCES)


def corrections(spark: SparkSession) -> DataFrame:
    rows: list[tuple[Any, ...]] = [
        ("challenge2012", "*", "sentinel_missing", -1.0, -1.0, "leave_out", None, None),
        (None, "sys_abp", "zero_pressure", 0.0, 0.0, "leave_out", None, None),
        (None, "dias_abp", "zero_pressure", 0.0, 0.0, "leave_out", None, None),
        (None, "map", "zero_pressure", 0.0, 0.0, "leave_out", None, None),
        (None, "temp", "fahrenheit", 78.8, 113.0, "convert", 5 / 9, -160 / 9),
        (None, "ph", "ph_decimal_point_late", 65.0, 80.0, "convert", 0.1, 0.0),
        (None, "ph", "ph_decimal_point_lost", 650.0, 800.0, "convert", 0.01, 0.0),
        (None, "pao2", "ph_recorded_as_pao2", 6.8, 7.8, "leave_out", None, None),
        (None, "pao2", "pao2_factor_ten", 6.0, 14.9, "convert", 10.0, 0.0),
        (None, "height", "metres", 1.2, 2.3, "convert", 100.0, 0.0),
        (None, "height", "inches", 48.0, 84.0, "convert", 2.54, 0.0),
        ("mimiciii", "hr", "made_up_high", 340.0, None, "leave_out", None, None),
    ]
    return spark.createDataFrame([(i, *row) for i, row in enumerate(rows, 1)], CORRECTIONS)


def dictionary(spark: SparkSession) -> dict[str, DataFrame]:
    return {
        "concepts": concepts(spark),
        "concept_sources": concept_sources(spark),
        "corrections": corrections(spark),
    }
