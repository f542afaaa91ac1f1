"""Training on Spark's executors: what it gives is what this machine alone gives, to the bit or within noise."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pyarrow as pa
import pytest
import xgboost as xgb
from mlflow.optuna.storage import MlflowStorage
from mlflow.pyspark.optuna.study import MlflowSparkStudy
from pyspark.sql import SparkSession
from sklearn.metrics import roc_auc_score

from jobs.progress import Doing
from jobs.training import rows as files
from jobs.training.fitting import Fitted, fit_models
from jobs.training.matrix import Matrix
from jobs.training.repeat import _check_engine
from jobs.training.rows import stays_with_events, write_rows
from jobs.training.spread import cluster as clusters
from jobs.training.spread import trees
from jobs.training.spread.cluster import Cluster, cluster_of
from jobs.training.spread.trials import search
from lakehouse.errors import ConfigError, ModelError
from lakehouse.settings import Settings
from models import boosting
from models.features import describe
from models.sequence import plan
from models.sequence.events import COLUMNS
from models.stack import StackedModel
from models.tuning import Budget, Tried
from tests.conftest import ENGINE
from tests.made_up_gold import ENSEMBLE, HEART_RATE, LACTATE, LOGISTIC, NETWORK, STATICS, task_of

STAYS = 400


IN_THIS_PROCESS = ENGINE == "spark" and os.environ.get("EHR_REMOTE") == ""


def on_executors(test: Any) -> Any:
    """Marks a test of a JVM in the tests' own process."""
    return pytest.mark.skipif(not IN_THIS_PROCESS, reason="executors need a JVM that is not behind Spark Connect")(test)


STEADY = {"max_depth": 3, "eta": 0.3, "min_child_weight": 1.0, "colsample_bytree": 1.0, "colsample_bynode": 1.0}
"""Trees of ten features whose ranking hardly depends on their seed: .910 to .923 over twelve of one machine."""
SEARCHED = {"defaults": STEADY, "space": {"max_depth": {"low": 2, "high": 4}}}
MODELS = {
    "logistic": LOGISTIC,
    "xgboost": {**SEARCHED, "budget": {"trials": 2, "seconds": 600}},
    "ssm": {**NETWORK, "training": {"epochs": 2, "networks": 1}},
    "ensemble": ENSEMBLE,
}
TASK = task_of(**MODELS).model_copy(update={"folds": 2})


def made_up(seed: int = 0) -> Matrix:
    """Two stays a patient, the likelier to die the higher their lactate."""
    rng = np.random.default_rng(seed)
    stays = pd.Index([f"stay-{i:03}" for i in range(STAYS)], name="stay_id")
    lactate = rng.lognormal(0.7, 0.6, STAYS)
    death = (lactate + rng.normal(0, 0.7, STAYS) > 2.8).astype(float)
    own = {name: rng.normal(size=STAYS) for name in (*STATICS, "heart_rate_mean")}
    features = pd.DataFrame({**own, "lactate_last": np.where(rng.random(STAYS) < 0.1, np.nan, lactate)}, index=stays)
    patients = [f"patient-{i // 2:03}" for i in range(STAYS)]
    counts = rng.integers(1, 6, STAYS)
    sequences = {
        "stay_id": pa.array(stays),
        "minutes": pa.array([sorted(rng.integers(0, 2880, n)) for n in counts], pa.list_(pa.int32())),
        "concepts": pa.array([rng.choice([HEART_RATE, LACTATE], n) for n in counts], pa.list_(pa.int32())),
        "values": pa.array([rng.normal(20, 5, n) for n in counts], pa.list_(pa.float64())),
    }
    cohort = pd.DataFrame({"patient_id": patients, "in_hospital_death": death}, index=stays)
    return Matrix(features, cohort, "in_hospital_death", {}, pa.table(sequences))


def settings_of(lake: Path, **changed: Any) -> Settings:
    return Settings(**{"lake": lake, "engine": "spark", "train_engine": "spark", "cores": 2, "seed": 3, **changed})


