"""Scorer and registry: what is logged comes back, what does not fit is refused by name, promotion keeps its reasons."""

import json
import logging
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import sqlalchemy
from mlflow.entities.model_registry import ModelVersion
from models_data import CATEGORIES, made_up_stays

from models import boosting, database, linear
from models.base import Trained
from models.bootstrap import Interval
from models.explain import top_contributions
from models.features import FeatureMismatchError, describe
from models.metrics import choose_threshold
from models.promotion import Appointment, Decision
from models.provenance import code_version
from models.registry import REASON_LENGTH, RegisteredModel, Registry
from models.scorer import Scorer
from models.splits import patient_folds
from models.tuning import Budget

FRAME, LABELS = made_up_stays(200)
SCHEMA = describe(FRAME, **CATEGORIES)
FOLDS = patient_folds(LABELS, FRAME.index, 3)


def scorer_of(trained: Trained) -> Scorer:
    return Scorer(trained.model, choose_threshold(LABELS, trained.out_of_fold))


@pytest.fixture(scope="module")
def boosted() -> Scorer:
    recipe, budget = boosting.Recipe({}, rounds=20), Budget(1, 9)
    return scorer_of(boosting.train(FRAME, LABELS, FOLDS, SCHEMA, recipe=recipe, budget=budget, threads=1))


@pytest.fixture(scope="module")
def logistic() -> Scorer:
    return scorer_of(linear.train(FRAME, LABELS, FOLDS, SCHEMA, search={"C": [0.1]}, threads=1))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("mlflow")
    return Registry(f"sqlite:///{folder}/mlflow.db", folder / "artifacts")


def log(registry: Registry, scorer: Scorer, name: str) -> RegisteredModel:
    return registry.log(
        scorer,
        name,
        run_name="a run",
        parameters={"C": 0.1, "note": "x" * 9000},
        figures={"auroc": Interval(0.8, 0.7, 0.9), "rows": 200},
        tables={"gold.mortality_features": 3, "gold.mortality_cohort": 2},
        code_version="abc",
        tags={"window": "48"},
        documents={"trials": [{"C": 0.1}]},
    )


def test_score_flags_at_the_threshold_and_keeps_the_index(boosted: Scorer) -> None:
    scored = boosted.score(FRAME)
    assert list(scored.columns) == ["risk", "flagged", "threshold"]
    pd.testing.assert_index_equal(scored.index, FRAME.index)
    np.testing.assert_array_equal(scored["flagged"], scored["risk"] >= boosted.threshold)
    at_it = Scorer(boosted.model, float(scored["risk"].iloc[0]))
    assert at_it.score(FRAME.iloc[:1])["flagged"].item()


def test_no_rows_give_no_rows_but_must_fit(boosted: Scorer, logistic: Scorer) -> None:
    for scorer in (boosted, logistic):
        empty = scorer.score(FRAME.iloc[:0], top=5)
        assert (len(empty), list(empty.columns)) == (0, ["risk", "flagged", "threshold", "top_features", "moments"])
        assert empty.dtypes.astype(str).to_list() == ["float64", "bool", "float64", "object", "object"]
        with pytest.raises(FeatureMismatchError, match="missing features: age"):
            scorer.score(FRAME.iloc[:0].drop(columns="age"))


@pytest.mark.parametrize("which", ["boosted", "logistic"])
def test_the_top_features_are_the_largest_contributions(which: str, request: pytest.FixtureRequest) -> None:
    scorer = request.getfixturevalue(which)
    contributions, _ = scorer.model.contributions(FRAME)
    for row, top in enumerate(scorer.score(FRAME, top=3)["top_features"]):
        assert len(top) == 3
        largest = np.argsort(-np.abs(contributions[row]), kind="stable")[:3]
        assert [one.contribution for one in top] == [contributions[row, i] for i in largest]
        assert [one.feature for one in top] == [SCHEMA.names[i] for i in largest]
        for one in top:
            value = FRAME[one.feature].iloc[row]
            if not isinstance(value, str):
                assert one.value == (None if np.isnan(value) else value)


def test_top_contributions_by_hand() -> None:
    values = np.array([[7.0, np.nan, 1.0], [8.0, 2.0, 0.0]])
    contributions = np.array([[0.1, -0.5, 0.2], [0.3, -0.3, 0.0]])
    assert top_contributions(["a", "b", "c"], values, contributions, 2) == [
        [("b", None, -0.5), ("c", 1.0, 0.2)],
        [("a", 8.0, 0.3), ("b", 2.0, -0.3)],
    ]
    assert len(top_contributions(["a", "b", "c"], values, contributions, 9)[0]) == 3
    with pytest.raises(ValueError, match="2 names"):
        top_contributions(["a", "b"], values, contributions, 2)


