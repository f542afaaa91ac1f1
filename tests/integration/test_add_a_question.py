"""docs/add-a-question.md does what it says, in a copy of the project: tables, models, scores of a new question."""

import math
import shutil
from datetime import datetime
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from pages import Project

from lakehouse.io import Lake

TASK = "prolonged_stay"


@pytest.fixture(scope="module")
def project(warm_ehr: Path, refined_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The page's files in place and its commands run; what they said is in `said`."""
    project = Project.of(tmp_path_factory.mktemp("question"), "add-a-question.md", warm_ehr)
    shutil.copytree(refined_lake, project.root / "lake")
    assert project.write_files() == [
        "conf/tasks/prolonged_stay.yml",
        *(f"gold/prolonged_stay/{name}.py" for name in ("__init__", "cohort", "features", "predictions")),
    ]
    said = [project.ehr(*command) for command in project.commands()]
    (project.root / "said").write_text("\n".join(said))
    return project


@pytest.fixture(scope="module")
def lake(project: Project) -> Lake:
    return Lake(project.root / "lake")


def days_in_hospital(stay: dict[str, Any], discharged_at: datetime | None) -> float | None:
    if stay["length_of_stay_days"] is not None:
        return float(stay["length_of_stay_days"])
    if discharged_at is None or stay["started_at"] is None:
        return None
    return float((discharged_at - stay["started_at"]).total_seconds() / 86400)


def test_the_cohort_and_its_label_are_those_that_the_page_describes(lake: Lake) -> None:
    discharged = {row["admission_id"]: row["discharged_at"] for row in lake.records("silver.admissions")}
    expected = {}
    for stay in lake.records("silver.stays"):
        if not stay["in_hospital_death"] and (stay["age"] or 0) >= 16 and (stay["icu_hours"] or 0) >= 24:
            days = days_in_hospital(stay, discharged[stay["admission_id"]])
            expected[stay["stay_id"]] = None if days is None else int(days > 14)
    cohort = {row["stay_id"]: row["prolonged_stay"] for row in lake.records(f"gold.{TASK}_cohort")}
    assert cohort == expected
    assert set(cohort.values()) >= {0, 1}


def test_features_are_of_the_window_alone(lake: Lake) -> None:
    rows = {row["stay_id"]: row for row in lake.records(f"gold.{TASK}_features")}
    assert set(rows) == {row["stay_id"] for row in lake.records(f"gold.{TASK}_cohort")}
    rates: dict[str, list[float]] = {stay: [] for stay in rows}
    for event in lake.records("silver.events"):
        if event["concept"] == "hr" and 0 <= event["minute"] <= 24 * 60 and event["stay_id"] in rows:
            rates[event["stay_id"]].append(event["value"])
    for stay, values in rates.items():
        assert rows[stay]["hr_count"] == len(values)
        assert math.isclose(rows[stay]["hr_mean"], mean(values)) if values else rows[stay]["hr_mean"] is None


def test_every_stay_of_the_cohort_is_scored_by_the_champion_of_the_question(project: Project, lake: Lake) -> None:
    predictions = lake.records(f"gold.{TASK}_predictions")
    assert {row["stay_id"] for row in predictions} == {row["stay_id"] for row in lake.records(f"gold.{TASK}_cohort")}
    assert {row["model_name"] for row in predictions} == {TASK}
    assert all(0 <= row["risk"] <= 1 and row["flagged"] == (row["risk"] >= row["threshold"]) for row in predictions)
    said = (project.root / "said").read_text()
    assert "with prolonged stay" in said
    assert "logistic" in said and "xgboost" in said


def test_a_second_round_does_nothing_and_the_other_question_is_untouched(project: Project, lake: Lake) -> None:
    watched = set(lake.names()) - {"ops.audit"}  # who asked is written down each time
    before = {name: lake.version(name) for name in watched}
    assert not any("mortality" in name for name in before), "--only built this question's tables alone"
    said = "".join(project.ehr(*command) for command in project.commands() if command[0] != "evaluate")
    for sentence in ("nothing was built", "nothing was trained", "nothing was scored"):
        assert sentence in said
    assert {name: lake.version(name) for name in watched} == before
