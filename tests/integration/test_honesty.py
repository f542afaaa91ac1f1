"""Nothing that a model may not know reaches it, from raw files to risks, in worlds that differ in nothing else.

One world as it was generated; one in which everything charted after the window is gone (or, in the Challenge, new) and
every outcome is another one; one in which all test stays are others; one to which record sets came that no model knows.
"""

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from worlds import (
    CHALLENGE,
    OUTCOMES_HEADER,
    WINDOW_MINUTES,
    World,
    end_otherwise,
    forget_what_came_later,
    records,
    write_records,
)

from bronze.synthetic.challenge2012 import record
from gold.mortality import cohort
from jobs.evaluate import Asked, evaluate
from jobs.featurize import featurize
from jobs.ingest import ingest
from jobs.refine import refine
from jobs.run import run
from jobs.train import train
from jobs.training.matrix import Matrix, load_matrix
from jobs.training.registry import open_registry
from lakehouse.tasks import load_task
from models.base import RiskModel
from models.registry import RegisteredModel
from models.splits import patient_folds
from models.stack import StackedModel

LABEL = "in_hospital_death"
FEATURES, SEQUENCES, COHORT = (f"gold.mortality_{name}" for name in ("features", "sequences", "cohort"))
TASK = load_task("mortality", "quick")
KEEN = {"eta": 0.3, "max_depth": 2, "min_child_weight": 0.1}
SMALL = TASK.model_copy(
    update={
        "models": {
            **TASK.models,
            "xgboost": {**TASK.models["xgboost"], "space": {}, "defaults": KEEN},
            "ssm": {
                "type": "sequence",
                "network": {"width": 8, "states": 4, "blocks": 1},
                "training": {"epochs": 2, "batch": 8, "networks": 1},
            },
        }
    }
)
"""The question's models, small enough for thirty stays to teach them something within seconds."""
NEW_LABELLED, NEW_UNLABELLED = 24, 6


@pytest.fixture(scope="module", autouse=True)
def small_models() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        for job in ("train", "evaluate"):
            patched.setattr(f"jobs.{job}.load_task", lambda *_: SMALL)
        yield