@pytest.mark.parametrize("which", ["boosted", "logistic"])
def test_features_that_do_not_fit_are_refused_by_name(which: str, request: pytest.FixtureRequest) -> None:
    scorer = request.getfixturevalue(which)
    with pytest.raises(FeatureMismatchError, match="missing features: age; unknown features: years"):
        scorer.score(FRAME.rename(columns={"age": "years"}))


def test_an_unknown_kind_of_model_is_refused(boosted: Scorer, tmp_path: Path) -> None:
    boosted.save(tmp_path)
    file = tmp_path / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "kind": "oracle"}))
    with pytest.raises(ValueError, match="unknown kind of model 'oracle'"):
        Scorer.load(tmp_path)


@pytest.mark.parametrize("which", ["boosted", "logistic"])
def test_what_is_logged_comes_back(which: str, registry: Registry, request: pytest.FixtureRequest) -> None:
    scorer = request.getfixturevalue(which)
    made = log(registry, scorer, which)
    loaded = registry.load(which, made.version)
    assert (loaded.version, loaded.run_id, loaded.tags["window"]) == (made.version, made.run_id, "48")
    assert registry.document(made.run_id, "trials") == [{"C": 0.1}]
    with pytest.raises(LookupError, match="keeps no patients"):
        registry.document(made.run_id, "patients")
    pd.testing.assert_frame_equal(loaded.scorer.score(FRAME, top=5), scorer.score(FRAME, top=5))
    assert loaded.scorer.model.schema == SCHEMA

    run = mlflow.MlflowClient(registry.tracking_uri).get_run(made.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"auroc": 0.8, "auroc_low": 0.7, "auroc_high": 0.9, "rows": 200.0}
    assert run.data.params["C"] == "0.1"
    assert run.data.tags["table.gold.mortality_features"] == "3"
    assert run.data.tags["mlflow.source.git.commit"] == "abc"
    inputs = {one.dataset.name: one.dataset.digest for one in run.inputs.dataset_inputs}
    assert inputs == {"gold.mortality_features": "v3", "gold.mortality_cohort": "v2"}


@pytest.mark.parametrize("which", ["boosted", "logistic"])
def test_mlflow_serves_the_same_risks(which: str, registry: Registry, request: pytest.FixtureRequest) -> None:
    scorer = request.getfixturevalue(which)
    made = log(registry, scorer, f"served-{which}")
    with registry._active():
        served = mlflow.pyfunc.load_model(f"models:/{made.name}/{made.version}")
    assert served.metadata.signature.inputs.input_names() == SCHEMA.names
    numbers = FRAME.select_dtypes("number").columns
    answer = served.predict(FRAME.astype(dict.fromkeys(numbers, "float64")), params={"top": 2})
    np.testing.assert_array_equal(answer["risk"], scorer.score(FRAME)["risk"])
    assert [set(one) for one in json.loads(answer["top_features"].iloc[0])] == [
        {"feature", "value", "contribution"}
    ] * 2
    with pytest.raises(Exception, match="age"):
        served.predict(FRAME.drop(columns="age"))


def aliases(registry: Registry, name: str) -> dict[str, int]:
    return {alias: one.version for one in registry.versions(name) for alias in one.aliases}


def test_a_decision_is_kept_with_its_reasons_and_sets_the_aliases(registry: Registry, boosted: Scorer) -> None:
    name = "promotion"
    assert (registry.champion(name), registry.has_champion(name), registry.history(name)) == (None, False, [])
    with pytest.raises(LookupError, match="no model 'promotion' champion"):
        registry.load(name)
    first, second, third = (log(registry, boosted, name) for _ in range(3))
    assert aliases(registry, name) == {}
    registry.decide(first, Decision("promoted", ("the first champion", "its risks are true")), "ada")
    registry.decide(second, Decision("refused", ("worse",), {"difference_auroc": Interval(-0.1, -0.2, -0.05)}), "ada")
    assert aliases(registry, name) == {"champion": first.version, "challenger": second.version}
    refused = registry.find(name, str(second.version))
    assert (refused.tags["decision"], refused.tags["decision_reason"]) == ("refused", "worse")
    assert refused.tags["decided_by"] == "ada"
    assert refused.figures["difference_auroc_low"] == -0.2
    registry.decide(third, Decision("promoted", ("not worse",)), "bob")
    assert aliases(registry, name) == {"champion": third.version, "challenger": second.version}
    assert [(one.version, one.how, one.by, one.reason) for one in registry.history(name)] == [
        (first.version, "gate", "ada", "the first champion; its risks are true"),
        (third.version, "gate", "bob", "not worse"),
    ]


