"""Statistics, composites, demographics and the joined feature table, value by value."""

from collections.abc import Iterable
from datetime import timedelta
from statistics import stdev
from typing import Any

import pytest
from gold_frames import ADMISSIONS, DIAGNOSES, START, admissions, events, stays, task
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gold.mortality import code_frequencies, cohort, features
from gold.mortality.composites import composites
from gold.mortality.demographics import demographics
from gold.mortality.feature import Feature
from gold.mortality.feature_columns import feature_columns
from gold.mortality.hourly import hourly
from gold.mortality.statistics import statistics
from lakehouse.errors import ConfigError
from lakehouse.reference import dictionary_frame
from lakehouse.tasks import Task
from tests.conftest import assert_frame

HEART_RATE = {0: 90, 12: 80, 24: 100, 36: 110, 42: 120, 43: 130, 48: 140}  # by hour


def build(spark: SparkSession, given: Any, measured: DataFrame, asked: Task | None = None) -> DataFrame:
    of_cohort = cohort.build(given, asked or task()).drop("_left_out")
    admitted, coded = spark.createDataFrame([], ADMISSIONS), spark.createDataFrame([], DIAGNOSES)
    return features.build(
        of_cohort,
        given,
        measured,
        admitted,
        coded,
        code_frequencies.build(of_cohort, admitted, coded),
        dictionary_frame(spark, "comorbidities"),
        asked or task(),
    )


@pytest.mark.engine
def test_statistics_golden(spark: SparkSession) -> None:
    given = events(
        spark,
        *(("s1", "hr", hour * 60, value) for hour, value in HEART_RATE.items()),
        ("s1", "lactate", 90, 4.0),
        ("s1", "urine", 60, 0.0),
        ("s1", "urine", 2820, 120.0),
        ("s1", "mech_vent", 30, 1.0),
    )
    columns = {
        "stay_id": "s1",
        "hr_count": 7.0,
        "hr_mean": 110.0,
        "hr_std": stdev(HEART_RATE.values()),
        "hr_min": 80.0,
        "hr_max": 140.0,
        "hr_first": 90.0,
        "hr_last": 140.0,
        "hr_change": 50.0,
        "hr_deviation": 30.0,
        "hr_hours_since_last": 0.0,
        "hr_hours_to_first": 0.0,
        # first 24 h is [0, 24]: 90, 80, 100
        "hr_mean_first_24h": 90.0,
        "hr_min_first_24h": 80.0,
        "hr_max_first_24h": 100.0,
        # last 24 h is (24, 48]: hours 36, 42, 43, 48 with mean 42.25; sxy = 185, sxx = 72.75
        "hr_count_last_24h": 4.0,
        "hr_mean_last_24h": 125.0,
        "hr_slope_last_24h": 185 / 72.75,
        # last 12 h is (36, 48]: the value at 36:00 is out
        "hr_count_last_12h": 3.0,
        "hr_min_last_12h": 120.0,
        # last 6 h is (42, 48]: 130 at 43, 140 at 48
        "hr_count_last_6h": 2.0,
        "hr_mean_last_6h": 135.0,
        "hr_std_last_6h": stdev([130, 140]),
        "hr_slope_last_6h": 2.0,
        "hr_trend": 45.0,
        # one value: no spread, no slope
        "lactate_count": 1.0,
        "lactate_first": 4.0,
        "lactate_last": 4.0,
        "lactate_std": None,
        "lactate_slope": None,
        "lactate_count_last_24h": 0.0,
        "lactate_mean_last_24h": None,
        "lactate_hours_since_last": 46.5,
        "lactate_hours_to_first": 1.5,
        "lactate_trend": None,
        "urine_sum": 120.0,
        "urine_sum_first_24h": 0.0,
        "urine_sum_last_6h": 120.0,
        "mech_vent_count_first_24h": 1.0,
        "albumin_count": None,
        "albumin_mean": None,
        "events_count": 11.0,
        "events_count_last_6h": 3.0,
        "concepts_count": 4.0,
        "events_hours_since_last": 0.0,
    }
    assert_frame(flat(statistics(given, 48), columns), [columns], key=("stay_id",))