@pytest.fixture(scope="module")
def known(generated_raw: Path, featurized_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The world as it was generated, with trained models."""
    world = World(generated_raw, tmp_path_factory.mktemp("known") / "lake")
    shutil.copytree(featurized_lake, world.root)
    train(world.context(), "mortality")
    return world


@pytest.fixture(scope="module")
def otherwise(generated_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, str]:
    """Another future and other outcomes; and one stay that had one more heart rate at the window's very last minute."""
    folder = tmp_path_factory.mktemp("otherwise")
    raw = Path(shutil.copytree(generated_raw, folder / "raw"))
    forget_what_came_later(raw)
    end_otherwise(raw)
    tar = raw / CHALLENGE / "set-a.tar.gz"
    texts = records(tar)
    seen = next(name for name, text in texts.items() if "48:00,HR" not in text)
    write_records(tar, {**texts, seen: texts[seen] + "48:00,HR,199\n"})
    world = World(raw, folder / "lake")
    for stage in (ingest, refine, featurize):
        stage(world.context())
    return world, f"challenge2012-{seen}"


@pytest.fixture(scope="module")
def retested(known: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The known world with other test stays in gold, measured and ended otherwise; models trained anew."""
    world = World(known.raw, Path(shutil.copytree(known.root, tmp_path_factory.mktemp("retested") / "lake")))
    tested = {stay for stay, row in world.by_stay(COHORT).items() if row["split"] == "test"}
    changes = {
        COHORT: lambda row: {**row, LABEL: 1 - row[LABEL]},
        FEATURES: lambda row: {k: 7.5 - 1e3 * v if isinstance(v, float) else v for k, v in row.items()},
        SEQUENCES: lambda row: {**row, "values": [1e3 * v + i for i, v in enumerate(row["values"])]},
    }
    for name, change in changes.items():
        table = DeltaTable(str(world.lake.location(name)))
        rows = [change(row) for row in world.lake.records(name) if row["stay_id"] in tested]
        schema = world.lake.read_arrow(name).schema
        table.delete(f"stay_id IN ({', '.join(repr(stay) for stay in tested)})")
        write_deltalake(table, pa.Table.from_pylist(rows, schema=schema), mode="append")
    train(world.context(), "mortality")
    return world


@pytest.fixture(scope="module")
def tomorrow(known: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A folder `set-c` with outcomes and a tarball `set-d` without were dropped into the raw folder, and the whole job
    ran again on the lake that was there."""
    folder = tmp_path_factory.mktemp("tomorrow")
    raw = Path(shutil.copytree(known.raw, folder / "raw"))
    made = [record(3, 5_000 + i) for i in range(NEW_LABELLED + NEW_UNLABELLED)]
    (raw / "set-c").mkdir()
    for one in made[:NEW_LABELLED]:
        (raw / "set-c" / f"{one.record_id}.txt").write_text(one.text)
    outcomes = [one.outcome for one in made[:NEW_LABELLED]]
    (raw / "Outcomes-c.txt").write_text("\n".join([OUTCOMES_HEADER, *outcomes, ""]))
    write_records(raw / "set-d.tar.gz", {str(one.record_id): one.text for one in made[NEW_LABELLED:]})
    world = World(raw, Path(shutil.copytree(known.root, folder / "lake")))
    run(world.context(), "mortality")
    return world


def matrix_of(world: World) -> Matrix:
    return load_matrix(world.lake, TASK, sequences=True)


def newest(world: World) -> Mapping[str, RegisteredModel]:
    return open_registry(world.context(), TASK).newest("mortality")


def fitted(model: RiskModel, folder: Path) -> Any:
    """All that a model learned, for comparison to the bit."""
    if isinstance(model, StackedModel):
        members = {name: fitted(member, folder / name) for name, member in model.members.items()}
        return [members, model.weights.tolist(), model.intercept]
    if model.kind == "logistic":  # its file holds addresses of this process
        return joblib.hash(model.pipeline)  # type: ignore[attr-defined]
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder)
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def differing(one: World, other: World, table: str) -> set[str]:
    """Stays whose rows are not the same: to the bit, but for what sums leave open, whose terms have no order."""
    first, second = (world.by_stay(table) for world in (one, other))
    assert first.keys() == second.keys()
    return {stay for stay in first if any(not same(cell, second[stay][name]) for name, cell in first[stay].items())}


def same(cell: Any, other: Any) -> bool:
    if isinstance(cell, float) and isinstance(other, float):
        return math.isclose(cell, other, rel_tol=1e-9, abs_tol=1e-9)
    return bool(cell == other)


def test_the_other_world_did_see_another_future(known: World, otherwise: tuple[World, str]) -> None:
    """Else the next tests would hold whatever the project did."""
    other, _ = otherwise
    before, after = ({s: r[LABEL] for s, r in world.by_stay(COHORT).items()} for world in (known, other))
    assert after == {stay: 1 - died for stay, died in before.items()}  # type: ignore[operator]
    later = {"challenge2012": (0, 1), "mimiciii": (1, 0), "mimiciv": (1, 0)}
    for world, place in ((known, 0), (other, 1)):
        events = world.lake.read_arrow("silver.events", ["source", "minute"]).to_pandas()
        past = events[events["minute"] > WINDOW_MINUTES].groupby("source").size()
        assert {source: int(past.get(source, 0) > 0) for source in later} == {
            s: pair[place] for s, pair in later.items()
        }
    stays = [world.by_stay("silver.stays") for world in (known, other)]
    for column in ("saps_i_outcome", "sofa_outcome", "length_of_stay_days", "survival_days"):
        told = [stay for stay in stays[0] if stays[0][stay]["source"] == "challenge2012"]
        assert sum(stays[0][stay][column] != stays[1][stay][column] for stay in told) > 0.8 * len(told)


@pytest.mark.parametrize("table", [FEATURES, SEQUENCES])
def test_neither_later_rows_nor_outcomes_reach_features_or_sequences(
    known: World, otherwise: tuple[World, str], table: str
) -> None:
    """And what the last minute of the window saw does."""
    other, seen = otherwise
    assert differing(known, other, table) == {seen}
    sources = set(known.lake.read_arrow(table, ["source"]).column("source").to_pylist())
    assert sources == {"challenge2012", "mimiciii", "mimiciv"}


def test_neither_later_rows_nor_outcomes_move_a_risk(known: World, otherwise: tuple[World, str]) -> None:
    other, seen = otherwise
    first, second = matrix_of(known), matrix_of(other)
    for name, model in newest(known).items():
        risks = [model.scorer.model.risks(one.inputs(model.scorer)) for one in (first, second)]
        moved = set(first.features.index[~np.isclose(*risks, rtol=1e-6, atol=0)])
        assert moved <= {seen}, f"{name}: by {np.abs(np.subtract(*risks)).max()}"
        assert moved or name == "xgboost", f"{name} does not see the last minute"


def test_test_stays_leave_no_trace_in_any_registered_model(known: World, retested: World, tmp_path: Path) -> None:
    """Neither their measurements (scales, medians, channels, trees) nor their outcomes (weights, threshold)."""
    before, after = matrix_of(known), matrix_of(retested)
    tested = (before.cohort["split"] == "test").to_numpy()
    assert (before.label[tested] == 1 - after.label[tested]).all()
    assert (before.features["age"][tested] != after.features["age"][tested]).all()
    assert before.features[~tested].equals(after.features[~tested])
    first, second = newest(known), newest(retested)
    assert set(first) == set(second) == {"logistic", "xgboost", "ssm", "ensemble"}
    for name in first:
        assert second[name].version > first[name].version, "it was trained again"
        learned = [fitted(one[name].scorer.model, tmp_path / when) for one, when in ((first, "1"), (second, "2"))]
        assert learned[0] == learned[1], name
        assert first[name].scorer.threshold == second[name].scorer.threshold


@pytest.mark.parametrize("by", ["record_set", "patient_hash"])
def test_no_patient_is_in_two_splits_or_two_folds(known: World, by: str) -> None:
    task = SMALL.model_copy(update={"split": SMALL.split.model_copy(update={"by": by})})
    asked = cohort.build(known.context().lake.read("silver.stays"), task).where("_left_out IS NULL").toPandas()
    stays = asked.groupby("patient_id")
    assert stays.size().max() > 1
    assert stays["split"].nunique().max() == 1
    assert asked["split"].nunique() > 1
    asked["fold"] = patient_folds(asked["in_hospital_death"], asked["patient_id"], task.folds, 7)
    assert stays["fold"].nunique().max() == 1


def test_new_record_sets_are_scored_with_and_without_outcomes(tomorrow: World) -> None:
    asked, predictions = tomorrow.by_stay(COHORT), tomorrow.by_stay("gold.mortality_predictions")
    assert predictions.keys() == asked.keys()
    new = {stay: row for stay, row in asked.items() if row["record_set"] in ("c", "d")}
    assert {row["split"] for row in new.values()} == {"external"}
    labels = {name: [r[LABEL] for r in new.values() if r["record_set"] == name] for name in "cd"}
    assert len(labels["c"]) == NEW_LABELLED and set(labels["c"]) == {0, 1}
    assert labels["d"] == [None] * NEW_UNLABELLED
    assert all(0 <= predictions[stay]["risk"] <= 1 for stay in new)  # type: ignore[operator]
    known_by_now = {row["stay_id"] for row in tomorrow.lake.records("gold.mortality_outcomes")}
    assert known_by_now == {stay for stay, row in asked.items() if row[LABEL] is not None}


def test_models_of_a_and_b_are_judged_on_the_new_set(tomorrow: World, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(tomorrow.context(), "mortality", Asked(protocol="ab-to-c", as_json=True))
    parts = {part["part"]: part for part in json.loads(capsys.readouterr().out)["parts"]}
    died = {
        record_set: [r[LABEL] for r in tomorrow.by_stay(COHORT).values() if r["record_set"] == record_set]
        for record_set in "abc"
    }
    assert (parts["test"]["n"], parts["test"]["events"]) == (NEW_LABELLED, sum(died["c"]))
    inside = died["a"] + died["b"]
    assert (parts["out_of_fold"]["n"], parts["out_of_fold"]["events"]) == (len(inside), sum(inside))
    assert {*SMALL.models, *SMALL.baselines} <= set(parts["test"]["models"])


def test_records_alone_make_a_lake_without_labels(tmp_path: Path) -> None:
    """A raw folder without any outcome file: stays to be scored by a model from elsewhere."""
    made = [record(3, i) for i in range(3)]
    (tmp_path / "raw").mkdir()
    write_records(tmp_path / "raw" / "set-c.tar.gz", {str(one.record_id): one.text for one in made})
    world = World(tmp_path / "raw", tmp_path / "lake")
    ingest(world.context())
    refine(world.context(), "challenge2012")
    stays = world.by_stay("silver.stays")
    assert stays.keys() == {f"challenge2012-{one.record_id}" for one in made}
    assert {row[LABEL] for row in stays.values()} == {None}
    assert {row["stay_id"] for row in world.lake.records("silver.events")} <= stays.keys()
