"""Judged rows, sorted where the engine makes them: counted by what becomes of them, and written once, each kind apart.

An engine that stages rows, counts them and then writes the good ones is given three jobs a table, and writes twice.
Here one job does it all, in Arrow, and what is left to the commit is to move files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import Schema
from pyspark.sql import DataFrame

from lakehouse.ddl import Column, delta_schema, spark_ddl
from lakehouse.mapping import map_in_arrow, spark_schema
from lakehouse.rules import BROKEN
from lakehouse.table import ACCOUNTING, FROM, LEFT_OUT, MERGED_AS, ROWS, RULES

KIND = (FROM, LEFT_OUT, MERGED_AS, BROKEN)
"""What tells rows of one kind: where from, and what becomes of them for what reason."""
COUNTED = "n"
"""Rows of a kind."""
GOOD, REFUSED = "good", "refused"
_FILE = "_file"
_AT_ONCE = 32 << 20
"""Bytes of rows that are gathered before they are sorted; they make one row group of a file."""


@dataclass(frozen=True)
class StagedRows:
    """Rows that wait to be put into a table: as a frame, and as the Parquet files of a folder where there is one."""

    frame: Callable[[], DataFrame]
    folder: Path | None = None


def as_frame(rows: DataFrame | StagedRows) -> DataFrame:
    return rows.frame() if isinstance(rows, StagedRows) else rows


@dataclass(frozen=True)
class Sorted:
    """Rows counted, a record a kind: `KIND`, `n`, `_rows` (input rows that they stand for) and how many have each mark;
    and those that are to be stored."""

    counts: list[dict[str, Any]]
    good: StagedRows
    refused: StagedRows


class Stored(NamedTuple):
    """Columns of files: in Spark's words, and as Arrow's types, each nullable: that no value is missing is a rule."""

    ddl: str
    schema: pa.Schema

    @classmethod
    def of(cls, columns: Iterable[Column]) -> Stored:
        columns = tuple(columns)
        schema = pa.schema(Schema.from_json(json.dumps(delta_schema(columns, nullable=True))).to_arrow())
        return cls(spark_ddl(columns), pa.schema([(field.name, field.type) for field in schema]))


@dataclass(frozen=True)
class Sorter:
    """Batches of `apply_rules` in, counts by kind out: for `mapInArrow`.

    With a folder, rows go to Parquet files on the way, good ones into `<folder>/good`, refused ones into
    `<folder>/refused`. Names of files come out too: a task that failed and was tried again leaves others behind.
    """

    given: str
    """DDL of what comes in."""
    good: tuple[str, ...]
    """Columns of good rows."""
    good_files: Stored
    """Those that their files have: values of a partition's column are in the names of a table's folders."""
    refused: Stored
    marks: tuple[str, ...]
    default_from: str
    constants: tuple[tuple[str, str], ...] = ()
    """Columns of refused rows that have one value."""
    folder: Path | None = None

    def sort(self, judged: DataFrame) -> tuple[list[dict[str, Any]], set[str]]:
        """Counts of the rows, and the names of the files that they went to."""
        names = [*self.good, *ACCOUNTING, BROKEN, *self.marks]
        if self.folder is None:  # then the engine need not make the other columns
            names = [*KIND, ROWS, *self.marks]
            judged = judged.select(*names)
        texts = (Column(name, "STRING") for name in (*KIND, _FILE))
        gives = (*texts, *(Column(name, "BIGINT") for name in self._numbers))
        # Not by `toArrow`, which has a wide frame planned a second time for its schema.
        told = [row.asDict() for row in map_in_arrow(judged, names, self, spark_schema(gives)).collect()]
        counts = pa.Table.from_pylist([row for row in told if row[_FILE] is None], self._out)
        return self._summed(counts).to_pylist(), {row[_FILE] for row in told if row[_FILE] is not None}

    @property
    def _numbers(self) -> tuple[str, ...]:
        return (COUNTED, ROWS, *self.marks)

    @property
    def _out(self) -> pa.Schema:
        return pa.schema([*((n, pa.string()) for n in (*KIND, _FILE)), *((n, pa.int64()) for n in self._numbers)])

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        files = [_File(self.folder / GOOD), _File(self.folder / REFUSED)] if self.folder else []
        counts: list[pa.Table] = []
        try:
            for rows in _gathered(batches):
                kinds = self._kinds(rows)
                counts.append(self._summed(kinds))
                for file, made in zip(files, self._made(rows, kinds), strict=False):
                    file.write(made)
        finally:
            for file in files:
                file.close()
        told = self._summed(pa.concat_tables(counts)).to_pylist() if counts else []
        told += [{_FILE: file.path.name} for file in files if file.writer]
        yield pa.RecordBatch.from_pylist(told, self._out)

    def _kinds(self, rows: pa.Table) -> pa.Table:
        """A row each, with what is counted of it."""
        kinds = {name: rows[name].cast(pa.string()) for name in KIND}
        kinds[FROM] = kinds[FROM].fill_null(self.default_from)
        numbers = {name: rows[name].cast(pa.int64()) for name in (ROWS, *self.marks)}
        return pa.table({**kinds, COUNTED: pa.repeat(pa.scalar(1), len(rows)), **numbers})

    def _summed(self, kinds: pa.Table) -> pa.Table:
        sums = kinds.group_by(list(KIND), use_threads=False).aggregate([(name, "sum") for name in self._numbers])
        return sums.select([*KIND, *(f"{name}_sum" for name in self._numbers)]).rename_columns([*KIND, *self._numbers])

    def _made(self, rows: pa.Table, kinds: pa.Table) -> Iterator[pa.Table]:
        """Good rows and refused ones, as they are stored."""
        fine = pc.equal(kinds[BROKEN], "")
        stored = self.good_files.schema
        yield _of(rows.select(stored.names), pc.and_(fine, kinds[LEFT_OUT].is_null())).cast(stored)
        refused, broken = _of(rows, pc.invert(fine)), _of(kinds, pc.invert(fine))
        made = {name: pa.repeat(pa.scalar(value), len(refused)) for name, value in self.constants}
        made |= {RULES: pc.split_pattern(broken[BROKEN], " "), FROM: broken[FROM]}
        schema = self.refused.schema
        columns = [made[name] if name in made else refused[name] for name in schema.names]
        yield pa.table(columns, schema.names).cast(schema)


class _File:
    """A Parquet file, begun by its first row. It is for whom its folder is for: executors have umasks of their own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"part-{uuid4().hex}.parquet"
        self.writer: pq.ParquetWriter | None = None

    def write(self, rows: pa.Table) -> None:
        if not len(rows):
            return
        if self.writer is None:
            self.path.touch()
            self.path.chmod(self.path.parent.stat().st_mode & 0o666)
            self.writer = pq.ParquetWriter(self.path, rows.schema, compression="zstd", store_schema=False)
        self.writer.write_table(rows)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        waiting.append(batch)
        size += batch.nbytes
        if size >= _AT_ONCE:
            yield pa.Table.from_batches(waiting)
            waiting, size = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _of(rows: pa.Table, which: pa.ChunkedArray) -> pa.Table:
    """The rows for which it holds, which mostly are all or none, and then not copied."""
    n = pc.sum(which).as_py() or 0
    return rows if n == len(rows) else rows.filter(which) if n else rows.slice(0, 0)
