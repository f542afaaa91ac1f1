"""One lake, two engines: equal tables from equal files, and each goes on with what the other began.

A process can hold one engine, so each engine runs in a process of its own. JVM Spark is asked over Spark Connect; in
process it is in `tests/faults/test_jvm_kills.py`, on a cluster in `test_beyond_one_process.py`.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lakehouse.io import Lake
from lakehouse.records.forgotten import FORGET
from lakehouse.registry import registry
from tests.conftest import ENGINE
from tests.integration.worlds import CHALLENGE, MIMICIII
from tests.raw_csv import edit, rows

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(ENGINE != "spark", reason="asks the JVM that the tests of EHR_ENGINE=spark start"),
]

ROOT = Path(__file__).parents[2]
OF_THE_RUN = {"_ingested_at", "_batch_id", "_run_id", "run_id", "scored_at", "ingested_at", "batch_id", "input_digest"}
"""Columns that say which run wrote a row, and when; a digest of bits tells numbers apart that are equal to 1e-9."""
SCORED = ("gold.mortality_predictions", "gold.mortality_risk_history", "gold.mortality_outcomes")
"""Trees compare single-precision numbers with thresholds, and a feature that differs by 1e-12 can fall on either side:
these tables are compared by their stays and, to a hundredth, their risks."""
OF_CODES = {"gold.mortality_features_retrospective", "gold.mortality_code_frequencies"}
OF_MIMIC_ALONE = {"silver.diagnoses", "silver.procedures", "silver.medications", "silver.notes"}
CODES, CODES_FILE = "bronze.mimiciii_diagnoses_icd", "DIAGNOSES_ICD.csv.gz"
READ_FOR_CODES = {CODES_FILE, "PATIENTS.csv.gz", "ADMISSIONS.csv.gz", "ICUSTAYS.csv.gz", "D_ICD_DIAGNOSES.csv.gz"}

STAGES = """
import json
import sys

from lakehouse.garbage import spare_the_collector

spare_the_collector()

from importlib import import_module

from jobs.context import Context
from lakehouse.settings import load_settings
from lakehouse.tasks import load_task

def one_model(*names):
    task = load_task(*names)
    return task.model_copy(update={"models": {"logistic": task.models["logistic"]}})

for settings, verbs in json.loads(sys.argv[1]):
    context = Context.of(load_settings(cores=2, **settings))
    for verb in verbs:
        name, *words = verb.split()
        job = import_module("jobs.privacy.forget" if name == "forget" else f"jobs.{name}")
        if name == "train":
            job.load_task = one_model
        getattr(job, name)(context, *words)
"""
TABLES = ("ingest", "refine", "featurize")


def run(engine: str, *jobs: tuple[Path, Path, tuple[str, ...]], **settings: str) -> None:
    """Runs the verbs of each job on its raw folder and its lake, all in one process of its own, which ends well."""
    # This process may hold a session of its own, which says so in variables that Spark reads.
    known = {key: value for key, value in os.environ.items() if not key.startswith(("EHR_", "SPARK_"))}
    told = [({"engine": engine, "raw": str(raw), "lake": str(lake), **settings}, verbs) for raw, lake, verbs in jobs]
    done = subprocess.run(
        [sys.executable, "-c", STAGES, json.dumps(told)],
        cwd=ROOT, env=known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@dataclass(frozen=True)
class Lakes:
    """What both engines made: a lake each of one raw folder; a lake that the embedded engine began and JVM Spark went
    on with when files had changed, and the embedded engine's of the changed files alone. Both forgot a patient."""

    sail: Path
    spark: Path
    gone_on_with: Path
    anew: Path
    builds_begun: int
    forgotten: int


