"""From a training to the champion: what is logged, repeated, judged, appointed and taken back, on a made-up lake."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from jobs.context import Context
from jobs.train import train
from jobs.training import registry as verbs
from jobs.training.registry import open_registry
from jobs.training.repeat import NotReproducedError, repeat
from lakehouse import settings, tasks
from lakehouse.errors import ConfigError, ModelError
from lakehouse.settings import load_settings
from lakehouse.tasks import load_task
from models.promotion import Appointment, line_of
from models.provenance import patient_digests
from models.registry import Registry, Version
from tests.made_up_gold import EVERY_MODEL, LOGISTIC, STAYS, XGBOOST, task_of, write_gold, write_task

NAME, KEY = "mortality", "a made-up key"


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of settings with one question: two models that fit in a moment."""
    for module in (settings, tasks):
        monkeypatch.setattr(module, "CONF", tmp_path / "conf")
    write_task(tmp_path / "conf", task_of(logistic=LOGISTIC, ridge={"type": "logistic", "search": {"C": [0.001]}}))
    return tmp_path / "conf"


class Site:
    """A lake and its registry; each verb is an invocation of its own."""

    def __init__(self, root: Path, empty: Path) -> None:
        self.root, self.said = root, root / "said"
        write_gold(root / "lake")
        (root / "lake" / "mlflow").mkdir()
        shutil.copy(empty, root / "lake" / "mlflow")

    def context(self, **changed: Any) -> Context:
        given = {"lake": self.root / "lake", "cores": 1, "user": "ada", **changed}
        return Context.of(load_settings(**given), Console(file=self.said.open("a"), width=200))

    @property
    def registry(self) -> Registry:
        return open_registry(self.context(), load_task(NAME))

    def train(self, **changed: Any) -> dict[str, Version]:
        """The versions that a training makes, by model."""
        before = {one.version for one in self.registry.versions(NAME)}
        train(self.context(**changed), NAME)
        return {one.tags["model"]: one for one in self.registry.versions(NAME) if one.version not in before}

    def champion(self) -> int:
        return self.registry.find(NAME, "champion").version

    def told(self) -> str:
        return " ".join(self.said.read_text().split())


@pytest.fixture
def site(tmp_path: Path, conf: Path, empty_registry: Path) -> Site:
    assert conf.exists()
    return Site(tmp_path, empty_registry)


def test_a_run_keeps_what_it_takes_to_understand_and_repeat_it(site: Site, conf: Path) -> None:
    write_task(conf, task_of(xgboost=XGBOOST))
    made = site.train(pseudonym_key=KEY)
    one = made["xgboost"]
    record = site.registry.document(one.run_id, "record")
    assert record["tables"] == {"gold.mortality_cohort": 0, "gold.mortality_features": 0}
    assert set(record["table_ids"].values()) == {site.context().lake.table_id(name) for name in record["tables"]}
    assert record["task"]["models"]["xgboost"] == XGBOOST
    assert (record["settings"]["seed"], record["settings"]["preset"]) == (7, "default")
    assert len(record["trials"]["xgboost"]) == 3
    assert "pseudonym_key" in record["settings"] and KEY not in json.dumps(record)
    assert record["environment"]["packages"]["torch"] and record["environment"]["threads"]["torch"]
    trained = [f"patient-{i:03}" for i in range(0, STAYS, 2)]
    assert site.registry.document(one.run_id, "patients") == patient_digests(trained)
    assert site.registry.document(one.run_id, "held_out") == {"tables": record["tables"], "seed": 7}
    for figure in ("oof_auroc", "oof_log_loss", "test_auroc", "test_auroc_low", "test_calibration_slope_high"):
        assert figure in one.figures
    assert one.tags["code_version"] == record["commit"]


def test_a_second_training_of_the_same_has_nothing_to_do(site: Site) -> None:
    made = site.train()
    assert site.train() == {}
    assert "nothing was trained" in site.told()
    write_gold(site.root / "lake", seed=1)
    assert set(site.train()) == set(made)


