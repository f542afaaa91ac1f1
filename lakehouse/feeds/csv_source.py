"""Python Data Source `ehr_csv`: published CSV files as typed Arrow batches with lineage, the same on every engine.

Nothing is lost and nothing is guessed: columns are found by name, every row keeps its file and row number, a row that
does not parse keeps its text in `_raw` and the reason in `_misread`, and columns that the contract does not know are
kept as JSON in `_extra`.
"""

import csv
import heapq
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.types import StructType

from lakehouse.errors import RawDataError
from lakehouse.feeds.cells import ARROW_TYPES, is_of_type, own, parse
from lakehouse.feeds.headers import Columns, column_names, from_name
from lakehouse.feeds.textfile import READ_BYTES, TextFile, readable
from lakehouse.table import EXTRA, MISREAD, RAW_TEXT, SOURCE_FILE, SOURCE_ROW

LINEAGE_FIELDS = (
    (SOURCE_FILE, "STRING"), (SOURCE_ROW, "BIGINT"), (RAW_TEXT, "STRING"), (MISREAD, "STRING"), (EXTRA, "STRING"),
)  # fmt: skip
"""Columns that a reader adds to the raw ones: the file, the 1-based data row in it, the text of a row that does not
parse, the rules that its cells break (`<column>_is_<type>`, a blank between two), and unknown columns as JSON."""


def raw_data_error(message: str) -> RawDataError | None:
    """The sentence of the RawDataError that an engine reports inside a longer text, or None."""
    found = re.search(r"RawDataError: ([^\n]+?)\s*(?:\\n|\n|$)", message)
    return RawDataError(found[1]) if found else None


def read_csv(
    path: str,
    name: str,
    columns: Columns,
    path_columns: Mapping[str, str] | None = None,
    min_rows: int = 0,
) -> Iterator[pa.RecordBatch]:
    """Batches of `columns` and the lineage fields of one file, in bounded memory and in the file's order.

    A row with another number of fields has null columns and its text in `_raw`; a row with a cell that is not of its
    column's type has that cell null and the row's text. `path_columns` gives, for a column that only the file's name
    tells, a regular expression whose first group is the value.
    RawDataError, as late as at the end: the file is cut short, not of its format, or has fewer than `min_rows` rows.
    """
    constants = {column: from_name(name, column, regex) for column, regex in (path_columns or {}).items()}
    with readable(name):
        text = TextFile(path)
        names = column_names(text.header(), name)
        if text.at_end():
            _enough(name, 0, min_rows)
            return
        wrong: list[pa_csv.InvalidRow] = []

        def set_aside(row: pa_csv.InvalidRow) -> str:
            wrong.append(row)
            return "skip"

        stream = pa_csv.open_csv(
            pa.PythonFile(text, mode="r"),
            pa_csv.ReadOptions(use_threads=False, block_size=READ_BYTES, column_names=names),
            pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=set_aside),
            pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        following, last = 1, ""
        for cells in stream:
            if not cells.num_rows:
                continue
            rows = row_numbers(following, cells.num_rows, [row.number for row in wrong])
            following = int(rows[-1]) + 1
            last = cells.column(cells.num_columns - 1)[-1].as_py() or ""
            yield _typed(cells, name, rows, columns, constants)
            if passed := [row for row in wrong if row.number < following]:
                wrong[:] = wrong[len(passed) :]
                yield _unread(passed, name, columns, constants)
        if wrong:
            following = wrong[-1].number + 1
            yield _unread(wrong, name, columns, constants)
        elif last and text.ends_with(b'"' + last.encode().replace(b'"', b'""')):
            raise RawDataError(f"{name} ends inside a quoted field: it was cut short.")
        _enough(name, following - 1, min_rows)


def _enough(name: str, rows: int, least: int) -> None:
    if rows < least:
        raise RawDataError(f"{name} holds {rows} rows, and at least {least} must be there.")


def row_numbers(first: int, count: int, skipped: Sequence[int]) -> np.ndarray:
    """The next `count` row numbers from `first` on, without those of rows that the parser skipped."""
    numbers = np.arange(first, first + count + len(skipped), dtype=np.int64)
    return numbers[~np.isin(numbers, np.asarray(skipped, dtype=np.int64))][:count]


def _typed(
    cells: pa.RecordBatch, name: str, rows: np.ndarray, columns: Columns, constants: Mapping[str, str]
) -> pa.RecordBatch:
    found = dict(zip(cells.schema.names, cells.columns, strict=True))
    arrays, misread = [], {}
    for column, kind in columns:
        if column in constants:
            array = pa.repeat(constants[column], cells.num_rows)
        elif column not in found:
            array = pa.nulls(cells.num_rows, ARROW_TYPES[kind])
        else:
            array, mask = parse(found[column], kind)
            if mask is not None:
                misread[is_of_type(column, kind)] = np.flatnonzero(mask.to_numpy(zero_copy_only=False))
        arrays.append(array)
    broken = broken_rules(misread)
    raw = sparse(cells.num_rows, {i: _line(cells, i) for i in broken})
    known = {column for column, _ in columns if column not in constants}
    extra = unknown_cells({column: cell for column, cell in found.items() if column not in known}, cells.num_rows)
    lineage = [pa.repeat(name, len(rows)), own(rows), raw, sparse(cells.num_rows, broken), extra]
    return batch(columns, [*arrays, *lineage])