def test_a_person_s_appointment_is_kept_and_ends_the_challenge(registry: Registry, boosted: Scorer) -> None:
    name = "appointed"
    first, second = (log(registry, boosted, name) for _ in range(2))
    registry.decide(first, Decision("promoted", ("the first champion",)), "ada")
    registry.decide(second, Decision("refused", ("worse",)), "ada")
    appointment = Appointment(second.version, "person", "bob", "2026-01-01T00:00:00+00:00", "we know better" * 1000)
    registry.appoint(name, appointment)
    assert aliases(registry, name) == {"champion": second.version}
    assert registry.history(name)[-1].reason == appointment.reason[:REASON_LENGTH], "as much as the registry can hold"
    with pytest.raises(LookupError, match="no model 'appointed' version 9"):
        registry.appoint(name, Appointment(9, "person", "bob", "", ""))
    assert len(registry.history(name)) == 2


def test_a_champion_from_before_any_history_can_be_gone_back_to(registry: Registry, boosted: Scorer) -> None:
    name = "before"
    first, second = (log(registry, boosted, name) for _ in range(2))
    with registry._active() as client:
        client.set_registered_model_alias(name, "champion", str(first.version))
    assert [(one.version, one.how) for one in registry.history(name)] == [(first.version, "before")]
    registry.appoint(name, Appointment(second.version, "person", "bob", "", ""))
    assert [(one.version, one.how) for one in registry.history(name)] == [
        (first.version, "before"),
        (second.version, "person"),
    ]


def test_versions_are_found_by_number_alias_and_run(registry: Registry, boosted: Scorer) -> None:
    name = "found"
    assert registry.versions(name) == []
    first, second = (log(registry, boosted, name) for _ in range(2))
    registry.decide(first, Decision("promoted", ("the first champion",)), "ada")
    assert [one.version for one in registry.versions(name)] == [second.version, first.version]
    for which in (str(first.version), "champion", first.run_id):
        assert registry.find(name, which).version == first.version
    with pytest.raises(LookupError, match="no model 'found' 7"):
        registry.find(name, "7")
    registry.record(first.run_id, {"late": Interval(0.5, 0.4, 0.6)})
    assert registry.find(name, "champion").figures["late_high"] == 0.6


def test_newest_gives_one_version_a_kind(registry: Registry, boosted: Scorer, logistic: Scorer) -> None:
    versions = [log(registry, scorer, "kinds").version for scorer in (boosted, logistic, boosted)]
    newest = registry.newest("kinds")
    assert {kind: model.version for kind, model in newest.items()} == {"xgboost": versions[2], "logistic": versions[1]}
    assert registry.newest("nothing") == {}


def test_changed_files_are_not_loaded(registry: Registry, boosted: Scorer) -> None:
    made = log(registry, boosted, "tampered")
    with registry._active():
        uri = mlflow.MlflowClient().get_model_version_download_uri(made.name, str(made.version))
        folder = Path(mlflow.artifacts.download_artifacts(uri))  # in place: the store is a local folder
    file = folder / "data" / "scorer" / "scorer.json"
    file.write_text(file.read_text().replace('"threshold": 0.', '"threshold": 0.0'))
    with pytest.raises(ValueError, match="not those that were registered"):
        registry.load(made.name, made.version)


