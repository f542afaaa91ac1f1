"""Batches that leave a reader: an engine's workers free them, and none of them may need the interpreter's lock for it.

Arrays over numpy's memory are freed under that lock. One in some hundred ingestions stood still for good with such.
"""

import gc
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bronze.challenge2012_files import HEADER
from bronze.challenge2012_records import read_records
from lakehouse.feeds.cells import own
from lakehouse.feeds.csv_source import read_csv

ROWS = 5_000


def of_a_tarball(folder: Path) -> Iterator[pa.RecordBatch]:
    text = "\n".join((HEADER, *(f"00:{i % 60:02},HR,{i}" for i in range(ROWS)), "")).encode()
    with tarfile.open(folder / "set-a.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("132539.txt")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    file = {"path": str(folder / "set-a.tar.gz"), "name": "set-a.tar.gz"}
    return read_records([file], r"set-(?P<record_set>[abc])")


def of_a_table(folder: Path) -> Iterator[pa.RecordBatch]:
    lines = (f"{i},{i / 2},{'' if i % 3 else 'x'}" for i in range(ROWS))
    (folder / "t.csv").write_text("\n".join(("item,amount,note", *lines, "")))
    columns = (("item", "BIGINT"), ("amount", "DOUBLE"), ("note", "STRING"))
    return read_csv(str(folder / "t.csv"), "t.csv", columns)


@pytest.mark.parametrize(
    ("read", "column"),
    [(of_a_tarball, "record_id"), (of_a_tarball, "value"), (of_a_tarball, "_source_row"), (of_a_table, "_source_row")],
)
def test_a_column_is_in_arrows_own_memory(
    read: Callable[[Path], Iterator[pa.RecordBatch]], column: str, tmp_path: Path
) -> None:
    gc.collect()
    before = pa.total_allocated_bytes()
    kept = [batch.column(column) for batch in read(tmp_path)]
    assert sum(len(array) for array in kept) == ROWS
    gc.collect()
    assert pa.total_allocated_bytes() - before >= sum(array.get_total_buffer_size() for array in kept)


def test_numbers_are_copied() -> None:
    numbers = np.arange(5)
    assert own(numbers).to_pylist() == [0, 1, 2, 3, 4]
    assert own(numbers).buffers()[1].address != numbers.ctypes.data
    assert own(numbers[:0]).to_pylist() == []
