"""Small made-up frames in the silver schemas, as far as the gold layer reads them."""

from datetime import datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from lakehouse.tasks import Split, Task

START = datetime(2150, 3, 1, 8)

STAYS = (
    "stay_id STRING, source STRING, patient_id STRING, admission_id STRING, record_set STRING, icu_type STRING, "
    "started_at TIMESTAMP, icu_hours DOUBLE, age DOUBLE, age_masked BOOLEAN, gender STRING, height_cm DOUBLE, "
    "weight_kg DOUBLE, in_hospital_death BOOLEAN, saps_i_outcome INT, sofa_outcome INT, length_of_stay_days INT, "
    "survival_days INT"
)
STAY: dict[str, Any] = {
    "source": "made_up",
    "record_set": "a",
    "icu_type": "MICU",
    "started_at": START,
    "icu_hours": 60.0,
    "age": 65.0,
    "age_masked": False,
    "gender": "F",
    "height_cm": 160.0,
    "weight_kg": 64.0,
    "in_hospital_death": False,
    "saps_i_outcome": None,
    "sofa_outcome": None,
    "length_of_stay_days": None,
    "survival_days": None,
}
EVENTS = "stay_id STRING, concept STRING, minute INT, value DOUBLE"
ADMISSIONS = (
    "admission_id STRING, patient_id STRING, admitted_at TIMESTAMP, discharged_at TIMESTAMP, admission_type STRING, "
    "ed_arrived_at TIMESTAMP, ed_left_at TIMESTAMP"
)
DIAGNOSES = "admission_id STRING, code_system STRING, code STRING"


def task(**changes: Any) -> Task:
    return Task(name="mortality", label="in_hospital_death", split=Split(), **changes)


def stays(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    """Stays with `STAY`'s values where a row says nothing; patient and admission are named after the stay."""
    full = [{**STAY, "patient_id": f"p-{row['stay_id']}", "admission_id": f"h-{row['stay_id']}", **row} for row in rows]
    names = [column.split()[0] for column in STAYS.split(", ")]
    return spark.createDataFrame([tuple(row[name] for name in names) for row in full], STAYS)


def events(spark: SparkSession, *rows: tuple[str, str, int, float]) -> DataFrame:
    return spark.createDataFrame([(s, c, m, float(v)) for s, c, m, v in rows], EVENTS)


def admissions(spark: SparkSession, *rows: tuple[str, str, float, float]) -> DataFrame:
    """(admission_id, patient_id, day admitted, day discharged), days counted from `START`; none came by emergency."""
    return spark.createDataFrame(
        [(a, p, START + timedelta(days=x), START + timedelta(days=y), "EMERGENCY", None, None) for a, p, x, y in rows],
        ADMISSIONS,
    )


def diagnoses(spark: SparkSession, *rows: tuple[str, str, str]) -> DataFrame:
    return spark.createDataFrame(list(rows), DIAGNOSES)
