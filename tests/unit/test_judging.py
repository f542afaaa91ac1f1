"""Models judged side by side: figures, paired differences, clinical scores fitted on other rows; what is kept."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gold.mortality.evaluations import TABLE
from jobs.evaluation.evaluations import NONE, Evaluation, document, rows
from jobs.evaluation.figures import differences_table, figures_table, shown, spread_table
from jobs.evaluation.judging import Judged, Measured, Part, baselines, check_outcomes, measure
from jobs.training.matrix import Matrix
from lakehouse.errors import ConfigError
from lakehouse.tasks import Protocol, Task
from models.bootstrap import Interval, intervals, paired_differences
from models.metrics import METRICS
from models.splits import patient_folds

TASK = Task(
    name="mortality",
    label="in_hospital_death",
    baselines=("saps_i",),
    protocols={"early": Protocol(train=("a",), test=(), window_hours=24)},
)


def matrix(n: int = 200, seed: int = 0, **features: Any) -> Matrix:
    """Stays s0 .. with a score that tells something of the outcome; patients have one or two stays."""
    rng = np.random.default_rng(seed)
    score = rng.integers(0, 30, n).astype(float)
    died = rng.random(n) < score / 40
    score[::10] = np.nan
    index = pd.Index([f"s{i}" for i in range(n)], name="stay_id")
    cohort = pd.DataFrame(
        {
            "patient_id": [f"p{i * 2 // 3}" for i in range(n)],
            "source": "ward",
            "split": "test",
            "in_hospital_death": died.astype(int),
        },
        index=index,
    )
    told = pd.DataFrame({"saps_i": score, **features}, index=index)
    return Matrix(told, cohort, "in_hospital_death", {"gold.mortality_features": 3})


@pytest.fixture(scope="module")
def measured() -> Measured:
    told = matrix()
    rng = np.random.default_rng(1)
    good = np.clip(0.3 * told.outcomes + 0.7 * rng.random(200), 0, 1)
    models = (Judged("good", good, 0.4, version=7, run_id="r7"), Judged("chance", rng.random(200), 0.5))
    attributes = pd.DataFrame({"gender": ["F", "M"] * 99 + ["X", "X"]}, index=told.cohort.index)
    return measure(Part("test", "title", told, models, "good"), seed=3, attributes=attributes)


def test_figures_and_differences_are_those_of_the_bootstrap(measured: Measured) -> None:
    part = measured.part
    y, patients = part.rows.outcomes, part.rows.patient
    good, chance = part.models
    assert measured.figures["good"] == intervals(y, good.risks, 0.4, patients=patients, seed=3)
    assert set(measured.differences) == {"chance"}
    paired = paired_differences(y, chance.risks, good.risks, 0.5, 0.4, patients=patients, seed=3)
    assert measured.differences["chance"] == paired
    assert paired["auroc"].high < 0
    assert [(group.value, group.rows) for group in measured.subgroups] == [("F", 99), ("M", 99), ("X", 2)]


def evaluation(measured: Measured) -> Evaluation:
    return Evaluation("e1", TASK, "early", datetime(2030, 1, 1, tzinfo=UTC), [measured])


def test_kept_rows_fit_the_contract_and_none_has_another_s_key(measured: Measured) -> None:
    kept = rows(evaluation(measured), "of-the-evaluation")
    assert all(set(row) == set(TABLE.column_names) for row in kept)
    keys = [tuple(row[name] for name in TABLE.key) for row in kept]
    assert len(set(keys)) == len(keys) == (2 + 1 + 2) * len(METRICS), "models, a difference, two measured subgroups"
    one = next(r for r in kept if r["model"] == "good" and r["metric"] == "auroc" and r["subgroup"] == "all")
    assert (one["value"], one["low"], one["high"]) == tuple(measured.figures["good"]["auroc"])
    assert (one["compared_with"], one["model_version"], one["run_id"], one["window_hours"]) == (NONE, 7, "r7", 24)
    less = next(r for r in kept if r["compared_with"] == "good" and r["metric"] == "auroc")
    assert (less["model"], less["value"]) == ("chance", measured.differences["chance"]["auroc"].value)
    assert (less["model_version"], less["run_id"]) == (None, "of-the-evaluation")


def test_parts_of_several_sources_share_no_key() -> None:
    models = (Judged("m", np.random.default_rng(2).random(200), 0.5),)
    told = matrix()
    attributes = pd.DataFrame({"gender": ["F", "M"] * 100, "source": "ward"}, index=told.cohort.index)
    found = [
        measure(Part("external", "t", told, models, "m", subgroup=f"source={source}"), 0, attributes)
        for source in ("ward", "clinic")
    ]
    assert {group.attribute for one in found for group in one.subgroups} == {"gender"}, "source has one value here"
    kept = rows(Evaluation("e1", TASK, "registered", datetime(2030, 1, 1, tzinfo=UTC), found), "r")
    keys = [tuple(row[name] for name in TABLE.key) for row in kept]
    assert len(set(keys)) == len(keys)
    assert {row["subgroup"] for row in kept} == {
        *("source=ward", "source=ward,gender=F", "source=ward,gender=M"),
        *("source=clinic", "source=clinic,gender=F", "source=clinic,gender=M"),
    }


def test_what_the_stays_do_not_define_is_null_in_rows_and_json() -> None:
    told = matrix(20)
    alive = Matrix(told.features, told.cohort.assign(in_hospital_death=0), told.label_name, told.versions)
    found = evaluation(measure(Part("external", "t", alive, (Judged("m", np.full(20, 0.3), 0.5),), "m"), seed=0))
    kept = {row["metric"]: row for row in rows(found, "r")}
    assert (kept["auroc"]["value"], kept["auroc"]["low"], kept["auroc"]["high"]) == (None, None, None)
    assert kept["accuracy"]["value"] == 1.0
    plain = json.loads(json.dumps(document(found), allow_nan=False))
    assert plain["parts"][0]["models"]["m"]["figures"]["auroc"] == {"value": None, "low": None, "high": None}
    with pytest.raises(ConfigError, match="its test part has 20 labelled stays and needs both outcomes"):
        check_outcomes(alive, TASK, "test part")


def test_a_clinical_score_becomes_a_risk_by_training_rows_alone() -> None:
    learned, judged = matrix(300, seed=4), matrix(100, seed=5)
    (before,) = baselines(TASK, learned, judged)
    assert np.corrcoef(before.risks, judged.features["saps_i"].fillna(15))[0, 1] > 0.9
    assert np.isfinite(before.risks).all() and before.name == "saps_i"
    turned = Matrix(
        judged.features, judged.cohort.assign(in_hospital_death=1 - judged.outcomes), judged.label_name, judged.versions
    )
    (after,) = baselines(TASK, learned, turned)
    assert np.array_equal(before.risks, after.risks) and before.threshold == after.threshold
    with pytest.raises(ConfigError, match=r"baseline sofa of .* is no feature"):
        baselines(TASK.model_copy(update={"baselines": ("sofa",)}), learned, judged)


def test_out_of_fold_a_score_s_risk_comes_from_the_other_folds() -> None:
    told = matrix(300, seed=4)
    folds = patient_folds(told.outcomes, told.patient, 5, 0)
    (inside,) = baselines(TASK, told, told, folds)
    outcomes = told.outcomes.copy()
    outcomes[folds == 2] = 1 - outcomes[folds == 2]
    other = Matrix(told.features, told.cohort.assign(in_hospital_death=outcomes), told.label_name, told.versions)
    (changed,) = baselines(TASK, other, other, folds)
    assert np.array_equal(inside.risks[folds == 2], changed.risks[folds == 2]), "its own outcomes have no say"
    assert not np.array_equal(inside.risks, changed.risks)


@pytest.mark.parametrize(
    ("figure", "signed", "text"),
    [
        (Interval(0.8734, 0.8577, 0.8891), False, ".873 (.858-.889)"),
        (Interval(1.0, 0.98, 1.0), False, "1.000 (.980-1.000)"),
        (Interval(-0.02, -0.08, 0.04), False, "-.020 (-.080 to .040)"),
        (Interval(0.012, -0.003, 0.0001), True, "+.012 (-.003 to +.000)"),
        (Interval(-0.0001, -0.2, 1.5), True, "+.000 (-.200 to +1.500)"),
        (Interval(float("nan"), float("nan"), float("nan")), False, "-"),
    ],
)
def test_a_figure_reads_as_in_a_paper(figure: Interval, signed: bool, text: str) -> None:
    assert shown(figure, signed=signed) == text


def test_tables_name_models_and_metrics(measured: Measured) -> None:
    table = figures_table(measured.figures, "of two", ("auroc", "event2"), {"good": 0.4, "chance": 0.5})
    assert [column.header for column in table.columns] == ["model", "threshold", "AUROC", "Event 2 (H)"]
    assert list(table.columns[1].cells) == [".400", ".500"]
    assert list(differences_table(measured.differences, "less good").columns[0].cells) == ["chance"]


def test_repeats_are_told_by_mean_and_standard_deviation() -> None:
    repeats = [{name: Interval(value, 0.0, 1.0) for name in METRICS} for value in (0.80, 0.82, 0.84)]
    table = spread_table({"m": repeats}, "of three")
    assert [list(column.cells) for column in table.columns[:2]] == [["m"], [".8200 ±.0200"]]