@pytest.fixture(scope="module")
def rows() -> Matrix:
    return made_up()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all trials of this file: to make one takes longer than a search here."""
    return f"sqlite:///{tmp_path_factory.mktemp('runs')}/mlflow.db"


@pytest.fixture(scope="module")
def cluster(
    spark: SparkSession, rows: Matrix, runs: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    assert spark is not None
    with cluster_of(settings_of(tmp_path_factory.mktemp("cluster"), mlflow_uri=runs), rows) as found:
        yield found
    assert not found.folder.exists()


Both = tuple[dict[str, Fitted], dict[str, Fitted]]


@pytest.fixture(scope="module")
def fitted(spark: SparkSession, rows: Matrix, runs: str, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Every model, by the executors and by this machine; the network's epochs as they were told of are in `heard`."""
    lake = tmp_path_factory.mktemp("lake")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "ROWS_A_WORKER", STAYS // 2)
        gold = rows.features.reset_index().assign(source="made_up")
        others = gold.assign(stay_id="other-" + gold["stay_id"], lactate_last=0.0)  # of no labelled stay
        table = spark.createDataFrame(pd.concat([gold, others]))
        settings = settings_of(lake, mlflow_uri=runs)
        spread = fit_models(TASK, rows, settings, lambda *said: heard.append(said), lambda: table)
    assert not list((lake / "_staging").iterdir()), "rows of patients do not outlive the training"
    alone = settings_of(tmp_path_factory.mktemp("local"), train_engine="local", cores=1)
    return spread, fit_models(TASK, rows, alone)


heard: list[tuple[str, Any]] = []


@on_executors
def test_trees_of_one_worker_are_those_of_this_machine(cluster: Cluster, rows: Matrix) -> None:
    chosen = boosting.Chosen(boosting.Recipe({}, seed=3), {**boosting.DEFAULTS, "max_depth": 3}, 12)
    schema, y = describe(rows.features), rows.outcomes
    labelled = pd.DataFrame({"stay_id": rows.features.index, "label": y, "fold": 0}).sample(frac=1, random_state=0)
    booster = trees.grown(trees.training_frame(cluster, labelled, schema, 1), chosen, 1).get_booster()
    data = xgb.QuantileDMatrix(boosting.values_of(schema, rows.features), y, max_bin=64, nthread=1)
    assert booster.get_dump() == xgb.train(chosen.grown, data, 12).get_dump()


@on_executors
def test_trees_of_several_workers_are_as_good(fitted: Both, rows: Matrix) -> None:
    spread, local = (part["xgboost"] for part in fitted)
    assert [one["number"] for one in spread.trials] == [0, 1]
    assert spread.trials[0] == local.trials[0], "a trial learns from the same rows in the same folds"
    assert {one["state"] for one in spread.trials} <= {"complete", "pruned"}
    risks = [one.out_of_fold for one in (spread, local)]
    assert not np.array_equal(risks[0], risks[1]), "two workers draw other samples than one"
    aurocs = [roc_auc_score(rows.outcomes, one) for one in risks]
    assert abs(aurocs[0] - aurocs[1]) < 0.02 and min(aurocs) > 0.85
    assert np.corrcoef(risks[0], risks[1])[0, 1] > 0.9
    assert isinstance(spread.scorer.model, StackedModel)
    assert isinstance(spread.scorer.model.members["xgboost"], boosting.BoostedModel)
    reasons = spread.scorer.model.reasons(rows.features)
    np.testing.assert_allclose(reasons.contributions.sum(axis=1) + reasons.bias, reasons.margins, atol=1e-5)


@on_executors
def test_networks_are_the_same_to_the_bit(fitted: Both, rows: Matrix) -> None:
    spread, local = (part["ssm"] for part in fitted)
    np.testing.assert_array_equal(spread.out_of_fold, local.out_of_fold)
    assert spread.trials == local.trials and spread.parameters == local.parameters
    frame = rows.with_sequences()
    np.testing.assert_array_equal(spread.scorer.model.margins(frame), local.scorer.model.margins(frame))
    told = [said.text for name, said in heard if name == "ssm" and isinstance(said, Doing)]
    assert told and all(re.match(r"fold [12] of 2, epoch [12] of 2, loss 0\.", text) for text in told)


@on_executors
def test_what_is_not_spread_is_as_ever_and_the_ensemble_stacks_both(fitted: Both) -> None:
    spread, local = fitted
    np.testing.assert_array_equal(spread["logistic"].out_of_fold, local["logistic"].out_of_fold)
    assert list(spread) == list(MODELS)
    assert np.corrcoef(spread["ensemble"].out_of_fold, local["ensemble"].out_of_fold)[0, 1] > 0.9


