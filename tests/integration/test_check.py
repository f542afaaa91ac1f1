"""Whether every promise holds as stored: harm done behind the lake's back is found, a run at work is none."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import DataFrame

from lakehouse.errors import ConfigError
from lakehouse.io import Lake
from lakehouse.local.lock import FILE, Holder
from lakehouse.records.snapshots import Snapshots
from tests.integration.operated import CHART, OperatedLake

pytestmark = pytest.mark.usefixtures("spark")


@pytest.fixture
def site(operated: OperatedLake) -> OperatedLake:
    return operated


def delta(site: OperatedLake, name: str) -> DeltaTable:
    return DeltaTable(str(site.lake.location(name)))


def first_file(site: OperatedLake, name: str) -> Path:
    return max(site.lake.location(name).rglob("*.parquet"), key=lambda path: path.stat().st_size)


def overwrite_a_value(site: OperatedLake) -> None:
    path = first_file(site, "silver.stays")
    table = pq.read_table(path, partitioning=None)
    ages = pa.array([300.0, *table["age"].to_pylist()[1:]])
    pq.write_table(table.set_column(table.schema.get_field_index("age"), "age", ages), path)


def update_a_value(site: OperatedLake) -> None:
    delta(site, "silver.stays").update(updates={"age": "300.0"})


def cut_a_file(site: OperatedLake) -> None:
    path = first_file(site, "silver.patients")
    path.write_bytes(path.read_bytes()[:-100])


def write_a_row_twice(site: OperatedLake) -> None:
    path = str(site.lake.location("silver.patients"))
    write_deltalake(path, site.lake.read_arrow("silver.patients").slice(0, 1), mode="append")


def lose_rows(site: OperatedLake) -> None:
    delta(site, "silver.notes").delete("note_id IS NOT NULL")


def add_a_column(site: OperatedLake) -> None:
    path, table = str(site.lake.location("silver.notes")), site.lake.read_arrow("silver.notes")
    extra = table.append_column("extra", pa.array([1] * table.num_rows))
    write_deltalake(path, extra, mode="overwrite", schema_mode="overwrite", partition_by=["source"])


def rename_a_source_file(site: OperatedLake) -> None:
    delta(site, CHART).update(predicate="_source_row = 1", updates={"_source_file": "'nowhere.csv'"})


def forget_a_file(site: OperatedLake) -> None:
    delta(site, "ops.files").delete(f"table = '{CHART}'")


def tamper_with_the_account(site: OperatedLake) -> None:
    delta(site, "ops.reconciliation").update(predicate=f"node = '{CHART}'", updates={"rows": "rows + 1"})


def make_it_anew(site: OperatedLake) -> None:
    shutil.rmtree(site.lake.location("silver.notes"))


@pytest.mark.parametrize(
    ("harm", "table", "broken"),
    [
        (overwrite_a_value, "silver.stays", {"files"}),
        (update_a_value, "silver.stays", {"rules", "history"}),
        (cut_a_file, "silver.patients", {"files"}),
        (write_a_row_twice, "silver.patients", {"key", "history", "reconciliation"}),
        (lose_rows, "silver.notes", {"history", "reconciliation"}),
        (add_a_column, "silver.notes", {"schema", "history"}),
        (rename_a_source_file, CHART, {"lineage", "reconciliation", "history"}),
        (forget_a_file, CHART, {"lineage"}),
        (tamper_with_the_account, CHART, {"reconciliation"}),
        (make_it_anew, "silver.notes", {"history"}),
    ],
)
def test_what_is_done_behind_the_lakes_back_is_found(
    site: OperatedLake, harm: Callable[[OperatedLake], None], table: str, broken: set[str]
) -> None:
    harm(site)
    with suppress(ConfigError):  # a table that is gone cannot be asked for
        assert site.broken(table).get(table) == broken
        return
    assert site.broken()[table] == broken


@pytest.mark.parametrize(("lost", "broken"), [(1, {}), (2, {"silver.notes": {"files"}})])
def test_an_answer_of_the_engine_that_was_lost_is_asked_for_again(
    site: OperatedLake, monkeypatch: pytest.MonkeyPatch, lost: int, broken: dict[str, set[str]]
) -> None:
    read, asked = Lake.read, list[str]()

    def read_at_last(lake: Lake, name: str, version: int | None = None) -> DataFrame:
        asked.append(name)
        if len(asked) <= lost:
            raise RuntimeError("Exception deserializing response!")
        return read(lake, name, version)

    monkeypatch.setattr(Lake, "read", read_at_last)
    assert site.broken("silver.notes") == broken


def test_what_a_killed_run_left_is_no_broken_promise(site: OperatedLake) -> None:
    """A table was committed, and its run was killed before it could say so: the name on the door tells."""
    site.lake.restore("silver.notes", 0)
    assert site.broken("silver.notes") == {"silver.notes": {"history", "reconciliation"}}
    (site.root / FILE).write_text(json.dumps(vars(Holder.here("run-x", "refine"))))
    done = site.check("silver.notes")
    assert done.findings == []
    assert any("run run-x" in note and "was killed" in note for note in done.notes)
    site.refresh()
    assert site.broken("silver.notes") == {}


def test_while_a_run_is_at_work_what_the_last_one_left_is_checked(site: OperatedLake) -> None:
    context = site.context()
    with context.writing("refine"):
        lose_rows(site)
        done = site.check("silver.notes")
        assert done.findings == []
        assert any("is at work" in note for note in done.notes)
    assert not any("is at work" in note for note in site.check("silver.notes").notes)
    assert Snapshots(site.lake).find("last").run_id == context.run_id


def ehr(site: OperatedLake, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    known = {key: value for key, value in os.environ.items() if not key.startswith("EHR_")}
    given = {"EHR_LAKE": str(site.root), "EHR_RAW": str(site.raw), **settings}
    return subprocess.run(
        [sys.executable, "-m", "jobs.cli", *arguments],
        cwd=Path(__file__).parents[2], env=known | given, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


def test_another_process_stops_where_it_may_not_wait_and_readers_go_on(site: OperatedLake) -> None:
    context = site.context()
    with context.writing("refine"):
        refused = ehr(site, "maintain", EHR_LOCK_WAIT_SECONDS="0")
        assert refused.returncode == 6
        assert "is being written by ehr refine (run " + context.run_id in " ".join(refused.stderr.split())
        read = ehr(site, "sql", "select count(*) as n from silver.stays", "--output", "csv", EHR_LOCK_WAIT_SECONDS="0")
        assert read.stdout.split() == ['"n"', str(site.lake.row_count("silver.stays"))]


def test_check_ends_with_a_code_that_a_scheduler_can_act_on(site: OperatedLake) -> None:
    lose_rows(site)
    found = ehr(site, "check", "--only", "silver.notes")
    assert found.returncode == 1
    assert "by no run" in found.stdout and "2 promises are broken" in found.stdout
