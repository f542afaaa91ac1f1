"""Challenge 2012 on the clinical model: descriptors, outcomes, records without series."""

from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from silver_frames import PLAIN, dictionary, judged, table_rows

from silver import admissions, patients, stays
from silver.sources import challenge2012
from tests.conftest import assert_frame

pytestmark = pytest.mark.engine

MEASUREMENTS = "bronze.challenge2012_measurements"
OUTCOMES = "bronze.challenge2012_outcomes"
DESCRIPTORS = ("RecordID", "Age", "Gender", "Height", "ICUType", "Weight")


def records(spark: SparkSession) -> DataFrame:
    """1: whole, descriptors amid measurements. 2: all missing, no series, no outcome. 3: in metres, and in set b."""
    rows = [
        (1, "a", "00:00", "RecordID", 1.0),
        (1, "a", "00:00", "HR", 88.0),
        (1, "a", "00:00", "Age", 54.0),
        (1, "a", "00:00", "Gender", 0.0),
        (1, "a", "00:00", "Height", 70.0),
        (1, "a", "00:00", "GCS", 15.0),
        (1, "a", "00:00", "ICUType", 4.0),
        (1, "a", "00:00", "Weight", 81.5),
        (1, "a", "00:00", "Weight", 90.0),
        (1, "a", "05:00", "Weight", 99.0),
        *((2, "a", "00:00", name, -1.0) for name in DESCRIPTORS),
        *(
            (3, "b", "00:00", name, value)
            for name, value in zip(DESCRIPTORS, (3.0, 90.0, 1.0, 1.8, 2.0, 900.0), strict=True)
        ),
        (3, "b", "07:00", "Age", 99.0),
    ]
    return table_rows(
        spark,
        MEASUREMENTS,
        *(
            {"record_id": r, "record_set": s, "time": t, "parameter": p, "value": v, "_source_row": i}
            for i, (r, s, t, p, v) in enumerate(rows, 1)
        ),
    )


def outcomes(spark: SparkSession) -> DataFrame:
    def row(record: int, record_set: str, saps: int, sofa: int, days: int, survival: int, death: int) -> dict[str, Any]:
        return {
            "record_id": record, "record_set": record_set, "saps_i": saps, "sofa": sofa, "length_of_stay": days,
            "survival": survival, "in_hospital_death": death,
        }  # fmt: skip

    return table_rows(
        spark, OUTCOMES, row(1, "a", 6, 1, 5, -1, 0), row(3, "b", -1, -1, -1, 2, 1), row(9, "a", 1, 1, 1, 1, 1)
    )


def challenge_id(record: int) -> str:
    return f"challenge2012-{record}"


def test_each_record_is_a_patient_and_an_admission(spark: SparkSession) -> None:
    people = judged(patients.build(challenge2012.patients(records(spark), PLAIN)), patients.TABLE)
    accounting = {"_left_out": None, "_rows": 1, "_merged_as": None, "_from": None, "_broken": ""}
    assert_frame(
        people,
        [
            {
                "patient_id": challenge_id(record), "source": "challenge2012", "gender": gender, "birth_date": None,
                "death_date": None, **accounting,
            }
            for record, gender in ((1, "F"), (2, None), (3, "M"))
        ],
        ("patient_id",),
    )  # fmt: skip
    admitted = judged(
        admissions.build(challenge2012.admissions(records(spark), outcomes(spark), PLAIN), people), admissions.TABLE
    )
    nothing = dict.fromkeys(admissions.TABLE.column_names)
    assert_frame(
        admitted,
        [
            {
                **nothing, "admission_id": challenge_id(record), "patient_id": challenge_id(record),
                "source": "challenge2012", "in_hospital_death": death, **accounting,
            }
            for record, death in ((1, False), (2, None), (3, True))
        ],
        ("admission_id",),
    )  # fmt: skip


def test_each_record_is_a_stay_with_its_descriptors(spark: SparkSession) -> None:
    ids = [dict.fromkeys(("admission_id", "patient_id"), challenge_id(i)) for i in (1, 2, 3)]
    admitted = table_rows(spark, "silver.admissions", *ids)
    words = dictionary(spark)
    built = stays.build(
        challenge2012.stays(records(spark), outcomes(spark), PLAIN),
        admitted,
        words["concepts"],
        words["corrections"],
    )

    def row(record: int, **values: Any) -> dict[str, Any]:
        same = dict.fromkeys(("stay_id", "admission_id", "patient_id"), challenge_id(record))
        return {
            **dict.fromkeys(stays.TABLE.column_names), **same, "source": "challenge2012", "icu_hours": 48.0,
            "age_masked": False, "_left_out": None, "_rows": 1, "_merged_as": None, "_from": OUTCOMES, "_broken": "",
            **values,
        }  # fmt: skip

    expected = [
        row(
            1, record_set="a", icu_type="SICU", age=54.0, gender="F", height_cm=177.8, weight_kg=81.5,
            in_hospital_death=False, saps_i_outcome=6, sofa_outcome=1, length_of_stay_days=5,
        ),
        row(2, record_set="a", _from=MEASUREMENTS),
        row(
            3, record_set="b", icu_type="CSRU", age=90.0, age_masked=True, gender="M", height_cm=180.0, weight_kg=None,
            in_hospital_death=True, survival_days=2,
        ),
        row(
            9, record_set="a", in_hospital_death=True, saps_i_outcome=1, sofa_outcome=1, length_of_stay_days=1,
            survival_days=1, _left_out="no_record",
        ),
    ]  # fmt: skip
    assert_frame(judged(built, stays.TABLE), expected, ("stay_id",))
    notes = {r.stay_id: (r._height_cm_note, r._weight_kg_note) for r in built.collect()}
    assert notes[challenge_id(2)] == (None, None)
    assert notes[challenge_id(3)] == (None, "impossible_value")
