"""The lake's own tables: what a run leaves behind, and what the next one finds."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lakehouse.io import Lake
from lakehouse.records.ledger import RECONCILIATION, RUNS, TABLES, Ledger, Outcome, new_run_id

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
NODE = "silver.stays[ward]"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Opened without a session: the ledger needs none."""
    return Lake(tmp_path)


def record(lake: Lake, outcome: Outcome, minute: int, fingerprint: str = "f", run_id: str = "run") -> Ledger:
    ledger = Ledger(lake, "sail")
    at = NOON + timedelta(minutes=minute)
    ledger.record_run(run_id, outcome, at, code="c", fingerprint=fingerprint, input_versions={"b": 2, "a": 1})
    return ledger


def test_a_new_lake_remembers_nothing(lake: Lake) -> None:
    ledger = Ledger(lake, "sail")
    assert ledger.last_built(NODE) is None
    assert ledger.files("bronze.ward") == {}
    assert lake.names() == []


def test_a_record_reads_back_whole(lake: Lake) -> None:
    outcome = Outcome(
        NODE, "silver.stays", "built", rows_in=9, rows_given=8, rows_out=5, rows_quarantined=2, rows_left_out=1,
        seconds=1.5, version=3, quarantine_version=4, warnings={"usual": 2}, note="not kept",
    )  # fmt: skip
    record(lake, outcome, 0)
    assert lake.records(RUNS.name) == [
        {
            "run_id": "run", "node": NODE, "table": "silver.stays", "status": "built", "code": "c", "fingerprint": "f",
            "input_versions": '{"a": 1, "b": 2}', "version": 3, "quarantine_version": 4, "rows_in": 9, "rows_given": 8,
            "rows_out": 5, "rows_quarantined": 2, "rows_left_out": 1, "warnings": '{"usual": 2}', "started_at": NOON,
            "seconds": 1.5, "engine": "sail", "error": None,
        }
    ]  # fmt: skip


def test_the_last_build_is_in_force_whatever_failed_since(lake: Lake) -> None:
    built, failed = Outcome(NODE, "silver.stays", "built"), Outcome(NODE, "silver.stays", "failed")
    for minute, outcome, fingerprint in ((5, built, "new"), (1, built, "old"), (9, failed, "failed")):
        record(lake, outcome, minute, fingerprint)
    last = Ledger(lake, "sail").last_built(NODE)
    assert last is not None
    assert last["fingerprint"] == "new"
    assert Ledger(lake, "sail").last_built("silver.stays[clinic]") is None


def test_a_ledger_sees_what_it_has_just_recorded(lake: Lake) -> None:
    ledger = record(lake, Outcome(NODE, "silver.stays", "built"), 0, "first")
    assert (ledger.last_built(NODE) or {})["fingerprint"] == "first"
    for status, fingerprint in (("built", "second"), ("failed", "third")):
        outcome = Outcome(NODE, "silver.stays", status)
        ledger.record_run("run", outcome, NOON, code="c", fingerprint=fingerprint, input_versions={})
    assert (ledger.last_built(NODE) or {})["fingerprint"] == "second"


def test_reconciliation_is_kept_beside_the_run(lake: Lake) -> None:
    rows = [{"run_id": "run", "node": NODE, "input": "a", "outcome": "written", "reason": "", "rows": 3}]
    Ledger(lake, "sail").record_run(
        "run", Outcome(NODE, "silver.stays", "built"), NOON, code="", fingerprint="", input_versions={},
        counts={("a", "written", ""): 3},
    )  # fmt: skip
    assert lake.records(RECONCILIATION.name) == rows


def test_the_last_record_of_a_file_is_in_force(lake: Lake) -> None:
    ledger = Ledger(lake, "sail")

    def file(name: str, minute: int, sha256: str, table: str = "bronze.ward") -> dict[str, object]:
        at = NOON + timedelta(minutes=minute)
        return {
            "table": table, "file": name, "batch_id": "run", "size": 1, "modified_ns": 2**60, "sha256": sha256,
            "ingested_at": at,
        }  # fmt: skip

    ledger.record_files([file("a.csv", 2, "new"), file("b.csv", 0, "b")])
    ledger.record_files([file("a.csv", 1, "old"), file("a.csv", 9, "other", "bronze.clinic")])
    assert {name: r["sha256"] for name, r in ledger.files("bronze.ward").items()} == {"a.csv": "new", "b.csv": "b"}
    assert ledger.files("bronze.ward")["a.csv"]["modified_ns"] == 2**60


def test_the_lakes_own_tables_have_their_contracts(lake: Lake) -> None:
    record(lake, Outcome(NODE, "silver.stays", "built"), 0)
    fields = lake._delta(RUNS.name).schema().fields
    assert [(f.name, f.nullable, f.metadata.get("comment", "")) for f in fields] == [
        (c.name, c.nullable, c.comment) for c in RUNS.columns
    ]
    assert [table.name for table in TABLES] == [
        "ops.runs",
        "ops.files",
        "ops.reconciliation",
        "ops.snapshots",
        "ops.forgotten",
        "ops.audit",
    ]
    assert all(column.comment for table in TABLES for column in table.columns)


def test_run_ids_sort_by_time_and_differ() -> None:
    assert new_run_id(NOON).startswith("20260102T120000-")
    assert new_run_id(NOON) < new_run_id(NOON + timedelta(seconds=1))
    assert len({new_run_id(NOON) for _ in range(20)}) > 15
