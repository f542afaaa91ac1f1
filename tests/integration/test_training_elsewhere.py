"""Training away from the lake: what leaves it, that it suffices, and that only what belongs to it comes back."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from jobs.context import Context
from jobs.train import train
from jobs.training.export_training import Exported, export_training
from jobs.training.register import register
from jobs.training.registry import open_registry
from lakehouse import settings, tasks
from lakehouse.errors import ConfigError, ContractError
from lakehouse.settings import load_settings
from lakehouse.tasks import Task
from models.registry import Registry, Version
from tests.made_up_gold import LOGISTIC, NETWORK, STAYS, task_of, write_gold, write_task

ROOT = Path(__file__).resolve().parents[2]
MODELS = {"logistic": LOGISTIC, "ssm": NETWORK, "ensemble": {"type": "stack", "members": ["logistic", "ssm"]}}
TASK = task_of(**MODELS)
BARE = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pyspark", "pysail", "delta", "deltalake", "duckdb", "mlflow"):
            raise ModuleNotFoundError(f"{name} is not installed on this machine")

sys.meta_path.insert(0, Absent())
from jobs.cli import main
main()
"""
"""The command line on a machine that has neither Spark nor Delta nor a registry."""


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("settings") / "conf"
    write_task(folder, TASK)
    with pytest.MonkeyPatch.context() as patch:
        for module in (settings, tasks):
            patch.setattr(module, "CONF", folder)
        yield folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, conf: Path, empty_registry: Path) -> Path:
    """A folder with a lake, an export of it, and what a bare machine has trained from that; not to be changed."""
    assert conf.exists()
    root = tmp_path_factory.mktemp("site")
    write_gold(root / "lake")
    shutil.copytree(empty_registry.parent, root / "lake" / "mlflow")
    export_training(context(root), TASK.name, root / "export")
    ended = elsewhere(root / "export", root)
    assert ended.returncode == 0, ended.stderr
    return root


@pytest.fixture
def copy(site: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(site, tmp_path / "site"))


def context(root: Path, **changed: Any) -> Context:
    given = {"lake": root / "lake", "cores": 1, "user": "ada", **changed}
    return Context.of(load_settings(**given), Console(file=(root / "said").open("a"), width=200))


