"""Sequences, event by event."""

import pytest
from gold_frames import events, stays, task
from pyspark.sql import SparkSession

from gold.mortality import cohort, sequences
from lakehouse.reference import dictionary_frame, read_dictionary
from tests.conftest import assert_frame

IDS = {str(row["concept"]): row["id"] for row in read_dictionary("concepts")}


@pytest.mark.engine
def test_sequences_golden(spark: SparkSession) -> None:
    asked = task()
    given = stays(spark, {"stay_id": "s1"}, {"stay_id": "silent"}, {"stay_id": "later"})
    measured = events(
        spark,
        ("s1", "wbc", 30, 11.5),
        ("s1", "hr", 2880, 70),
        ("s1", "temp", 30, 38),
        ("s1", "albumin", 30, 3.1),
        ("s1", "hr", 0, 90),
        ("s1", "hr", -1, 99),
        ("s1", "hr", 2881, 50),
        ("later", "hr", 3000, 50),
        ("of_another_cohort", "hr", 0, 50),
    )
    built = sequences.build(cohort.build(given, asked), measured, dictionary_frame(spark, "concepts"), asked)
    assert [(f.name, f.dataType.simpleString()) for f in built.schema] == [
        (c.name, c.spark_type) for c in sequences.TABLE.columns
    ]
    empty = {"source": "made_up", "minutes": [], "concepts": [], "values": []}
    assert_frame(
        built,
        [
            {
                "stay_id": "s1",
                "source": "made_up",
                "minutes": [0, 30, 30, 30, 2880],
                "concepts": [IDS["hr"], IDS["albumin"], IDS["temp"], IDS["wbc"], IDS["hr"]],
                "values": [90.0, 3.1, 38.0, 11.5, 70.0],
            },
            {"stay_id": "silent", **empty},
            {"stay_id": "later", **empty},
        ],
        key=("stay_id",),
    )