def flat(frame: DataFrame, names: Iterable[str]) -> DataFrame:
    """Statistics by name, with what a feature table does to them all: digits far behind the point are rounded away."""
    wanted = [Feature(name, "", zero=False) for name in names if name != "stay_id"]
    return feature_columns(frame.withColumn("source", F.lit("made_up")), wanted).drop("source")


def test_slope_of_the_whole_window(spark: SparkSession) -> None:
    given = events(spark, ("s1", "temp", 0, 36), ("s1", "temp", 60, 37), ("s1", "temp", 180, 39))
    row = flat(statistics(given, 48), ["temp_slope"]).first()
    assert row is not None
    assert row.temp_slope == pytest.approx(1.0, abs=1e-12)


def test_windows_shorter_than_a_span_are_that_span(spark: SparkSession) -> None:
    given = events(spark, ("s1", "hr", 0, 60), ("s1", "hr", 360, 70))
    columns = {"stay_id": "s1", "hr_count_last_24h": 2.0, "hr_count_last_12h": 2.0, "hr_count_last_6h": 0.0}
    assert_frame(flat(statistics(given, 12), columns), [columns], key=("stay_id",))


@pytest.mark.engine
def test_composites_golden(spark: SparkSession) -> None:
    given = events(
        spark,
        ("s1", "hr", 5, 100), ("s1", "hr", 50, 120), ("s1", "sys_abp", 30, 100), ("s1", "ni_sys_abp", 31, 200),
        ("s1", "ni_dias_abp", 31, 60), ("s1", "fio2", 10, 0.5), ("s1", "mech_vent", 10, 1),
        ("s1", "pao2", 240, 90), ("s1", "pao2", 250, 80),  # hour 4: ventilated and on 50 % as charted in hour 0
        ("s1", "pao2", 700, 75),  # hour 11: the FiO2 of hour 0 no longer holds
        ("s1", "bun", 1500, 42), ("s1", "creatinine", 1510, 2),  # hour 25
        ("s1", "hr", 2880, 90), ("s1", "ni_sys_abp", 2870, 120),  # both in the last hour
    )  # fmt: skip
    columns = {
        "stay_id": "s1",
        "shock_index_mean": (110 / 100 + 90 / 120) / 2,
        "shock_index_max": 1.1,
        "shock_index_last": 0.75,
        "shock_index_slope": (0.75 - 1.1) / 47,
        "shock_index_mean_first_24h": 1.1,
        "shock_index_mean_last_6h": 0.75,
        "pulse_pressure_mean": 40.0,
        "pf_ratio_min": 160.0,
        "pf_ratio_max": 160.0,
        "pf_ratio_std": None,
        "_pf_ratio_ventilated_min_first_24h": 160.0,
        "_pf_ratio_min_last_24h": None,
        "bun_creatinine_last": 21.0,
        # hours 0 and 4 are ventilated; hours without any charting are not counted
        "ventilated_share": 2 / 48,
        "ventilated_share_last_24h": 0.0,
    }
    assert_frame(composites(hourly(given, 48), 48).select(*columns), [columns], key=("stay_id",))


@pytest.mark.engine
def test_demographics_golden(spark: SparkSession) -> None:
    given = stays(
        spark,
        {"stay_id": "s1"},
        {"stay_id": "s2", "gender": None, "height_cm": None, "weight_kg": None, "icu_type": None, "started_at": None},
    )
    measured = events(spark, ("s2", "weight", 600, 81), ("s2", "weight", 60, 80), ("s1", "weight", 0, 70))
    known = spark.createDataFrame(
        [
            (
                "h-s1",
                "p-s1",
                START - timedelta(hours=10),
                START + timedelta(days=9),
                "ELECTIVE",
                START - timedelta(hours=12.5),
                START + timedelta(hours=1),
            )
        ],
        ADMISSIONS,
    )
    assert_frame(
        demographics(given.select("stay_id"), given, known, measured),
        [
            {
                "stay_id": "s1", "age": 65.0, "age_masked": 0.0, "male": 0.0, "male_missing": 0.0, "height_cm": 160.0,
                "height_missing": 0.0, "weight_kg": 64.0, "weight_missing": 0.0, "bmi": 25.0, "bmi_missing": 0.0,
                "icu_ccu": 0.0, "icu_csru": 0.0, "icu_micu": 1.0, "icu_sicu": 0.0, "icu_type_missing": 0.0,
                "hours_admission_to_icu": 10.0, "hours_in_emergency": 12.5, "elective_admission": 1.0,
            },
            {
                "stay_id": "s2", "age": 65.0, "age_masked": 0.0, "male": None, "male_missing": 1.0, "height_cm": None,
                "height_missing": 1.0, "weight_kg": 80.0, "weight_missing": 0.0, "bmi": None, "bmi_missing": 1.0,
                "icu_ccu": 0.0, "icu_csru": 0.0, "icu_micu": 0.0, "icu_sicu": 0.0, "icu_type_missing": 1.0,
                "hours_admission_to_icu": None, "hours_in_emergency": None, "elective_admission": None,
            },
        ],
        key=("stay_id",),
    )  # fmt: skip


