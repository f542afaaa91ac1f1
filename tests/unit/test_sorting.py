"""Judged rows sorted by Arrow: each counted once, good and refused ones in files of their own."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from lakehouse import sorting
from lakehouse.commit import QUARANTINE_COLUMNS
from lakehouse.ddl import parse_columns
from lakehouse.io import Lake
from lakehouse.rules import apply_rules, ruled_schema
from lakehouse.sorting import GOOD, REFUSED, Sorter, Stored
from lakehouse.table import Rule, Table

TABLE = Table(
    "silver.pulses",
    "id BIGINT NOT NULL, source STRING, pulse DOUBLE",
    ("id",),
    rules=(Rule("slow", "pulse < 9", "warn"),),
)
JUDGED = pa.schema(
    [("id", pa.int64()), ("source", pa.string()), ("pulse", pa.float32())]
    + [(name, pa.string()) for name in ("_left_out", "_merged_as", "_from", "_raw", "_broken")]
    + [("_rows", pa.int64()), ("_warn_slow", pa.bool_())]
)
SORTER = Sorter(
    given=ruled_schema(TABLE),
    good=tuple(TABLE.column_names),
    good_files=Stored.of(parse_columns("id BIGINT NOT NULL, pulse DOUBLE")),
    refused=Stored.of((*TABLE.columns, *QUARANTINE_COLUMNS)),
    marks=("_warn_slow",),
    default_from="bronze.pulses",
    constants=(("_node", "silver.pulses[x]"), ("_run_id", "r")),
)
KINDS = ("_from", "_left_out", "_merged_as", "_broken")


def batch(*rows: dict[str, Any]) -> pa.RecordBatch:
    usual = {"source": "x", "pulse": 1.0, "_broken": "", "_rows": 1, "_warn_slow": False}
    return pa.RecordBatch.from_pylist([usual | row for row in rows], JUDGED)


def told(sorter: Sorter, *batches: pa.RecordBatch) -> list[dict[str, Any]]:
    return [row for out in sorter(batches) for row in out.to_pylist()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind in (GOOD, REFUSED):
        (tmp_path / kind).mkdir()
        (tmp_path / kind).chmod(0o750)
    return tmp_path


def into(folder: Path | None) -> Sorter:
    return Sorter(**(vars(SORTER) | {"folder": folder}))


def stored(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [row for file in sorted((folder / kind).iterdir()) for row in pq.read_table(file).to_pylist()]


def test_each_kind_is_counted_and_stored_in_its_own_columns(folder: Path) -> None:
    out = told(
        into(folder),
        batch({"id": 1}, {"id": 2, "_rows": 3, "_merged_as": "doubled", "_warn_slow": True}, {"id": 3, "_from": "b"}),
        batch({"id": 4, "_left_out": "unmapped", "_rows": 2}, {"_broken": "id_missing slow", "_raw": "?"}, {"id": 5}),
    )
    counts = [tuple(row[n] for n in (*KINDS, "n", "_rows", "_warn_slow")) for row in out if row["_file"] is None]
    assert sorted(counts, key=str) == [
        ("b", None, None, "", 1, 1, 0),
        ("bronze.pulses", "unmapped", None, "", 1, 2, 0),
        ("bronze.pulses", None, "doubled", "", 1, 3, 1),
        ("bronze.pulses", None, None, "", 2, 2, 0),
        ("bronze.pulses", None, None, "id_missing slow", 1, 1, 0),
    ]
    assert stored(folder, GOOD) == [{"id": n, "pulse": 1.0} for n in (1, 2, 3, 5)]
    assert stored(folder, REFUSED) == [
        {
            "id": None, "source": "x", "pulse": 1.0, "_rules": ["id_missing", "slow"], "_raw": "?", "_rows": 1,
            "_from": "bronze.pulses", "_node": "silver.pulses[x]", "_run_id": "r",
        }
    ]  # fmt: skip
    assert {row["_file"] for row in out if row["_file"]} == {file.name for file in folder.glob("*/*")}
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.glob("*/*")} == {0o640}


def test_what_no_row_goes_to_is_no_file(folder: Path) -> None:
    assert told(into(folder)) == []
    assert [row["n"] for row in told(into(folder), batch({"id": 1, "_left_out": "unmapped"}))] == [1]
    assert list(folder.glob("*/*")) == []
    assert [row["n"] for row in told(into(None), batch({"id": 1}, {"_broken": "id_missing"}))] == [1, 1]


@given(
    batches=st.lists(st.lists(st.sampled_from(["good", "left out", "refused"]), min_size=1, max_size=9), max_size=6),
    at_once=st.integers(1, 300),
)
def test_every_row_is_counted_and_each_that_is_to_be_stored_is_so_once(
    batches: list[list[str]], at_once: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("sorted")
    for kind in (GOOD, REFUSED):
        (folder / kind).mkdir()
    kinds = {"good": {}, "left out": {"_left_out": "unmapped"}, "refused": {"_broken": "slow"}}
    ids = iter(range(1000))
    given_rows = [[(next(ids), kind) for kind in one] for one in batches]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "_AT_ONCE", at_once)
        out = told(into(folder), *(batch(*({"id": n, **kinds[kind]} for n, kind in one)) for one in given_rows))
    rows = [row for one in given_rows for row in one]
    assert sum(row["n"] or 0 for row in out) == len(rows)
    for kind, name in ((GOOD, "good"), (REFUSED, "refused")):
        assert [row["id"] for row in stored(folder, kind)] == [n for n, what in rows if what == name]


@pytest.mark.engine
def test_files_of_a_task_that_failed_are_not_stored(spark: SparkSession, tmp_path: Path) -> None:
    lake = Lake(tmp_path, spark)
    frame = spark.createDataFrame([(1, "x", 1.0), (None, "x", 1.0)], "id BIGINT, source STRING, pulse DOUBLE")
    folder = lake._staging("r/n")

    def judged() -> Iterator[Any]:
        yield apply_rules(frame, TABLE)
        for kind in (GOOD, REFUSED):
            pq.write_table(pa.table({"id": [9]}), folder / kind / "part-of-a-try.parquet")

    done = lake.sort(judged(), SORTER, "r/n")
    assert {row["_broken"]: row["n"] for row in done.counts} == {"": 1, "id_missing": 1}
    assert stored(folder, GOOD) == [{"id": 1, "pulse": 1.0}]
    assert [row["_rules"] for row in stored(folder, REFUSED)] == [["id_missing"]]
    assert [(row["id"], row["pulse"]) for row in done.good.frame().collect()] == [(1, 1.0)]
    empty = lake.sort([apply_rules(frame.where("id > 1"), TABLE)], SORTER, "r/empty")
    assert (empty.counts, empty.good.frame().collect(), empty.refused.frame().collect()) == ([], [], [])
