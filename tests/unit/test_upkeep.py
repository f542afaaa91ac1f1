"""Upkeep of one local table: which version brought its rows, compaction, vacuum, sound files, tables set aside."""

import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import ContractError
from lakehouse.io import Lake
from lakehouse.local.upkeep import newest_of_rows
from lakehouse.local.withdrawn import FOLDER
from lakehouse.table import Table

WARD = Table("silver.ward", "id BIGINT NOT NULL COMMENT 'bed', value DOUBLE", ("id",))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """One table of three commits after its creation, a row and a file each."""
    made = Lake(tmp_path)
    for n in (3, 1, 2):
        made.append_records(WARD.name, WARD.columns, [{"id": n, "value": n / 2}])
    return made


def rows(lake: Lake, version: int | None = None) -> list[int]:
    return lake.read_arrow(WARD.name, ["id"], version).column("id").to_pylist()


def files(lake: Lake) -> list[Path]:
    return sorted(lake.location(WARD.name).glob("*.parquet"))


def test_compaction_joins_files_and_brings_no_rows(lake: Lake) -> None:
    before = sorted(rows(lake))
    assert lake.compact(WARD.name)
    assert (lake.version(WARD.name), lake.data_version(WARD.name)) == (4, 3)
    assert sorted(rows(lake)) == before
    assert [(c.name, c.type, c.nullable, c.comment) for c in lake.columns(WARD.name, 4)] == [
        ("id", "bigint", False, "bed"),
        ("value", "double", True, ""),
    ]
    assert not lake.compact(WARD.name), "there is nothing more to do"
    assert lake.version(WARD.name) == 4
    lake.append_records(WARD.name, WARD.columns, [{"id": 4}])
    assert lake.data_version(WARD.name) == 5
    assert lake.data_version(WARD.name, 4) == 3


def test_clustering_orders_the_rows(lake: Lake) -> None:
    assert lake.compact(WARD.name, ("id",))
    assert rows(lake) == [1, 2, 3]
    assert not lake.compact(WARD.name, ("id",))


def test_a_restored_table_has_the_rows_of_the_version_that_it_went_back_to(lake: Lake) -> None:
    lake.compact(WARD.name)
    lake.restore(WARD.name, 2)
    assert (lake.version(WARD.name), lake.data_version(WARD.name)) == (5, 2)
    lake.restore(WARD.name, 4)
    assert lake.data_version(WARD.name) == 3
    assert lake.data_version("silver.none") is None


def test_a_vacuum_deletes_what_no_late_version_needs_and_what_was_never_committed(lake: Lake) -> None:
    lake.compact(WARD.name)
    stray = lake.location(WARD.name) / "part-of-a-killed-write.parquet"
    pq.write_table(pa.table({"id": [9]}), stray)
    assert lake.vacuum(WARD.name, 1) == 0
    assert lake.is_whole(WARD.name, 3) and stray.exists()
    assert lake.vacuum(WARD.name, 0) == 4
    assert len(files(lake)) == 1
    assert not lake.is_whole(WARD.name, 3)
    assert lake.is_whole(WARD.name, lake.version(WARD.name) or 0)
    assert lake.data_version(WARD.name) == 3
    assert sorted(rows(lake)) == [1, 2, 3]


def test_a_log_that_has_grown_long_gets_a_checkpoint(lake: Lake) -> None:
    checkpoint = lake.location(WARD.name) / "_delta_log" / "_last_checkpoint"
    lake.vacuum(WARD.name, 168)
    assert not checkpoint.exists()
    for n in range(4, 22):
        lake.append_records(WARD.name, WARD.columns, [{"id": n}])
    lake.vacuum(WARD.name, 168)
    assert checkpoint.exists()
    assert len(rows(lake)) == 21


def test_files_that_are_not_as_the_log_has_them_are_named(lake: Lake) -> None:
    assert lake.unsound_files(WARD.name, 3) == []
    gone, cut, other = files(lake)
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-40])
    pq.write_table(pa.table({"id": [7, 8], "value": [1.0, 2.0]}), other)
    found = lake.unsound_files(WARD.name, 3)
    assert len(found) == 3
    assert f"{gone.name} is missing" in found
    assert any(text.startswith(f"{cut.name} is no Parquet file") for text in found)
    assert any(text.startswith(f"{other.name} has ") and "bytes, the log says" in text for text in found)


def test_a_withdrawn_table_is_gone_for_readers_and_comes_back_whole(lake: Lake) -> None:
    before, identity = sorted(rows(lake)), lake.table_id(WARD.name) or ""
    lake.withdraw(WARD.name, "run-x")
    assert not lake.exists(WARD.name) and lake.names() == []
    assert lake.can_recall(WARD.name, identity, 3)
    assert not lake.can_recall(WARD.name, identity, 9)
    assert not lake.can_recall(WARD.name, "another", 3)
    with pytest.raises(ContractError, match=r"silver\.ward was withdrawn from the lake and is gone"):
        lake.recall(WARD.name, "another")
    lake.recall(WARD.name, identity)
    assert sorted(rows(lake)) == before
    assert list((lake.root / FOLDER).iterdir()) == []


def test_what_was_withdrawn_long_ago_is_deleted(lake: Lake) -> None:
    identity = lake.table_id(WARD.name) or ""
    lake.withdraw(WARD.name, "run-x")
    assert lake.forget_withdrawn(1) == 0
    two_hours_ago = time.time() - 7200
    os.utime(lake.root / FOLDER / "run-x", (two_hours_ago, two_hours_ago))
    assert lake.forget_withdrawn(1) == 1
    assert not lake.can_recall(WARD.name, identity, 3)
    assert list((lake.root / FOLDER).iterdir()) == []


OPERATIONS = st.one_of(st.sampled_from(["WRITE", "MERGE", "OPTIMIZE", "VACUUM END"]), st.integers(0, 40))


@given(st.lists(OPERATIONS, min_size=1, max_size=15), st.integers(0, 20))
def test_the_version_of_the_rows_is_what_replaying_the_history_gives(steps: list[str | int], lost: int) -> None:
    history: dict[int, tuple[str, dict[str, str]]] = {0: ("CREATE TABLE", {})}
    rows_of = {0: 0}
    for version, step in enumerate(steps, start=1):
        if isinstance(step, int):
            back = step % version
            history[version], rows_of[version] = ("RESTORE", {"version": str(back)}), rows_of[back]
        else:
            history[version] = (step, {})
            rows_of[version] = rows_of[version - 1] if step in ("OPTIMIZE", "VACUUM END") else version
    assert {v: newest_of_rows(v, history.get) for v in history} == rows_of
    # A log that was cleaned away up to a version: what is asked of still there is answered without an error.
    known = {v: entry for v, entry in history.items() if v >= lost}
    assert all(newest_of_rows(v, known.get) <= v for v in known)
