"""What earlier admissions tell, and the retrospective table that this admission's codes are kept in."""

from typing import Any

import pytest
from gold_frames import admissions, diagnoses, stays, task
from pyspark.sql import DataFrame, SparkSession

from gold.mortality import code_frequencies, cohort, features, history, retrospective
from lakehouse.reference import dictionary_frame
from lakehouse.tasks import Task
from tests.conftest import assert_frame

# p1: an admission that ended 100 days before this one, another that ended 30 days before, this one, and one after it.
ADMISSIONS = (("h1", "p1", -120, -100), ("h2", "p1", -40, -30), ("h3", "p1", 0, 10), ("h4", "p1", 60, 70))
# p2: this admission is the first; p3: an admission that overlaps this one; p4: one earlier admission.
OTHERS = (("h5", "p2", 0, 9), ("h6", "p3", -5, 2), ("h7", "p3", 1, 8), ("h8", "p4", -9, -5), ("h9", "p4", 0, 4))
STAYS = (
    {"stay_id": "s3", "patient_id": "p1", "admission_id": "h3", "record_set": "b"},
    {"stay_id": "s5", "patient_id": "p2", "admission_id": "h5"},
    {"stay_id": "s7", "patient_id": "p3", "admission_id": "h7"},
    {"stay_id": "s9", "patient_id": "p4", "admission_id": "h9"},
    {"stay_id": "s0", "patient_id": "p5", "admission_id": "h0"},  # an admission whose times are not known
)
CODES = (
    ("h1", "ICD-9-CM", "25000"), ("h1", "ICD-9-CM", "4280"),  # diabetes, heart failure
    ("h2", "ICD-9-CM", "25040"), ("h2", "ICD-9-CM", "4280"),  # diabetes with kidney complications
    ("h3", "ICD-9-CM", "1970"),  # this admission: metastatic cancer
    ("h4", "ICD-9-CM", "042"),  # a later one: HIV
    ("h6", "ICD-9-CM", "042"),  # ended after this one began
    ("h8", "ICD-10-CM", "I509"), ("h8", "ICD-9-CM", "4280"),
)  # fmt: skip


def mortality_cohort(spark: SparkSession, asked: Task) -> DataFrame:
    return cohort.build(stays(spark, *STAYS), asked).drop("_left_out")


def given_history(spark: SparkSession, codes: Any = CODES) -> DataFrame:
    asked = mortality_cohort(spark, task())
    admitted, coded = admissions(spark, *ADMISSIONS, *OTHERS), diagnoses(spark, *codes)
    frequencies = code_frequencies.build(asked, admitted, coded)
    return history.history(asked, admitted, coded, dictionary_frame(spark, "comorbidities"), frequencies)


@pytest.mark.engine
def test_history_golden(spark: SparkSession) -> None:
    """Training stays whose admission is known: s5, s7, s9. Of these only s9 has 428.0, so its share is a third."""
    columns = (
        "previous_admissions", "days_since_discharge", "history_codes_count", "history_code_frequency_mean",
        "history_code_frequency_max", "history_codes_unseen_share", "history_charlson_congestive_heart_failure",
        "history_charlson_diabetes_uncomplicated", "history_charlson_diabetes_complicated",
        "history_charlson_metastatic_cancer", "history_charlson_aids_hiv", "history_charlson_score",
    )  # fmt: skip

    def row(stay: str, *values: float | None) -> dict[str, object]:
        return {"stay_id": stay, **dict(zip(columns, values, strict=True))}

    assert_frame(
        given_history(spark).select("stay_id", *columns),
        [
            # 250.00, 250.40, 428.0; the score counts complicated diabetes (2) alone, and heart failure (1)
            row("s3", 2, 30, 3, 1 / 9, 1 / 3, 2 / 3, 1, 1, 1, 0, 0, 3),
            row("s5", 0, None, 0, None, None, None, 0, 0, 0, 0, 0, 0),
            row("s7", 0, None, 0, None, None, None, 0, 0, 0, 0, 0, 0),
            row("s9", 1, 5, 2, 1 / 3, 1 / 3, 0, 1, 0, 0, 0, 0, 1),
        ],
        key=("stay_id",),
    )


def test_frequencies_are_fitted_on_the_training_stays_alone(spark: SparkSession) -> None:
    """More codes in the history of a tested patient change no other stay, nor the frequency of any code."""
    more = (*CODES, ("h1", "ICD-9-CM", "99592"), ("h2", "ICD-9-CM", "5849"))
    before = {r.stay_id: r for r in given_history(spark).collect()}
    after = {r.stay_id: r for r in given_history(spark, more).collect()}
    assert {stay: after[stay] for stay in ("s5", "s7", "s9")} == {s: before[s] for s in ("s5", "s7", "s9")}
    assert after["s3"].history_code_frequency_max == before["s3"].history_code_frequency_max
    assert after["s3"].history_codes_unseen_share == 4 / 5


def test_retrospective_codes_are_off_by_default(spark: SparkSession) -> None:
    asked = task()
    built = retrospective.build(
        mortality_cohort(spark, asked), diagnoses(spark, *CODES), dictionary_frame(spark, "comorbidities"), asked
    )
    assert built.columns == retrospective.TABLE.column_names
    assert built.count() == 0


@pytest.mark.engine
def test_retrospective_codes_are_this_admissions_own(spark: SparkSession) -> None:
    asked = task(feature_groups={"retrospective_codes": True})
    built = retrospective.build(
        mortality_cohort(spark, asked), diagnoses(spark, *CODES), dictionary_frame(spark, "comorbidities"), asked
    )
    expected = {
        "stay_id": "s3",
        "source": "made_up",
        "retrospective_codes_count": 1.0,
        "retrospective_charlson_metastatic_cancer": 1.0,
        "retrospective_charlson_congestive_heart_failure": 0.0,
        "retrospective_charlson_score": 6.0,
    }
    assert_frame(built.select(*expected), [expected], key=("stay_id",))


def test_retrospective_columns_say_so_and_are_in_no_other_table() -> None:
    assert all("RETROSPECTIVE" in c.comment for c in retrospective.TABLE.columns[2:])
    assert not set(retrospective.TABLE.column_names[2:]) & set(features.TABLE.column_names)


@pytest.mark.parametrize("pair", history.GRAVER_FORMS)
def test_graver_forms_are_conditions_of_the_dictionary(pair: tuple[str, str, str]) -> None:
    index, graver, milder = pair
    assert {(index, graver), (index, milder)} <= set(history.conditions())