def test_a_run_that_fails_is_marked_so(registry: Registry, boosted: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.registry.environment", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        log(registry, boosted, "failing")
    with registry._active():
        run = mlflow.search_runs([registry.experiment_id], order_by=["start_time DESC"], output_format="list")[0]
    assert run.info.status == "FAILED"


def test_nothing_is_printed_nor_written_into_the_working_directory(
    tmp_path: Path, boosted: Scorer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = mlflow.get_tracking_uri(), logging.getLogger("mlflow").level
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")
    log(registry, boosted, "quiet")
    registry.load("quiet", 1)
    assert list((tmp_path / "here").iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert (mlflow.get_tracking_uri(), logging.getLogger("mlflow").level) == before


@pytest.mark.parametrize("uri", ["file:/tmp/runs", "runs", "/tmp/runs"])
def test_file_stores_are_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a registry"):
        Registry(uri, tmp_path)


def test_the_threshold_is_chosen_without_test_rows() -> None:
    """Training sees the training rows alone: whatever the test rows are, threshold and figures are the same."""
    frame, labels = made_up_stays(300)
    train = slice(0, 200)
    thresholds = set()
    for test_labels in (labels[200:], 1 - labels[200:]):
        everything = np.concatenate([labels[train], test_labels])
        folds = patient_folds(everything[train], frame.index[train], 3)
        schema = describe(frame[train], **CATEGORIES)
        trained = linear.train(frame[train], everything[train], folds, schema, search={"C": [0.1]}, threads=1)
        thresholds.add(choose_threshold(everything[train], trained.out_of_fold))
        in_sample = choose_threshold(everything[train], trained.model.risks(frame[train]))
        assert in_sample not in thresholds  # chosen on out-of-fold risks, not on fitted ones
    assert len(thresholds) == 1


def test_code_version_is_the_commit_or_the_package_s(tmp_path: Path) -> None:
    assert code_version(tmp_path) in {"0.1.0", "unknown"}


def test_unity_catalog_is_asked_for_no_order_and_for_each_versions_tags(
    registry: Registry, logistic: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its search of versions refuses an order and gives no tags; its tags have keys and texts of a narrower kind."""
    for _ in range(3):
        log(registry, logistic, "in_unity_catalog")
    search, tag = mlflow.MlflowClient.search_model_versions, mlflow.MlflowClient.set_model_version_tag
    named: dict[str, str] = {}

    def as_there(client: mlflow.MlflowClient, filter_string: str, order_by: object = None) -> list[ModelVersion]:
        assert order_by is None
        found = search(client, filter_string, order_by=["version_number ASC"])
        return [ModelVersion(v.name, v.version, v.creation_timestamp, run_id=v.run_id, tags=[]) for v in found]

    def noted(client: mlflow.MlflowClient, name: str, version: str, key: str, value: str) -> None:
        named[key] = value
        tag(client, name, version, key, value)

    monkeypatch.setattr(mlflow.MlflowClient, "search_model_versions", as_there)
    monkeypatch.setattr(mlflow.MlflowClient, "set_model_version_tag", noted)
    monkeypatch.setattr("models.registry.UNITY", registry.registry_uri)
    assert [one.version for one in registry.versions("in_unity_catalog")] == [3, 2, 1]
    assert {one.tags["kind"] for one in registry.versions("in_unity_catalog")} == {"logistic"}
    assert {kind: one.version for kind, one in registry.newest("in_unity_catalog").items()} == {"logistic": 3}
    one = log(registry, logistic, "in_unity_catalog")
    registry.appoint(one.name, Appointment(one.version, "promoted", "someone", "2026-01-01T00:00:00+00:00", "x" * 9000))
    with registry._active() as client:
        named |= client.get_registered_model(one.name).tags
    assert len(named) > 4
    assert all(not set(key) & set(".,-=/:") and len(value) <= 1000 for key, value in named.items()), named


def test_a_half_registered_version_is_none(registry: Registry, logistic: Scorer) -> None:
    """A process that was killed as it registered left a version without the tags by which others know it."""
    whole = log(registry, logistic, "half")
    client = mlflow.MlflowClient(registry.tracking_uri, registry.registry_uri)
    made = client.create_model_version("half", "file:///nowhere", whole.run_id)
    assert int(made.version) == whole.version + 1
    assert [one.version for one in registry.versions("half")] == [whole.version]
    assert {kind: one.version for kind, one in registry.newest("half").items()} == {"logistic": whole.version}


def test_a_run_that_was_killed_is_closed(registry: Registry) -> None:
    client = mlflow.MlflowClient(registry.tracking_uri)
    killed = client.create_run(registry.experiment_id).info.run_id
    registry.close_killed()
    assert client.get_run(killed).info.status == "KILLED"


def test_a_database_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(engine: sqlalchemy.Engine, killed: bool) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("create table made (id int)")
        if killed:
            raise KeyboardInterrupt

    path = tmp_path / "mlflow" / "mlflow.db"
    monkeypatch.setattr(database, "_initialize_tables", lambda engine: made(engine, killed=True))
    with pytest.raises(KeyboardInterrupt):
        Registry(f"sqlite:///{path}", tmp_path / "artifacts")
    assert not path.exists()
    monkeypatch.setattr(database, "_initialize_tables", lambda engine: made(engine, killed=False))
    for uri in (f"sqlite:///{path}", f"sqlite:///{path}", "postgresql://elsewhere/mlflow"):
        database.make(uri)
    assert [file.name for file in path.parent.iterdir()] == ["mlflow.db"]
