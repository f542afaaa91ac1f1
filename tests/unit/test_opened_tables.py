"""A table that a lake has opened is read anew as soon as its log is another one, whoever wrote it."""

import shutil
from pathlib import Path

from lakehouse.ddl import Column
from lakehouse.io import Lake

NAME, COLUMNS = "ops.runs", (Column("n", "INT"),)


def test_what_another_wrote_is_seen(tmp_path: Path) -> None:
    lake, other = Lake(tmp_path), Lake(tmp_path)
    for n in range(1, 30):  # faster than a file system's clock ticks
        (other if n % 3 else lake).append_records(NAME, COLUMNS, [{"n": n}])
        assert lake.row_count(NAME) == other.row_count(NAME) == n
        assert lake.version(NAME) == n
    assert sorted(row["n"] for row in lake.records(NAME)) == list(range(1, 30))


def test_a_table_made_anew_is_another_one(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.append_records(NAME, COLUMNS, [{"n": 1}])
    first = lake.table_id(NAME)
    shutil.rmtree(lake.location(NAME))
    assert not lake.exists(NAME)
    lake.append_records(NAME, COLUMNS, [{"n": 2}])
    assert lake.table_id(NAME) != first and lake.version(NAME) == 1
    assert [row["n"] for row in lake.records(NAME)] == [2]


def test_an_earlier_version_is_what_it_was(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for n in (1, 2):
        lake.append_records(NAME, COLUMNS, [{"n": n}])
    assert [lake.read_arrow(NAME, version=version).num_rows for version in (0, 1, 2)] == [0, 1, 2]
    assert lake.row_count(NAME) == 2


def test_a_log_is_summed_as_it_grows_and_goes_on_where_only_the_sum_is_left(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for n in range(20):
        lake.append_records(NAME, COLUMNS, [{"n": n}])
    log = lake.location(NAME) / "_delta_log"
    assert (log / f"{20:020d}.checkpoint.parquet").exists()
    for entry in log.glob("*.json"):
        entry.unlink()
    Lake(tmp_path).append_records(NAME, COLUMNS, [{"n": 20}])
    assert lake.version(NAME) == 21
    assert sorted(row["n"] for row in lake.records(NAME)) == list(range(21))
