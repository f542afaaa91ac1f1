"""Evaluation as a person asks for it: registered models, protocols, another window, other sources; and what is kept."""

import json
import shutil
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml
from deltalake import DeltaTable
from rich.console import Console
from worlds import records

from bronze.synthetic.files import TarOfTexts
from jobs.context import Context
from jobs.evaluate import Asked, evaluate
from jobs.evaluation.variant import variant_matrix
from jobs.featurize import featurize
from jobs.ingest import ingest
from jobs.refine import refine
from jobs.train import train
from jobs.training.matrix import load_matrix
from lakehouse import tasks
from lakehouse.errors import ConfigError
from lakehouse.io import Lake
from lakehouse.settings import CONF, load_settings
from lakehouse.tasks import Protocol, load_task
from models.metrics import METRICS
from tests.conftest import ENGINE

IN_C = 15
"""Records of set b that become set c; 3 of its 7 deaths are among them."""


def context_of(lake: Path, raw: Path | None = None) -> Context:
    settings = load_settings(raw=raw, lake=lake, engine=ENGINE, cores=2)
    return Context.of(settings, Console(file=StringIO(), width=160))


def with_set_c(raw: Path) -> None:
    """Takes the last records of set b, and their outcomes, as a set c that is dropped beside the others."""
    folder = raw / "challenge-2012"
    texts = records(folder / "set-b.tar.gz")
    header, *outcomes = (folder / "Outcomes-b.txt").read_text().splitlines()
    sets = {"b": outcomes[:-IN_C], "c": outcomes[-IN_C:]}
    for letter, lines in sets.items():
        (folder / f"Outcomes-{letter}.txt").write_text("\n".join([header, *lines, ""]))
        with TarOfTexts(folder / f"set-{letter}.tar.gz", f"set-{letter}") as archive:
            for line in lines:
                record = line.split(",")[0]
                archive.add(f"{record}.txt", texts[record])


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The question with the quickest of its models alone; a protocol that repeats it twice."""
    folder = tmp_path_factory.mktemp("conf")
    question = yaml.safe_load((CONF / "tasks" / "mortality.yml").read_text())
    question["models"] = {"logistic": {"search": {"C": [0.001, 0.01], "l1_ratio": [0.0]}}}
    question["protocols"]["repeated"]["repeats"] = 2
    (folder / "tasks").mkdir()
    (folder / "tasks" / "mortality.yml").write_text(yaml.safe_dump(question))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "CONF", folder)
        yield folder


@pytest.fixture(scope="module")
def site(generated_raw: Path, refined_lake: Path, conf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """A lake with set c and a registered model."""
    root = tmp_path_factory.mktemp("evaluated")
    raw, lake = shutil.copytree(generated_raw, root / "raw"), shutil.copytree(refined_lake, root / "lake")
    with_set_c(raw)
    ingest(context_of(lake, raw), "challenge2012")
    refine(context_of(lake))
    featurize(context_of(lake))
    train(context_of(lake), "mortality")
    return lake


def asked_of(lake: Path, capsys: pytest.CaptureFixture[str], **asked: Any) -> dict[str, Any]:
    """The JSON that an evaluation prints."""
    capsys.readouterr()
    evaluate(context_of(lake), "mortality", Asked(as_json=True, **asked))
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def kept(lake: Path, evaluation: str) -> pd.DataFrame:
    rows = pd.DataFrame(Lake(lake).records("gold.mortality_evaluations"))
    return rows[rows["evaluation_id"] == evaluation]


def test_registered_models_are_judged_and_every_figure_is_kept(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = asked_of(site, capsys)
    (part,) = found["parts"]
    assert (part["part"], part["n"], part["events"], part["reference"]) == ("test", 15, 4, "logistic v1")
    assert list(part["models"]) == ["saps_i", "sofa_first_24h", "logistic v1"]
    assert set(part["models"]["logistic v1"]["figures"]) == set(METRICS)
    counted = part["models"]["logistic v1"]["classification"]
    assert counted["tp"] + counted["fn"] == 4 and counted["fp"] + counted["tn"] == 11

    rows = kept(site, found["evaluation"])
    own = rows[(rows["model"] == "logistic v1") & (rows["subgroup"] == "all")].set_index("metric")
    assert own["value"].to_dict() == pytest.approx(
        {name: figure["value"] for name, figure in part["models"]["logistic v1"]["figures"].items()}
    )
    assert own["model_version"].tolist() == [1] * len(METRICS)
    less = rows[(rows["model"] == "saps_i") & (rows["compared_with"] == "logistic v1")].set_index("metric")
    by_score = rows[(rows["model"] == "saps_i") & (rows["compared_with"] == "none")].set_index("metric")
    assert less["value"].to_dict() == pytest.approx((by_score["value"] - own["value"]).to_dict())
    assert dict(own["table_versions"].iloc[0])["gold.mortality_features"] == Lake(site).version(
        "gold.mortality_features"
    )

    client = mlflow.MlflowClient(f"sqlite:///{site / 'mlflow' / 'mlflow.db'}")
    run = client.get_run(own["run_id"].iloc[0])
    assert run.data.metrics["evaluated_test_auroc"] == pytest.approx(own.loc["auroc", "value"])
    runs = client.search_runs(["1"], f"tags.run_id = '{found['evaluation']}' and tags.kind = 'evaluation'")
    assert runs[0].data.metrics["test.saps_i.auroc"] == pytest.approx(by_score.loc["auroc", "value"])


def test_tables_fit_a_screen_and_what_is_not_to_be_kept_is_not(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    before = Lake(site).version("gold.mortality_evaluations")
    evaluate(context_of(site), "mortality", Asked(subgroups=True, report=True, keep=False))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 120
    for word in ("AUROC", "Event 2 (H)", "pos. predictivity", "gender F", "macro avg", "net benefit", "logistic v1"):
        assert word in printed
    assert Lake(site).version("gold.mortality_evaluations") == before


def test_a_set_c_that_was_dropped_beside_the_others_is_tested_on(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = asked_of(site, capsys, protocol="ab-to-c")
    inside, outside = found["parts"]
    assert (inside["part"], inside["n"], inside["events"]) == ("out_of_fold", 45, 10)
    assert (outside["part"], outside["n"], outside["events"]) == ("test", IN_C, 3)
    assert {one["version"] for part in found["parts"] for one in part["models"].values()} == {None}
    rows = kept(site, found["evaluation"])
    assert set(rows["protocol"]) == {"ab-to-c"} and rows["model_version"].isna().all()


def test_a_hash_deals_patients_of_the_named_sets_and_repeats_train_with_other_seeds(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inside, outside = asked_of(site, capsys, protocol="patient-hash", keep=False)["parts"]
    assert inside["n"] + outside["n"] == 60 and outside["events"] > 0
    found = asked_of(site, capsys, protocol="repeated", keep=False)
    assert [(part["part"], part["repeat"], part["n"]) for part in found["parts"]] == [
        ("out_of_fold", 0, 45), ("out_of_fold", 1, 45),
    ]  # fmt: skip
    first, second = (part["models"]["logistic"]["figures"]["log_loss"]["value"] for part in found["parts"])
    assert first != second


def test_the_champion_scores_other_sources_with_a_warning_of_how_few_stays_they_are(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    evaluate(context_of(site), "mortality", Asked(external=True, keep=False))
    printed = capsys.readouterr().out
    cohort = pd.DataFrame(Lake(site).records("gold.mortality_cohort"))
    foreign = cohort[(cohort["split"] == "external") & cohort["in_hospital_death"].notna()]
    for source, rows in foreign.groupby("source"):
        assert f"external, {source}; {len(rows)} held-out stays" in printed
    assert "smoke test" in printed
    with pytest.raises(ConfigError, match="goes with no --protocol"):
        evaluate(context_of(site), "mortality", Asked(external=True, protocol="a-to-b"))
    with pytest.raises(ConfigError, match="did you mean 'ab-to-c'"):
        evaluate(context_of(site), "mortality", Asked(protocol="ab-to-d"))


def test_stays_of_patients_that_a_model_was_trained_on_are_left_out(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = shutil.copytree(site, tmp_path / "lake")
    cohort = DeltaTable(str(Lake(lake).location("gold.mortality_cohort")))
    moved = sorted(row["stay_id"] for row in Lake(lake).records("gold.mortality_cohort") if row["split"] == "train")[:7]
    cohort.update(predicate=f"stay_id IN ({', '.join(map(repr, moved))})", updates={"split": "'test'"})
    context = context_of(lake)
    capsys.readouterr()
    evaluate(context, "mortality", Asked(as_json=True, keep=False))
    (part,) = json.loads(capsys.readouterr().out)["parts"]
    assert (part["n"], part["events"]) == (15, 4)
    assert "without 7 of 22 stays, on whose patients a model was trained" in context.console.file.getvalue()  # type: ignore[attr-defined]


def test_features_of_another_window_are_those_of_a_lake_that_is_configured_so(
    site: Path, conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = load_task("mortality")
    before = {name: Lake(site).version(name) for name in Lake(site).names()}
    variant = variant_matrix(context_of(site), question.under(Protocol(window_hours=24)), sequences=True)
    assert {name: Lake(site).version(name) for name in Lake(site).names()} == before, "nothing is written"

    lake = shutil.copytree(site, tmp_path / "lake")
    changed = yaml.safe_load((conf / "tasks" / "mortality.yml").read_text()) | {"window_hours": 24}
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "mortality.yml").write_text(yaml.safe_dump(changed))
    monkeypatch.setattr(tasks, "CONF", tmp_path)
    featurize(context_of(lake))
    stored = load_matrix(Lake(lake), load_task("mortality"), sequences=True)
    pd.testing.assert_frame_equal(variant.features, stored.features, rtol=1e-12)
    pd.testing.assert_frame_equal(variant.cohort, stored.cohort)
    assert variant.sequences is not None and stored.sequences is not None
    ordered = [table.sort_by("stay_id").to_pylist() for table in (variant.sequences, stored.sequences)]
    assert ordered[0] == ordered[1]
    whole = load_matrix(Lake(site), question, sequences=False)
    assert (variant.features["events_count"] < whole.features["events_count"]).any(), "the window was another"
