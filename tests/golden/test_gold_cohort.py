"""The cohort's rule, its reasons and its splits."""

from collections import defaultdict
from hashlib import sha256

import pytest
from gold_frames import stays, task
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from gold.mortality import cohort
from lakehouse.tasks import Split
from tests.conftest import assert_frame


@pytest.mark.engine
def test_cohort_golden(spark: SparkSession) -> None:
    given = stays(
        spark,
        {"stay_id": "s1", "age": 16.0, "icu_hours": 48.0, "in_hospital_death": True},
        {"stay_id": "s2", "record_set": "b"},
        {"stay_id": "s3", "record_set": "c", "in_hospital_death": None},
        {"stay_id": "s4", "record_set": None, "age": 15.9},
        {"stay_id": "s5", "icu_hours": 47.9},
        {"stay_id": "s6", "age": None},
        {"stay_id": "s7", "icu_hours": None},
    )

    def row(stay: str, record_set: str | None, split: str, label: int | None, why: str | None) -> dict[str, object]:
        return {
            "stay_id": stay,
            "source": "made_up",
            "patient_id": f"p-{stay}",
            "admission_id": f"h-{stay}",
            "record_set": record_set,
            "split": split,
            "window_hours": 48,
            "in_hospital_death": label,
            "_left_out": why,
        }

    assert_frame(
        cohort.build(given, task()),
        [
            row("s1", "a", "train", 1, None),
            row("s2", "b", "test", 0, None),
            row("s3", "c", "external", None, None),
            row("s4", None, "external", 0, "under_16"),
            row("s5", "a", "train", 0, "shorter_than_48_h"),
            row("s6", "a", "train", 0, "age_unknown"),
            row("s7", "a", "train", 0, "icu_hours_unknown"),
        ],
        key=("stay_id",),
    )


def test_cohort_gives_the_columns_of_its_contract(spark: SparkSession) -> None:
    built = cohort.build(stays(spark, {"stay_id": "s1"}), task())
    assert built.columns == [*cohort.TABLE.column_names, "_left_out"]
    types = {c.name: c.spark_type for c in cohort.TABLE.columns}
    assert {f.name: f.dataType.simpleString() for f in built.schema if f.name in types} == types


def test_a_patient_in_train_and_test_sets_is_tested_only(spark: SparkSession) -> None:
    given = stays(
        spark,
        {"stay_id": "s1", "patient_id": "p", "record_set": "a"},
        {"stay_id": "s2", "patient_id": "p", "record_set": "b"},
        {"stay_id": "s3", "patient_id": "q", "record_set": "a"},
        {"stay_id": "s4", "patient_id": "q", "record_set": None},
    )
    split = {r.stay_id: r.split for r in cohort.build(given, task()).collect()}
    assert split == {"s1": "test", "s2": "test", "s3": "train", "s4": "train"}


@pytest.mark.parametrize("seed", [1, 2])
def test_hash_split_keeps_patients_whole_and_its_share(spark: SparkSession, seed: int) -> None:
    split = Split(by="patient_hash", test_fraction=0.3, seed=seed)
    given = spark.range(6000).select(
        F.concat(F.lit("s"), F.col("id")).alias("stay_id"),
        F.concat(F.lit("p"), (F.col("id") % 2000).cast("string")).alias("patient_id"),
    )
    rows = given.select("stay_id", "patient_id", cohort.split_of(split).alias("split")).collect()
    of_patient = defaultdict(set)
    for r in rows:
        of_patient[r.patient_id].add(r.split)
    assert all(len(splits) == 1 for splits in of_patient.values())
    assert set().union(*of_patient.values()) == {"train", "test"}
    tested = sum("test" in splits for splits in of_patient.values()) / 2000
    assert tested == pytest.approx(0.3, abs=0.035)  # three standard errors of 2,000 draws


@pytest.mark.engine
def test_hash_split_depends_on_patient_and_seed_alone(spark: SparkSession) -> None:
    """Worked by hand: sha256('7:p-1') begins with the twelve digits that are compared with the share."""
    share = int(sha256(b"7:p-1").hexdigest()[:12], 16) / 16**12
    for fraction, expected in ((share - 1e-9, "train"), (share + 1e-9, "test")):
        split = Split(by="patient_hash", test_fraction=fraction, seed=7)
        one = spark.createDataFrame([("p-1",)], "patient_id STRING").select(cohort.split_of(split).alias("split"))
        assert one.first().split == expected  # type: ignore[union-attr]