def elsewhere(export: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """`ehr train --from` in a process and a working directory of its own."""
    known = {key: value for key, value in os.environ.items() if not key.startswith("EHR_")}
    told = {"EHR_CORES": "1", "EHR_LAKE": str(folder / "no lake"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", BARE, "train", "--from", str(export)],
        cwd=folder, env={**known, **told}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def registry_of(root: Path) -> Registry:
    return open_registry(context(root), TASK)


def versions(root: Path) -> dict[str, Version]:
    return {one.tags["model"]: one for one in reversed(registry_of(root).versions(TASK.name))}


def test_only_training_rows_leave_the_lake(site: Path) -> None:
    folder = site / "export"
    trained = {f"stay-{i:03}" for i in range(0, STAYS, 2)}
    for name in ("cohort", "features", "sequences"):
        rows = pd.read_parquet(folder / f"{name}.parquet").reset_index()
        assert set(rows["stay_id"]) == trained, name
    concepts = pd.read_parquet(folder / "concepts.parquet")
    assert list(concepts) == ["concept", "id", "log", "aggregate"] and "lactate" in set(concepts["concept"])
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["tables"] == dict.fromkeys(
        ("gold.mortality_cohort", "gold.mortality_features", "gold.mortality_sequences"), 0
    )
    assert (manifest["stays"], manifest["patients"]) == (80, 80)
    assert set(manifest["files"]) == {f"{n}.parquet" for n in ("cohort", "features", "sequences", "concepts")}
    assert Task(**manifest["task"]).models == TASK.models
    assert {path.name for path in site.iterdir()} >= {"lake", "export"} and not list(site.glob(".export*"))


def test_the_export_reads_back_as_the_rows_that_the_lake_trains_on(site: Path) -> None:
    exported = Exported.read(site / "export", "default")
    assert exported.rows.digest() == exported.manifest["data"]
    changed = exported.rows.features.copy()
    changed.iloc[3, 2] += 1e-9
    other = Exported(exported.manifest, exported.task, exported.rows).rows
    assert np.array_equal(other.outcomes, exported.rows.outcomes)
    assert (
        type(other)(changed, other.cohort, other.label_name, other.versions, other.sequences).digest()
        != (exported.manifest["data"])
    )


def test_it_needs_neither_the_lake_nor_spark_nor_a_registry(site: Path) -> None:
    assert not (site / "no lake").exists()
    (trained,) = (site / "export" / "trained").glob("[!.]*")
    record = json.loads((trained / "record.json").read_text())
    assert list(record["task"]["models"]) == list(MODELS)
    out_of_fold = pd.read_parquet(trained / "out_of_fold.parquet")
    assert list(out_of_fold) == list(MODELS) and ((out_of_fold >= 0) & (out_of_fold <= 1)).all(axis=None)


@pytest.mark.parametrize("name", ["features.parquet", "sequences.parquet", "cohort.parquet", "concepts.parquet"])
def test_a_changed_file_is_refused_by_name(copy: Path, name: str) -> None:
    file = copy / "export" / name
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(ContractError, match=f"{name} is not the file that was written"):
        Exported.read(copy / "export", "default")


def test_what_is_there_is_not_written_over_and_half_an_export_is_none(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="export is there already"):
        export_training(context(site), TASK.name, site / "export")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("jobs.training.rows.pq.write_table", fail)
    with pytest.raises(OSError, match="the disk is full"):
        export_training(context(site), TASK.name, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_comes_back_is_what_the_lake_itself_would_have_trained(copy: Path, empty_registry: Path) -> None:
    outcomes = register(context(copy), copy / "export")
    assert [outcome.status for outcome in outcomes] == ["built"] * 3
    came = versions(copy)
    assert set(came) == set(MODELS)
    assert registry_of(copy).has_champion(TASK.name)
    assert register(context(copy), copy / "export") == [], "each training is registered once"
    assert [outcome.status for outcome in train(context(copy), TASK.name)] == ["unchanged"] * 3

    here = copy / "here"
    for part in ("gold", "mlflow"):
        shutil.copytree(copy / "lake" / part, here / "lake" / part)
    shutil.copytree(empty_registry.parent, here / "lake" / "mlflow", dirs_exist_ok=True)
    train(context(here), TASK.name)
    for name, one in versions(here).items():
        # Two networks that no test can tell apart: the same rows in the same order, and the same draws.
        same = {k: np.isclose(v, came[name].figures[k], rtol=1e-9, equal_nan=True) for k, v in one.figures.items()}
        assert all(same.values()), (name, same)
        patients = [registry_of(root).document(v.run_id, "patients") for root, v in ((copy, came[name]), (here, one))]
        assert patients[0] == patients[1]


def test_a_lake_that_went_on_still_knows_the_rows_of_then(copy: Path) -> None:
    write_gold(copy / "lake", seed=1)
    register(context(copy), copy / "export")
    record = registry_of(copy).document(versions(copy)["ssm"].run_id, "record")
    assert set(record["tables"].values()) == {0}
    judged = registry_of(copy).document(versions(copy)["ssm"].run_id, "held_out")
    assert set(judged["tables"].values()) == {1}, "judged by the held-out rows of today"


def test_what_is_of_another_lake_is_not_registered(copy: Path) -> None:
    shutil.rmtree(copy / "lake" / "gold")
    write_gold(copy / "lake")
    with pytest.raises(ContractError, match=r"not of this lake: its gold.mortality_cohort is another table"):
        register(context(copy), copy / "export")


@pytest.mark.parametrize("name", ["out_of_fold.parquet", "models/ssm/ssm/sequence.safetensors", "record.json"])
def test_trained_files_that_changed_are_not_registered(copy: Path, name: str) -> None:
    (trained,) = (copy / "export" / "trained").glob("[!.]*")
    (trained / name).write_bytes((trained / name).read_bytes() + b" ")
    with pytest.raises(ContractError, match=f"{name} is not the file that was written"):
        register(context(copy), copy / "export")
    assert versions(copy) == {}


def test_an_export_without_a_training_or_of_another_export_is_refused(copy: Path) -> None:
    other = copy / "other export"
    export_training(context(copy), TASK.name, other)
    with pytest.raises(ContractError, match="holds no training: run ehr train --from"):
        register(context(copy), other)
    shutil.copytree(copy / "export" / "trained", other / "trained")
    with pytest.raises(ContractError, match=r"was not trained from .*other export as it is now"):
        register(context(copy), other)