def test_a_version_is_trained_again_to_the_same_figures(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    made = site.train()
    write_gold(site.root / "lake", seed=1)  # the lake goes on; its versions stay
    repeat(site.context(seed=99), NAME, str(made["ridge"].version))
    assert f"version {made['ridge'].version} was reproduced" in site.told()
    shown = capsys.readouterr().out
    assert "oof_auroc" in shown and "test_auroc" in shown and "✗" not in shown
    repeat(site.context(), NAME, made["logistic"].run_id)
    assert len(site.registry.versions(NAME)) == 2, "nothing is kept"


def test_a_search_that_the_clock_ended_is_repeated_with_as_many_trials(site: Site, conf: Path) -> None:
    ended = {**XGBOOST, "budget": {"trials": 10_000, "seconds": 0.5}}
    write_task(conf, task_of(xgboost=ended))
    made = site.train()["xgboost"]
    repeat(site.context(), NAME, str(made.version))
    assert f"version {made.version} was reproduced" in site.told()


def test_what_does_not_come_out_the_same_names_what_differs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    one = site.train()["logistic"]
    site.registry.record(one.run_id, {"oof_auroc": one.figures["oof_auroc"] + 2e-6})
    with pytest.raises(NotReproducedError) as refused:
        repeat(site.context(), NAME, str(one.version))
    assert refused.value.exit_code == 1
    assert str(refused.value) == (
        f"version {one.version} was not reproduced: 1 of {sum('oof_' in k or 'test_' in k for k in one.figures)} "
        "figures differ by more than 1e-06, oof_auroc by -2e-06. Code, environment and data are those of the record."
    )
    monkeypatch.setattr("jobs.training.repeat.environment", lambda: {"python": "4.0"})
    monkeypatch.setattr("jobs.training.repeat.code_version", lambda *_: "other")
    with pytest.raises(NotReproducedError, match=r"What differs: code: .* then, other now; python: .* then, 4.0 now"):
        repeat(site.context(), NAME, str(one.version))


def test_what_cannot_be_trained_again_says_why(site: Site) -> None:
    with pytest.raises(ModelError, match=r"no model 'mortality' 1 .*: ehr models lists them"):
        repeat(site.context(), NAME, "1")
    one = site.train()["logistic"]
    features = site.context().lake.location("gold.mortality_features")
    features.rename(features.with_name("gone"))
    write_gold(site.root / "lake")
    with pytest.raises(ModelError, match="mortality_features was made anew since: its version 0 of then is gone"):
        repeat(site.context(), NAME, str(one.version))


def test_a_champion_that_was_trained_on_held_out_rows_cannot_be_judged(site: Site) -> None:
    first = site.train()
    standing = site.champion()
    write_gold(site.root / "lake", swapped=True)
    second = site.train()
    assert site.champion() == standing
    (challenger,) = (one for one in site.registry.versions(NAME) if "challenger" in one.aliases)
    assert challenger.version in {one.version for one in second.values()}
    assert challenger.tags["decision"] == "not judged"
    assert challenger.tags["decision_reason"] == (
        f"champion version {standing} without 80 of 80 held-out stays, whose patients it was trained on, cannot be "
        "judged by the 0 that are left: ehr promote decides"
    )
    assert standing in {one.version for one in first.values()}


def test_a_champion_that_does_not_say_whom_it_saw_cannot_be_judged(site: Site) -> None:
    made = site.train()["logistic"]
    registry = site.registry
    silent = registry.log(
        registry.load(NAME, made.version).scorer,
        NAME,
        run_name="of an earlier release",
        parameters={},
        figures={},
        tables={},
        code_version="unknown",
    )
    registry.appoint(NAME, Appointment(silent.version, "person", "ada", "", "it served before"))
    write_gold(site.root / "lake", seed=1)
    site.train()
    assert site.champion() == silent.version
    assert f"champion version {silent.version} does not say whom it was trained on" in site.told()


def test_persons_appoint_and_take_back_and_are_remembered(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="no model of mortality is registered: run ehr train first"):
        verbs.models(site.context(), NAME)
    made = site.train()
    first = site.champion()
    with pytest.raises(ModelError, match="no champion of mortality is recorded before this one"):
        verbs.rollback(site.context(), NAME)
    other = next(one.version for one in made.values() if one.version != first)
    with pytest.raises(ConfigError, match="a promotion needs a reason"):
        verbs.promote(site.context(), NAME, other, "  ")
    with pytest.raises(ModelError, match=r"no model 'mortality' version 77 .*: ehr models lists them"):
        verbs.promote(site.context(), NAME, 77, "it is lucky")
    verbs.promote(site.context(user="bob"), NAME, other, "easier to explain")
    assert site.champion() == other
    verbs.promote(site.context(), NAME, other, "again")
    verbs.rollback(site.context(user="eve"), NAME, "calibration drifted")
    assert site.champion() == first
    history = site.registry.history(NAME)
    assert [(one.version, one.how, one.by) for one in history] == [
        (first, "gate", "ada"),
        (other, "person", "bob"),
        (first, "rollback", "eve"),
    ]
    assert [one.reason for one in history[1:]] == ["easier to explain", "calibration drifted"]
    assert line_of(history) == [first]
    assert all(one.at.startswith("20") and one.at.endswith("+00:00") for one in history)

    capsys.readouterr()
    verbs.models(site.context(), NAME)
    shown = capsys.readouterr().out
    assert "promoted" in shown and "calibration drifted" in shown and "eve" in shown
    verbs.models(site.context(), NAME, as_json=True)
    plain = json.loads(capsys.readouterr().out)
    assert {one["version"] for one in plain["versions"]} == {one.version for one in made.values()}
    assert plain["champions"][1]["by"] == "bob"


def test_an_ensemble_is_trained_again_with_its_members_alone(site: Site, conf: Path) -> None:
    write_task(conf, task_of(**EVERY_MODEL))
    made = site.train()
    repeat(site.context(), NAME, str(made["ensemble"].version))
    assert f"version {made['ensemble'].version} was reproduced" in site.told()
    # A question that reads no events any more can still be compared with a champion that does.
    verbs.promote(site.context(), NAME, made["ssm"].version, "to be compared with")
    write_task(conf, task_of(logistic=LOGISTIC))
    assert site.train()["logistic"].tags["decision"] in ("promoted", "refused")