def test_a_body_measured_before_the_stay_is_known(spark: SparkSession) -> None:
    """MIMIC-IV dates height and weight of the admission some seconds before the stay: minute -1."""
    given = stays(spark, {"stay_id": "s1", "height_cm": None, "weight_kg": None})
    measured = [("s1", "height", -1, 170), ("s1", "weight", -700, 80), ("s1", "weight", 60, 90), ("s1", "hr", -1, 99)]
    row = build(spark, given, events(spark, *measured)).first()
    assert row is not None
    assert (row.height_cm, row.weight_kg, row.height_missing) == (170.0, 80.0, 0.0)
    assert (row.weight_count, row.weight_first, row.hr_count) == (1.0, 90.0, 0.0), "but no part of a series"


def test_who_did_not_come_by_emergency_spent_no_time_there(spark: SparkSession) -> None:
    given = stays(spark, {"stay_id": "s1"})
    row = demographics(
        given.select("stay_id"), given, admissions(spark, ("h-s1", "p-s1", 0, 5)), events(spark, ("x", "hr", 0, 1))
    ).first()
    assert row is not None
    assert (row.hours_in_emergency, row.elective_admission) == (0.0, 0.0)


def test_every_stay_has_a_row_in_the_shape_of_the_contract(spark: SparkSession) -> None:
    given = stays(spark, {"stay_id": "s1"}, {"stay_id": "silent"})
    built = build(spark, given, events(spark, ("s1", "hr", 0, 90), ("s1", "urine", 60, 640)))
    assert [(f.name, f.dataType.simpleString()) for f in built.schema] == [
        (c.name, c.spark_type) for c in features.TABLE.columns
    ]
    rows = {r.stay_id: r.asDict() for r in built.collect()}
    assert rows["s1"]["urine_ml_kg_h"] == pytest.approx(640 / 64 / 48)
    silent = rows["silent"]
    assert {silent[f.name] for f in features.FEATURES if f.zero} == {0.0}
    measured = {f.name for group in ("statistics", "composites") for f in features.GROUPS[group] if not f.zero}
    assert {silent[name] for name in measured} == {None}
    assert silent["age"] == 65.0
    assert silent["sofa_first_24h"] is None
    assert silent["saps_i"] == silent["saps_i_age"] == 2.0


def test_a_group_turned_off_is_null_and_changes_no_other(spark: SparkSession) -> None:
    given, measured = stays(spark, {"stay_id": "s1"}), events(spark, ("s1", "gcs", 0, 9))
    everything = build(spark, given, measured).first()
    without = build(spark, given, measured, task(feature_groups={"statistics": False})).first()
    assert everything is not None
    assert without is not None
    off = {f.name for f in features.GROUPS["statistics"]}
    assert all(without[name] is None for name in off)
    assert all(without[name] == everything[name] for name in features.TABLE.column_names if name not in off)
    assert without["sofa_nervous_first_24h"] == 3.0


def test_a_group_that_there_is_not_is_an_error_that_names_the_nearest(spark: SparkSession) -> None:
    with pytest.raises(ConfigError, match=r"statistic.*did you mean 'statistics'"):
        build(spark, stays(spark, {"stay_id": "s1"}), events(spark), task(feature_groups={"statistic": True}))