@pytest.fixture(scope="module")
def lakes(generated_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Lakes:
    """Models are trained in the first lake; that and the second are scored with its champion."""
    folder = tmp_path_factory.mktemp("engines")
    whole, before, after = (folder / f"raw-{name}" for name in ("whole", "before", "after"))
    shutil.copytree(generated_raw / CHALLENGE, whole / CHALLENGE)
    # Of MIMIC-III its codes, which reach gold by few tables: each with rows takes the JVM seconds, however few.
    release = Path(shutil.copytree(generated_raw / MIMICIII, before / MIMICIII))
    for file in release.iterdir():
        if file.name not in READ_FOR_CODES:
            edit(file, lambda _: [])
    shutil.copytree(before, after)
    edit(after / MIMICIII / CODES_FILE, lambda rows: rows[:-5])
    patient = rows(release / CODES_FILE)[0]["subject_id"]
    changed = (*TABLES, f"forget mimiciii-{patient}")

    sail, spark, begun, anew = (folder / name for name in ("sail", "spark", "begun", "anew"))
    run(
        "sail",
        (whole, sail, (*TABLES, "train mortality", "score mortality")),
        (before, begun, TABLES),
        (after, anew, changed),
    )
    builds = len(Lake(begun).records("ops.runs"))
    registry = f"sqlite:///{sail / 'mlflow' / 'mlflow.db'}"
    jobs = (whole, spark, (*TABLES, "score mortality")), (after, begun, changed)
    run("spark", *jobs, remote=os.environ["EHR_REMOTE"], mlflow_uri=registry)
    return Lakes(sail, spark, begun, anew, builds, int(patient))


def same_tables(one: Path, other: Path, names: list[str]) -> None:
    for name in names:
        rows = [sorted_rows(Lake(lake), name) for lake in (one, other)]
        if name in SCORED:
            assert rows[0]["stay_id"].equals(rows[1]["stay_id"]), name
            risks = [table["risk"].to_numpy() for table in rows]
            np.testing.assert_allclose(*risks, atol=0.01, err_msg=name)
        else:
            assert differences(*rows) == [], name


def sorted_rows(lake: Lake, name: str) -> pa.Table:
    rows = lake.read_arrow(name)
    rows = rows.select([column for column in rows.column_names if column not in OF_THE_RUN])
    order = [c for c in dict.fromkeys(("_source_file", *key_of(name), "_source_row")) if c in rows.column_names]
    return rows.sort_by([(column, "ascending") for column in order])


def key_of(name: str) -> tuple[str, ...]:
    return registry().tables[name.removesuffix("_quarantine")].key if not name.startswith("ops.") else KEYS[name]


KEYS = {"ops.files": ("table", "file"), "ops.reconciliation": ("node", "input", "outcome", "reason")}


def differences(one: pa.Table, other: pa.Table) -> list[str]:
    """In words, what of two tables in one order differs: shape, or columns with the first values that do."""
    if (one.schema.names, one.num_rows) != (other.schema.names, other.num_rows):
        return [f"{one.num_rows} x {one.schema.names}, {other.num_rows} x {other.schema.names}"]
    found = []
    for column in one.schema.names:
        left, right = (table.column(column).combine_chunks() for table in (one, other))
        wrong = np.flatnonzero(~equal(left, right))
        if len(wrong):
            found.append(f"{column}: {len(wrong)} rows, the first {left[wrong[0]]} and {right[wrong[0]]}")
    return found


def equal(left: pa.Array, right: pa.Array) -> np.ndarray:
    """Row by row; numbers to 1e-9, also those inside lists and structs."""
    if not pa.types.is_nested(left.type):
        if pa.types.is_floating(left.type):
            a, b = (array.to_numpy(zero_copy_only=False) for array in (left, right))
            close = np.isclose(a, b, rtol=1e-9, atol=1e-9, equal_nan=True)
        else:
            close = pc.fill_null(pc.equal(left, right), True).to_numpy(zero_copy_only=False)
        return np.asarray(close & (nulls(left) == nulls(right)))
    if pa.types.is_struct(left.type):
        fields = [equal(left.field(i), right.field(i)) for i in range(left.type.num_fields)]
        return np.logical_and.reduce([nulls(left) == nulls(right), *fields])
    lengths = [pc.list_value_length(array) for array in (left, right)]
    if not lengths[0].equals(lengths[1]):
        return equal(*lengths)
    wrong = ~equal(pc.list_flatten(left), pc.list_flatten(right))
    rows = pc.list_parent_indices(left).to_numpy(zero_copy_only=False)[wrong]
    return ~np.isin(np.arange(len(left)), rows)


def nulls(array: pa.Array) -> np.ndarray:
    return np.asarray(array.is_null().to_numpy(zero_copy_only=False))


def test_a_difference_is_found_wherever_it_hides() -> None:
    reason = pa.list_(pa.struct([("x", pa.float64()), ("y", pa.string())]))
    kinds = {"a": pa.float64(), "b": pa.float64(), "c": pa.list_(pa.float64()), "d": reason, "e": pa.string()}
    row = {"a": 1.0, "b": None, "c": [1.0, None], "d": [{"x": 1.0, "y": "z"}], "e": "text"}

    def found(change: dict[str, object]) -> list[str]:
        one, other = (pa.Table.from_pylist([row, last], pa.schema(kinds)) for last in (row, row | change))
        return differences(one, other)

    for change in (
        {"a": 1.0 + 1e-8}, {"a": None}, {"b": 0.0}, {"c": [1.0, 2.0]}, {"c": [1.0]}, {"c": None},
        {"d": [{"x": 1.0, "y": "w"}]}, {"d": []}, {"e": None}, {"e": "test"},
    ):  # fmt: skip
        assert [text.partition(",")[0] for text in found(change)] == [f"{next(iter(change))}: 1 rows"], change
    assert found({"a": 1.0 + 1e-10}) == []


@pytest.mark.timeout(900)
def test_every_table_is_the_same_on_both_engines(lakes: Lakes) -> None:
    names = Lake(lakes.sail).names()
    assert names == Lake(lakes.spark).names()
    assert without_rows(Lake(lakes.sail), names) <= OF_CODES | OF_MIMIC_ALONE
    same_tables(lakes.sail, lakes.spark, [name for name in names if name != "ops.runs"])


def test_one_engine_goes_on_with_what_the_other_began_and_forgets_alike(lakes: Lakes) -> None:
    lake = Lake(lakes.gone_on_with)
    records = [record for record in lake.records("ops.runs") if record["code"] != FORGET]
    built = {record["node"] for record in records if record["engine"] == "spark"}
    assert len(records) == lakes.builds_begun + len(built)
    assert built == {CODES, *readers_of(CODES)}
    assert all(lake.row_count(name.partition("[")[0]) for name in built - OF_CODES)
    same_tables(
        lakes.anew, lakes.gone_on_with, [name for name in Lake(lakes.anew).names() if not name.startswith("ops.")]
    )
    assert lakes.forgotten not in lake.read_arrow(CODES, ["subject_id"]).column("subject_id").to_pylist()


def without_rows(lake: Lake, names: list[str]) -> set[str]:
    """Those that compare equal whatever was done; bronze may have such, as raw files may."""
    return {name for name in names if not name.startswith("bronze") and not lake.row_count(name)}


def readers_of(name: str) -> set[str]:
    """Nodes of silver and gold that a change of one table reaches."""
    changed, nodes = {name}, set()
    for node in registry().layer("silver", "gold"):
        if changed & set(node.table_inputs):
            changed.add(node.table.name)
            nodes.add(node.name)
    return nodes
