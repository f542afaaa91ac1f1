"""Files that change places with a table's, in one commit."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse.local.swap import append, swap

SCHEMA = pa.schema([("source", pa.string()), ("n", pa.int64())])


def table(root: Path, *partition_by: str) -> Path:
    DeltaTable.create(str(root), schema=SCHEMA, partition_by=list(partition_by))
    return root


def staged(folder: Path, *files: dict[str, list[object]]) -> Path:
    folder.mkdir()
    for i, columns in enumerate(files):
        kept = pa.schema([field for field in SCHEMA if field.name in columns])
        pq.write_table(pa.table(columns, kept), folder / f"{i}.parquet")
    (folder / "_SUCCESS").touch()
    return folder


def rows(root: Path) -> list[tuple[str, int]]:
    return sorted((row["source"], row["n"]) for row in DeltaTable(str(root)).to_pyarrow_table().to_pylist())


def put(root: Path, folder: Path, partition: dict[str, str] | None = None) -> None:
    swap(DeltaTable(str(root)), root, folder, partition or {})


def test_all_rows_are_replaced_and_empty_files_left_where_they_are(tmp_path: Path) -> None:
    root = table(tmp_path / "table")
    put(root, staged(tmp_path / "a", {"source": ["x"], "n": [1]}, {"source": ["y"], "n": [2]}))
    assert rows(root) == [("x", 1), ("y", 2)]
    put(root, staged(tmp_path / "b", {"source": ["z", "z"], "n": [3, 4]}, {"source": [], "n": []}))
    assert rows(root) == [("z", 3), ("z", 4)]
    assert DeltaTable(str(root)).version() == 2
    assert pa.table(DeltaTable(str(root)).get_add_actions()).column("num_records").to_pylist() == [2]
    assert [path.name for path in (tmp_path / "b").glob("*.parquet")] == ["1.parquet"]


def test_one_partition_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    root = table(tmp_path / "table", "source")
    put(root, staged(tmp_path / "a", {"n": [1]}), {"source": "x"})
    put(root, staged(tmp_path / "b", {"n": [2]}), {"source": "y"})
    put(root, staged(tmp_path / "c", {"n": [3, 4]}), {"source": "x"})
    assert rows(root) == [("x", 3), ("x", 4), ("y", 2)]
    put(root, staged(tmp_path / "d", {"n": []}), {"source": "x"})
    assert rows(root) == [("y", 2)]


def test_a_commit_that_fails_leaves_table_and_folder_as_they_were(tmp_path: Path) -> None:
    root = table(tmp_path / "table")
    put(root, staged(tmp_path / "a", {"source": ["x"], "n": [1]}))
    before = sorted(root.rglob("*"))

    class Refusing(DeltaTable):
        def create_write_transaction(self, *_args: object, **_kwargs: object) -> None:
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        swap(Refusing(str(root)), root, staged(tmp_path / "b", {"source": ["y"], "n": [2]}), {})
    assert sorted(root.rglob("*")) == before
    assert rows(root) == [("x", 1)]


def test_who_appends_at_the_same_time_gets_another_version_and_no_row_is_lost(tmp_path: Path) -> None:
    root = table(tmp_path / "table")
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda n: append(root, pa.table({"source": ["x"], "n": [n]}, SCHEMA)), range(40)))
    assert sorted(made) == list(range(1, 41))
    assert rows(root) == [("x", n) for n in range(40)]
    stored = DeltaTable(str(root))
    assert (stored.version(), len(stored.file_uris())) == (40, len(list(root.glob("*.parquet"))))
    write_deltalake(stored, pa.table({"source": ["y"], "n": [0]}, SCHEMA), mode="append")
    assert append(root, pa.table({"source": ["y"], "n": [1]}, SCHEMA)) == 42
    assert rows(root)[-2:] == [("y", 0), ("y", 1)]


def test_rows_that_a_table_may_not_have_are_not_appended(tmp_path: Path) -> None:
    required = pa.schema([SCHEMA.field("source"), SCHEMA.field("n").with_nullable(False)])
    DeltaTable.create(str(tmp_path / "table"), schema=required)
    with pytest.raises(ValueError, match="'n' is declared non-nullable but contains nulls"):
        append(tmp_path / "table", pa.table({"source": ["x"], "n": [None]}, required))
    assert list((tmp_path / "table").glob("*.parquet")) == [] and rows(tmp_path / "table") == []
