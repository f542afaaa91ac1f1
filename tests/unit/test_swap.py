"""Files that change places with a table's, in one commit."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from lakehouse.local import swap as module
from lakehouse.local.swap import swap

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


def test_all_rows_are_replaced_and_empty_files_left_where_they_are(tmp_path: Path) -> None:
    root = table(tmp_path / "table")
    swap(root, staged(tmp_path / "a", {"source": ["x"], "n": [1]}, {"source": ["y"], "n": [2]}), {})
    assert rows(root) == [("x", 1), ("y", 2)]
    swap(root, staged(tmp_path / "b", {"source": ["z", "z"], "n": [3, 4]}, {"source": [], "n": []}), {})
    assert rows(root) == [("z", 3), ("z", 4)]
    assert DeltaTable(str(root)).version() == 2
    assert pa.table(DeltaTable(str(root)).get_add_actions()).column("num_records").to_pylist() == [2]
    assert [path.name for path in (tmp_path / "b").glob("*.parquet")] == ["1.parquet"]


def test_one_partition_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    root = table(tmp_path / "table", "source")
    swap(root, staged(tmp_path / "a", {"n": [1]}), {"source": "x"})
    swap(root, staged(tmp_path / "b", {"n": [2]}), {"source": "y"})
    swap(root, staged(tmp_path / "c", {"n": [3, 4]}), {"source": "x"})
    assert rows(root) == [("x", 3), ("x", 4), ("y", 2)]
    swap(root, staged(tmp_path / "d", {"n": []}), {"source": "x"})
    assert rows(root) == [("y", 2)]


def test_a_commit_that_fails_leaves_table_and_folder_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = table(tmp_path / "table")
    swap(root, staged(tmp_path / "a", {"source": ["x"], "n": [1]}), {})
    before = sorted(root.rglob("*"))

    class Refusing(DeltaTable):
        def create_write_transaction(self, *_args: object, **_kwargs: object) -> None:
            raise OSError("the disk is full")

    monkeypatch.setattr(module, "DeltaTable", Refusing)
    with pytest.raises(OSError, match="the disk is full"):
        swap(root, staged(tmp_path / "b", {"source": ["y"], "n": [2]}), {})
    assert sorted(root.rglob("*")) == before
    assert rows(root) == [("x", 1)]
