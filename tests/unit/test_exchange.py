"""A part of a table changes places with other rows, wherever they lie; and whose rows differ between two versions."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.errors import ContractError
from lakehouse.local import holdings
from lakehouse.local.changes import changed
from lakehouse.local.swap import exchange
from lakehouse.part import ALL, Part

SCHEMA = pa.schema([("source", pa.string()), ("who", pa.string()), ("n", pa.int64())])
Row = tuple[str, str | None, int]
rows = st.lists(st.tuples(st.just("x"), st.sampled_from(["p", "q", "r", None]), st.integers(0, 2)), max_size=6)


def table(root: Path, *partition_by: str) -> Path:
    DeltaTable.create(str(root), schema=SCHEMA, partition_by=list(partition_by))
    return root


def put(root: Path, part: Part, *given: Row) -> None:
    """Puts rows in place of a part's."""
    folder = root.parent / "staged"
    folder.mkdir(exist_ok=True)
    columns = DeltaTable(str(root)).metadata().partition_columns
    named = [dict(zip(SCHEMA.names, row, strict=True)) for row in given]
    if given:
        pq.write_table(pa.Table.from_pylist(named, SCHEMA).drop_columns(columns), folder / "0.parquet")
    exchange(DeltaTable(str(root)), root, folder, part)
    for file in folder.iterdir():
        file.unlink()


def stored(root: Path, version: int | None = None) -> list[Row]:
    found = DeltaTable(str(root), version=version).to_pyarrow_table().to_pylist()
    return sorted(((r["source"], r["who"], r["n"]) for r in found), key=str)


NOBODY = Part("who", frozenset({"nobody"}))
P = Part("who", frozenset({"p"}))


def test_rows_are_replaced_in_whatever_file_they_lie_and_the_others_stay_where_they_are(tmp_path: Path) -> None:
    root = table(tmp_path / "table")
    put(root, NOBODY, ("x", "p", 1), ("x", "q", 2))
    put(root, NOBODY, ("x", "r", 3), ("x", None, 4))
    before = set(root.glob("*.parquet"))
    put(root, P, ("x", "p", 5))
    assert stored(root) == [("x", "p", 5), ("x", "q", 2), ("x", "r", 3), ("x", None, 4)]
    assert stored(root, 2) == [("x", "p", 1), ("x", "q", 2), ("x", "r", 3), ("x", None, 4)]
    assert DeltaTable(str(root)).version() == 3
    counts = pa.table(DeltaTable(str(root)).get_add_actions()).column("num_records").to_pylist()
    assert sorted(counts) == [1, 1, 2], "the file of r, what is left of that of q, and the new one"
    assert before < set(root.glob("*.parquet")), "files of earlier versions stay"
    put(root, P)
    assert stored(root) == [("x", "q", 2), ("x", "r", 3), ("x", None, 4)]
    put(root, P)
    assert DeltaTable(str(root)).version() == 4, "nothing to take out, nothing to put in: no commit"


def test_a_part_within_a_partition_leaves_the_others(tmp_path: Path) -> None:
    root = table(tmp_path / "table", "source")
    put(root, Part(within={"source": "x"}), ("x", "p", 1), ("x", "q", 2))
    put(root, Part(within={"source": "y"}), ("y", "p", 3))
    put(root, Part("who", frozenset({"p"}), {"source": "x"}), ("x", "p", 4))
    assert stored(root) == [("x", "p", 4), ("x", "q", 2), ("y", "p", 3)]
    delta = DeltaTable(str(root))
    assert holdings.count(delta, root, P) == 2
    assert holdings.count(delta, root, P, outside=Part("who", frozenset({"p"}), {"source": "y"})) == 1
    assert holdings.picked(delta, root, P, "n") == {3, 4}


def test_a_version_that_somebody_else_made_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = table(tmp_path / "table")
    put(root, NOBODY, ("x", "p", 1))
    files = set(root.rglob("*.parquet"))
    monkeypatch.setattr(DeltaTable, "version", lambda _table: 0)  # as if the other one had not been seen
    with pytest.raises(ContractError, match="was written by somebody else meanwhile"):
        put(root, P, ("x", "p", 2))
    monkeypatch.undo()
    assert stored(root) == [("x", "p", 1)]
    assert set(root.rglob("*.parquet")) == files
    assert not list(root.rglob("*.tmp"))


@settings(max_examples=25)
@given(before=rows, after=rows, kept=rows)
def test_those_whose_rows_differ_are_told(
    tmp_path_factory: pytest.TempPathFactory, before: list[Row], after: list[Row], kept: list[Row]
) -> None:
    root = table(tmp_path_factory.mktemp("changes") / "table")
    put(root, NOBODY, *kept)
    put(root, NOBODY, *before)
    old = DeltaTable(str(root)).version()
    files = holdings.files_of(DeltaTable(str(root)), root, ALL)
    everyone = Part(within={"source": "x"})
    put(root, everyone, *kept, *after)
    assert not set(files) & set(holdings.files_of(DeltaTable(str(root)), root, ALL)) or not files
    wanted = {who for (_, who, _), n in (Counter(before) - Counter(after) | Counter(after) - Counter(before)).items()}
    assert changed(root, "who", old, DeltaTable(str(root)).version(), {}) == wanted