@on_executors
def test_a_killed_search_goes_on_and_a_finished_one_tries_nothing(cluster: Cluster) -> None:
    def objective(trial: optuna.Trial) -> float:  # within, so that it is pickled and not looked for on the executor
        return (trial.suggest_float("x", 0.0, 1.0) - 0.3) ** 2

    def searched(trials: int) -> optuna.Study:
        told: list[Tried] = []
        study = search(
            cluster, objective, name="s", defaults={"x": 0.5}, budget=Budget(trials, 600), seed=1, told=told.append
        )
        assert [one.trials for one in told] == [trials] * len(told)
        return study

    first = searched(1)
    storage = first._storage
    optuna.load_study(study_name="s", storage=storage).ask()  # a run that died in the middle of a trial
    storage.flush_all_batches()  # type: ignore[attr-defined]
    done = sorted(searched(4).get_trials(deepcopy=False), key=lambda trial: trial.number)
    finished = [trial for trial in done if trial.state.name == "COMPLETE"]
    assert len(finished) == 4 and [trial.state.name for trial in done].count("FAIL") == 1
    assert finished[0].params == {"x": 0.5} and len({trial.params["x"] for trial in finished}) == 4
    assert len(searched(4).get_trials(deepcopy=False)) == len(done)


@on_executors
def test_an_executor_finds_the_defaults_however_quick_it_is(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []

    def at_once(*_: Any, **__: Any) -> None:
        if not tried:
            study = optuna.load_study(study_name="quick", storage=MlflowStorage(experiment_id=cluster.experiment_id))
            tried.append(study.ask().suggest_float("x", 0.0, 1.0))

    monkeypatch.setattr(MlflowSparkStudy, "optimize", at_once)
    search(cluster, lambda _: 0.0, name="quick", defaults={"x": 0.5}, budget=Budget(2, 600), seed=1)
    assert tried == [0.5]


@pytest.mark.engine
@pytest.mark.skipif(ENGINE != "spark" or IN_THIS_PROCESS, reason="this is the process of its own, or has no JVM")
def test_executors_in_a_process_of_its_own() -> None:
    """A process that has once been a client of Spark Connect stays one: what needs a JVM beside it is run apart."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    alone = {key: value for key, value in os.environ.items() if not key.startswith("SPARK_")} | {"EHR_REMOTE": ""}
    ended = subprocess.run(command, env=alone, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-4000:]


def test_a_trial_of_many_stays_learns_from_whole_patients(rows: Matrix) -> None:
    patients = rows.patient.to_numpy()
    kept = trees.some_patients(patients, 101, 5)
    assert kept.sum() == 100 and not set(patients[kept]) & set(patients[~kept])
    assert not np.array_equal(kept, trees.some_patients(patients, 101, 6))
    assert trees.some_patients(patients, STAYS, 5).all()


def test_rows_read_part_by_part_are_the_rows(rows: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "GROUP", 150)
    monkeypatch.setattr(plan, "READ", 64)
    write_rows(rows, tmp_path)
    parts = list(stays_with_events(tmp_path))
    assert [len(part) for part in parts] == [64, 64, 22, 64, 64, 22, 64, 36]
    whole = rows.with_sequences()
    pd.testing.assert_frame_equal(pd.concat(parts)[list(rows.features)], rows.features)
    for name in COLUMNS:
        assert [list(one) for one in pd.concat(parts)[name]] == [list(one) for one in whole[name]]


def test_trees_that_executors_grew_are_not_said_to_repeat() -> None:
    version, record = SimpleNamespace(version=4), SimpleNamespace(settings={"train_engine": "spark"})
    with pytest.raises(ModelError, match="version 4 cannot be trained again to the same figures: xgboost was"):
        _check_engine(version, record, TASK)  # type: ignore[arg-type]
    _check_engine(version, record, task_of(logistic=LOGISTIC, ssm=NETWORK))  # type: ignore[arg-type]
    record.settings = {"seed": 7}  # before there was a choice
    _check_engine(version, record, TASK)  # type: ignore[arg-type]


def test_the_embedded_engine_says_that_it_cannot(rows: Matrix, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs JVM Spark.* the embedded engine cannot\. Set EHR_ENGINE=spark"):
        fit_models(TASK, rows, settings_of(tmp_path, engine="sail"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(ENGINE != "sail", reason="the embedded engine is reached over Spark Connect")
def test_spark_connect_says_that_it_cannot(
    spark: SparkSession, rows: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "open_session", lambda _: spark)
    with pytest.raises(ConfigError, match=r"does not train over Spark Connect\. Set EHR_TRAIN_ENGINE=local"):
        fit_models(TASK, rows, settings_of(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_trials_are_kept_where_all_executors_reach_them(
    rows: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = SimpleNamespace(conf={"spark.master": "spark://driver:7077"})
    monkeypatch.setattr(clusters, "open_session", lambda _: far)
    with pytest.raises(ConfigError, match="which a SQLite file is not: name an MLflow server by EHR_MLFLOW_URI"):
        fit_models(TASK, rows, settings_of(tmp_path))