def broken_rules(misread: Mapping[str, np.ndarray]) -> dict[int, str]:
    """Names of the rules that a row breaks by the row's position; `misread` gives the positions by rule."""
    broken: dict[int, str] = {}
    for rule, positions in misread.items():
        for i in positions.tolist():
            broken[i] = f"{broken[i]} {rule}" if i in broken else rule
    return broken


def _unread(
    rows: Sequence[pa_csv.InvalidRow], name: str, columns: Columns, constants: Mapping[str, str]
) -> pa.RecordBatch:
    """Rows with another number of fields: only where they stand, and their text."""
    n = len(rows)
    arrays = [
        pa.repeat(constants[column], n) if column in constants else pa.nulls(n, ARROW_TYPES[kind])
        for column, kind in columns
    ]
    numbers, texts = pa.array([row.number for row in rows], pa.int64()), [row.text for row in rows]
    none = pa.nulls(n, pa.string())
    return batch(columns, [*arrays, pa.repeat(name, n), numbers, pa.array(texts), none, none])


def batch(columns: Columns, arrays: list[pa.Array]) -> pa.RecordBatch:
    """A batch of `columns` and the lineage fields, in that order."""
    fields = [(column, ARROW_TYPES[kind]) for column, kind in (*columns, *LINEAGE_FIELDS)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _line(cells: pa.RecordBatch, i: int) -> str:
    """Row `i` as CSV text."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([column[i].as_py() for column in cells.columns])
    return line.getvalue()


def unknown_cells(cells: Mapping[str, pa.Array], rows: int) -> pa.Array:
    """Cells of columns that the contract does not know, as one JSON object a row; null where they are all empty."""
    if all(column.null_count == rows for column in cells.values()):
        return pa.nulls(rows, pa.string())
    texts = (
        {name: cell for name, cell in zip(cells, row, strict=True) if cell is not None}
        for row in zip(*(column.to_pylist() for column in cells.values()), strict=True)
    )
    return pa.array([json.dumps(text, ensure_ascii=False) if text else None for text in texts], pa.string())


def sparse(n: int, values: Mapping[int, str]) -> pa.Array:
    """`n` texts, null but at the positions given."""
    return pa.array([values.get(i) for i in range(n)], pa.string()) if values else pa.nulls(n, pa.string())


def balanced(files: Sequence[Mapping[str, Any]], partitions: int) -> list[list[Mapping[str, Any]]]:
    """Files in at most `partitions` groups of like size, largest first; never an empty list."""
    loads: list[tuple[int, int]] = [(0, i) for i in range(max(1, min(partitions, len(files))))]
    groups: list[list[Mapping[str, Any]]] = [[] for _ in loads]
    sizes = [(Path(file["path"]).stat().st_size, i) for i, file in enumerate(files)]
    for size, i in sorted(sizes, key=lambda pair: (-pair[0], pair[1])):
        load, group = heapq.heappop(loads)
        groups[group].append(files[i])
        heapq.heappush(loads, (load + size, group))
    return groups


class CsvReader(DataSourceReader):
    """Reads groups of files one after another."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self.files: list[dict[str, str]] = json.loads(options["files"])
        self.columns: list[tuple[str, str]] = [(name, kind) for name, kind in json.loads(options["columns"])]
        self.path_columns: dict[str, str] = json.loads(options.get("path_columns", "{}"))
        self.min_rows = int(options.get("min_rows", "0"))
        self.count = int(options.get("partitions", "1"))

    def partitions(self) -> list[InputPartition]:
        return [InputPartition(group) for group in balanced(self.files, self.count)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        for file in partition.value:
            yield from read_csv(file["path"], file["name"], self.columns, self.path_columns, self.min_rows)


class EhrCsv(DataSource):
    """Published CSV files, with the options that `lakehouse.feeds.rawfiles.read_options` gives.

    `files`: JSON list of {"path", "name"}; `columns`: JSON list of [name, type]; `path_columns`: JSON object of column
    to regular expression; `min_rows`: fewest rows of a file; `partitions`: the most partitions to make.
    """

    @classmethod
    def name(cls) -> str:
        return "ehr_csv"

    def schema(self) -> str:
        return ddl(json.loads(self.options["columns"]))

    def reader(self, schema: StructType) -> CsvReader:  # noqa: ARG002 - the interface of a data source
        return CsvReader(self.options)


def ddl(columns: Columns) -> str:
    """Spark DDL of what a reader gives.

    Times come without a zone, the one form in which all engines take them from a Python data source; a cast to the
    contract's TIMESTAMP in a session whose zone is UTC makes them what they are.
    """
    kinds = ((name, "TIMESTAMP_NTZ" if kind == "TIMESTAMP" else kind) for name, kind in (*columns, *LINEAGE_FIELDS))
    return ", ".join(f"`{name}` {kind}" for name, kind in kinds)
