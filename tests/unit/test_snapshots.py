"""The states that runs left: found by name, recorded when something changed, in force until a restore."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import ConfigError, ContractError
from lakehouse.io import Lake
from lakehouse.records.ledger import FILES, Ledger, Outcome
from lakehouse.records.snapshots import SNAPSHOTS, Snapshot, Snapshots, is_in_force, spans_in_force
from lakehouse.state import State
from lakehouse.table import Table

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
STAYS = Table("silver.stays", "id BIGINT NOT NULL", ("id",))


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


def snapshot(minute: int, restored: int | None = None) -> Snapshot:
    """A run that took the minute before it ended; `restored` is the minute at which another one ended."""
    name = None if restored is None else str(restored)
    return Snapshot(str(minute), "restore" if name else "run", "finished", name, at(minute - 1), at(minute), {})


def in_force(snapshots: list[Snapshot], last: int) -> list[int]:
    spans = spans_in_force(snapshots)
    return [minute for minute in range(1, last + 1) if is_in_force(at(minute), spans)]


def test_without_a_restore_everything_is_in_force() -> None:
    assert in_force([], 5) == [1, 2, 3, 4, 5]
    assert in_force([snapshot(2), snapshot(4)], 5) == [1, 2, 3, 4, 5]


def test_a_restore_takes_back_what_was_since_and_a_later_one_brings_it_again() -> None:
    back = [snapshot(2), snapshot(4), snapshot(6, restored=2)]
    assert in_force(back, 8) == [1, 2, 7, 8]
    forth = [*back, snapshot(8), snapshot(9, restored=4)]
    assert in_force(forth, 11) == [1, 2, 3, 4, 10, 11]
    # To the state that the first restore brought, and what was built on it.
    assert in_force([*forth, snapshot(12, restored=8)], 13) == [1, 2, 7, 8, 13]


def test_a_restore_that_has_only_begun_takes_nothing_back() -> None:
    begun = Snapshot("6", "restore", "begun", "2", at(5), at(6), {})
    assert in_force([snapshot(2), snapshot(4), begun], 7) == [1, 2, 3, 4, 5, 6, 7]


@given(st.lists(st.one_of(st.none(), st.integers(0, 30)), max_size=12))
def test_what_is_in_force_is_what_replaying_gives(steps: list[int | None]) -> None:
    """Against the plain way: run after run, a set of records that a restore replaces by that of its target."""
    snapshots: list[Snapshot] = []
    states: list[frozenset[int]] = []
    now: frozenset[int] = frozenset()
    for i, back in enumerate(steps):
        minute = 2 * (i + 1)
        if back is not None and states:
            place = back % len(states)
            snapshots.append(snapshot(minute, restored=2 * (place + 1)))
            now = states[place]
        else:
            snapshots.append(snapshot(minute))
            now = now | {minute - 1}
        states.append(now)
    spans = spans_in_force(snapshots)
    written = {2 * (i + 1) - 1 for i, s in enumerate(snapshots) if s.restored is None}
    assert {minute for minute in written if is_in_force(at(minute), spans)} == now


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Opened without a session, with one table."""
    made = Lake(tmp_path)
    made.create(STAYS.name, STAYS.columns)
    return made


def test_a_state_is_recorded_once_and_reads_back(lake: Lake) -> None:
    snapshots = Snapshots(lake)
    made = snapshots.record("run-a", "ingest", "finished", NOON)
    assert made is not None
    assert made.tables == {STAYS.name: State(lake.table_id(STAYS.name) or "", 0)}
    assert snapshots.record("run-b", "ingest", "finished", NOON) is None, "nothing has changed since"
    lake.append_records(STAYS.name, STAYS.columns, [{"id": 1}])
    assert snapshots.record("run-c", "refine", "failed", NOON) is not None
    assert [(s.run_id, s.verb, s.status, s.tables[STAYS.name].version) for s in snapshots.all()] == [
        ("run-a", "ingest", "finished", 0),
        ("run-c", "refine", "failed", 1),
    ]
    assert snapshots.all()[0] == made
    assert lake.version(SNAPSHOTS.name) == 2


def test_nothing_is_recorded_of_no_lake(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "none")
    assert Snapshots(lake).record("run-a", "ingest", "failed", NOON) is None
    assert not lake.root.exists()


def test_a_run_is_found_by_its_beginning(lake: Lake) -> None:
    snapshots = Snapshots(lake)
    with pytest.raises(ConfigError, match=r"has no finished run x that changed it; there is none yet\.$"):
        snapshots.find("x")
    for n, run in enumerate(("20260102-aa", "20260102-ab", "20260103-aa")):
        lake.append_records(STAYS.name, STAYS.columns, [{"id": n}])
        snapshots.record(run, "ingest", "finished", NOON)
    assert snapshots.find("20260102-ab").run_id == "20260102-ab"
    assert snapshots.find("20260103").run_id == snapshots.find("last").run_id == "20260103-aa"
    with pytest.raises(ConfigError, match="2 runs begin with 20260102"):
        snapshots.find("20260102")
    with pytest.raises(ConfigError, match=r"no finished run 2025 .* the last one is 20260103-aa"):
        snapshots.find("2025")


def test_a_restore_that_was_killed_holds_up_all_but_itself(lake: Lake) -> None:
    snapshots = Snapshots(lake)
    snapshots.record("run-a", "ingest", "finished", NOON)
    snapshots.check_no_restore_is_half_done()
    snapshots.record("run-b", "restore", "begun", NOON, restored="run-a")
    with pytest.raises(ContractError, match="a restore of run run-a did not come to its end: run ehr restore run-a"):
        snapshots.check_no_restore_is_half_done()
    lake.append_records(STAYS.name, STAYS.columns, [{"id": 1}])
    snapshots.record("run-c", "restore", "failed", NOON, restored="run-a")
    with pytest.raises(ContractError, match="restore of run run-a"):
        snapshots.check_no_restore_is_half_done()
    snapshots.record("run-d", "restore", "finished", NOON, restored="run-a")
    snapshots.check_no_restore_is_half_done()
    assert [s.run_id for s in snapshots.ended()] == ["run-a", "run-c", "run-d"]


def test_the_ledger_passes_over_what_a_restore_took_back(lake: Lake) -> None:
    def build(run: str, fingerprint: str, sha256: str) -> None:
        ledger, now = Ledger(lake, "sail"), datetime.now(UTC)
        outcome = Outcome("silver.stays", "silver.stays", "built")
        ledger.record_run(run, outcome, now, code="c", fingerprint=fingerprint, input_versions={})
        ledger.record_files(
            [{"table": "bronze.ward", "file": "a", "batch_id": run, "sha256": sha256, "ingested_at": now}]
        )
        Snapshots(lake).record(run, "run", "finished", now)

    def told() -> tuple[str, str]:
        ledger = Ledger(lake, "sail")
        return (ledger.last_built("silver.stays") or {})["fingerprint"], ledger.files("bronze.ward")["a"]["sha256"]

    build("run-a", "first", "old")
    build("run-b", "second", "new")
    assert told() == ("second", "new")
    Snapshots(lake).record("run-c", "restore", "finished", datetime.now(UTC), restored="run-a")
    assert told() == ("first", "old")
    assert [r["run_id"] for r in Ledger(lake, "sail").runs()] == ["run-a"]
    assert len(lake.records("ops.runs")) == len(lake.records(FILES.name)) == 2, "nothing is taken out"
    Snapshots(lake).record("run-d", "restore", "finished", datetime.now(UTC), restored="run-b")
    assert told() == ("second", "new")
