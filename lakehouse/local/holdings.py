"""What the data files of a local Delta table hold: read file by file, since the log keeps no values of patients.

Files never change, so what one holds is read once in a process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from lakehouse.part import Part, Value

if TYPE_CHECKING:
    import pyarrow.dataset as ds

_SEEN: dict[tuple[str, str], frozenset[Value]] = {}


def partitions(table: DeltaTable) -> dict[str, dict[str, str]]:
    """Partition values of each data file of the table's version, by its path relative to the table."""
    columns = table.metadata().partition_columns
    files = pa.table(table.get_add_actions(flatten=True)).to_pydict()
    return {path: {c: files[f"partition.{c}"][i] for c in columns} for i, path in enumerate(files["path"])}


def files_of(table: DeltaTable, root: Path, part: Part) -> list[str]:
    """Data files that hold a row of the part, or may hold one."""
    by_file = partitions(table)
    inside = [p for p, of in by_file.items() if all(part.within.get(c, value) == value for c, value in of.items())]
    if part.column is None:
        return inside
    if part.column in table.metadata().partition_columns:
        return [path for path in inside if by_file[path][part.column] in part.values]
    return [path for path in inside if not part.values.isdisjoint(values_in(root / path, part.column))]


def values_in(file: Path, column: str) -> frozenset[Value]:
    """Distinct values of a column in one data file, None among them where one is null."""
    key = (str(file), column)
    if key not in _SEEN:
        _SEEN[key] = frozenset(_distinct(file, column))
    return _SEEN[key]


def _distinct(file: Path, column: str) -> Iterator[Value]:
    with pq.ParquetFile(file, read_dictionary=[column]) as parquet:
        for group in range(parquet.num_row_groups):
            for chunk in parquet.read_row_group(group, columns=[column]).column(0).chunks:
                # A dictionary may hold what no row has: it is what a writer had seen, not what it kept.
                yield from pc.unique(chunk).to_pylist()


def dataset(table: DeltaTable, root: Path, paths: Iterable[str]) -> ds.Dataset:
    """These data files as one set of rows in the table's schema."""
    import pyarrow.dataset as ds  # noqa: PLC0415  (it brings pandas, which a lake that is only looked at does without)

    files = SubTreeFileSystem(str(root), LocalFileSystem())
    whole = table.to_pyarrow_dataset(filesystem=files)
    wanted = set(paths)
    found = [fragment for fragment in whole.get_fragments() if fragment.path in wanted]
    return ds.FileSystemDataset(found, whole.schema, whole.format, files)


def is_in(part: Part, schema: pa.Schema) -> pc.Expression:
    """The part's condition; false, not null, for a null."""
    condition = pc.scalar(True)
    for name, value in part.within.items():
        condition = condition & (pc.field(name) == pa.scalar(value, schema.field(name).type))
    if part.column is not None:
        kind = schema.field(part.column).type
        values = pa.array([value for value in part.values if value is not None], kind)
        condition = condition & pc.field(part.column).isin(values)
    return pc.if_else(condition.is_valid(), condition, False)


def count(table: DeltaTable, root: Path, part: Part, outside: Part | None = None) -> int:
    """Rows of the part; of those that are not in `outside`, where it is given."""
    rows = dataset(table, root, files_of(table, root, part))
    condition = is_in(part, rows.schema)
    if outside is not None:
        condition = condition & ~is_in(outside, rows.schema)
    return int(rows.count_rows(filter=condition))


def picked(table: DeltaTable, root: Path, part: Part, column: str) -> frozenset[Value]:
    """Distinct values of a column in the rows of a part."""
    rows = dataset(table, root, files_of(table, root, part))
    return frozenset(rows.to_table(columns=[column], filter=is_in(part, rows.schema)).column(0).unique().to_pylist())


def write(rows: ds.Dataset, condition: pc.Expression, file: Path, columns: list[str] | None = None) -> int:
    """Writes the rows that meet the condition into one Parquet file, none where no row does; how many."""
    scanner = rows.scanner(columns=columns, filter=condition)
    writer, written = None, 0
    try:
        for batch in scanner.to_batches():
            if batch.num_rows:
                writer = writer or pq.ParquetWriter(file, batch.schema, compression="snappy")
                writer.write_batch(batch)
                written += batch.num_rows
    finally:
        if writer:
            writer.close()
    return written
