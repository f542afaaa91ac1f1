"""Nothing that was not known at the window's end reaches a feature or a sequence; no label is among the features."""

from typing import Any

import pytest
from gold_frames import admissions, diagnoses, events, stays, task
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from gold.mortality import code_frequencies, cohort, features, sequences
from lakehouse.reference import dictionary_frame

WINDOW = 48
END = WINDOW * 60
OUTCOMES = ("in_hospital_death", "saps_i_outcome", "sofa_outcome", "length_of_stay_days", "survival_days")

CONCEPTS = ("hr", "gcs", "urine", "weight", "height", "mech_vent", "fio2", "pao2", "creatinine", "sys_abp", "bun")
INSIDE = {
    ("s1", "hr", 0): 90.0, ("s1", "hr", 1400): 120.0, ("s1", "sys_abp", 1410): 80.0, ("s1", "gcs", END): 7.0,
    ("s1", "urine", 600): 40.0, ("s1", "weight", 0): 70.0, ("s1", "fio2", 60): 0.6, ("s1", "pao2", 70): 66.0,
    ("s1", "mech_vent", 60): 1.0, ("s2", "hr", 2000): 60.0, ("s2", "creatinine", 2500): 5.5, ("s2", "bun", 2500): 80.0,
}  # fmt: skip
CODES = ("4280", "25000", "1970", "042", "5849", "I509")

later_event = st.tuples(
    st.sampled_from(("s1", "s2", "s3")), st.sampled_from(CONCEPTS), st.integers(END + 1, 20_000), st.floats(0, 1e4)
)
earlier_event = st.tuples(  # the body may have been measured before the stay, which is known by then
    st.sampled_from(("s1", "s2", "s3")),
    st.sampled_from([concept for concept in CONCEPTS if concept not in ("weight", "height")]),
    st.integers(-500, -1),
    st.floats(0, 1e4),
)
unknown_yet = st.fixed_dictionaries(
    {
        "events": st.lists(st.one_of(later_event, earlier_event), max_size=8, unique_by=lambda e: e[:3]),
        # codes of this admission (h2) and of one that comes after it (h3)
        "codes": st.lists(st.tuples(st.sampled_from(("h2", "h3")), st.sampled_from(CODES)), max_size=5, unique=True),
        "discharged": st.integers(3, 50),
        "died": st.tuples(*(st.sampled_from((True, False, None)) for _ in range(3))),
        "outcome": st.integers(-1, 90),
    }
)
KNOWN: dict[str, Any] = {"events": [], "codes": [], "discharged": 9, "died": (False, True, False), "outcome": 3}


def tables(spark: SparkSession, world: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Feature and sequence rows of three stays in a world that agrees with every other up to the window's end."""
    asked = task(window_hours=WINDOW)
    told = [
        {"stay_id": f"s{i}", "patient_id": p, "admission_id": a, "in_hospital_death": died}
        | dict.fromkeys(OUTCOMES[1:], world["outcome"])
        for (i, p, a), died in zip(((1, "p1", "h2"), (2, "p2", "h4"), (3, "p3", "h5")), world["died"], strict=True)
    ]
    all_stays = stays(spark, *told)
    of_cohort = cohort.build(all_stays, asked).drop("_left_out")
    measured = events(spark, *((*key, value) for key, value in INSIDE.items()), *world["events"])
    stayed = admissions(
        spark, ("h1", "p1", -90, -80), ("h2", "p1", -1, world["discharged"]), ("h3", "p1", 60, 70), ("h4", "p2", 0, 9)
    )
    coded = diagnoses(spark, ("h1", "ICD-9-CM", "4280"), *((a, "ICD-9-CM", code) for a, code in world["codes"]))
    built = features.build(
        of_cohort,
        all_stays,
        measured,
        stayed,
        coded,
        code_frequencies.build(of_cohort, stayed, coded),
        dictionary_frame(spark, "comorbidities"),
        asked,
    )
    ordered = sequences.build(of_cohort, measured, dictionary_frame(spark, "concepts"), asked)
    return sorted(built.collect()), sorted(ordered.collect())


@pytest.fixture(scope="module")
def as_known(spark: SparkSession) -> tuple[list[Any], list[Any]]:
    return tables(spark, KNOWN)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=unknown_yet)
def test_what_is_not_known_yet_changes_nothing(
    spark: SparkSession, as_known: tuple[list[Any], list[Any]], world: dict[str, Any]
) -> None:
    assert tables(spark, world) == as_known


def test_what_is_known_does_change_the_rows(spark: SparkSession, as_known: tuple[list[Any], list[Any]]) -> None:
    """The property above can fail: an event at the window's very last minute is seen."""
    seen = tables(spark, {**KNOWN, "events": [("s3", "hr", END, 77.0)]})
    assert seen[0] != as_known[0]
    assert seen[1] != as_known[1]


def test_no_outcome_is_among_the_features() -> None:
    names = set(features.TABLE.column_names) | set(sequences.TABLE.column_names)
    assert not names & {*OUTCOMES, "split", "died_at", "discharged_at", "icu_hours", "ended_at", "in_hospital_death"}
