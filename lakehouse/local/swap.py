"""Puts Parquet files that an engine wrote into a local Delta table, in place of others, in one commit.

The JVM's Delta writer spends a second a commit on jobs over the log of a table, whatever its size, and a lake has a
hundred small ones; the embedded engine's checks NOT NULL before it filters and knows no partial replacement of nested
columns. Files written as plain Parquet and committed here are the same for both, and no slower. A few records go the
same way: delta-rs's writer reads the table's log again for each.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from lakehouse.errors import ContractError
from lakehouse.local import holdings
from lakehouse.local.log import Log, write_entry
from lakehouse.part import Part


def swap(table: DeltaTable, root: Path, staged: Path, partition: Mapping[str, str]) -> None:
    """Moves the files in `staged` (same file system) into the table at `root` as all of its rows, or as those of one
    partition, whose columns the files lack. The files must be of the table's schema.

    The log gets row counts and no minima and maxima: those of a Parquet file's own footer serve readers as well.
    """
    added: list[AddAction] = []
    try:
        for file in sorted(staged.glob("*.parquet")):
            _move(root, file, partition, added)
        table.create_write_transaction(
            [*added],
            mode="overwrite",
            schema=table.schema(),
            partition_by=table.metadata().partition_columns,
            partition_filters=[(column, "=", value) for column, value in partition.items()] or None,
        )
    except BaseException:
        _unmove(root, added)
        raise


def exchange(table: DeltaTable, root: Path, staged: Path, part: Part) -> None:
    """Moves the files in `staged` into the table at `root` in place of the part's rows, wherever these lie.

    A file that holds some of them is written anew without them. Where none does, nothing but an append is left to do.
    Of a partitioned table, `part.within` names the partition, whose column the staged files lack.
    """
    by_file, columns = holdings.partitions(table), table.metadata().partition_columns
    values = {column: part.within[column] for column in columns}
    kept = [field.name for field in table.schema().fields if field.name not in columns]
    added: list[AddAction] = []
    removed: list[str] = []
    try:
        for file in sorted(staged.glob("*.parquet")):
            _move(root, file, values, added)
        for path in holdings.files_of(table, root, part):
            rows = holdings.dataset(table, root, [path])
            rest = staged / f"rest-{uuid4().hex}.parquet"
            there = pq.read_metadata(root / path).num_rows
            staying = holdings.write(rows, ~holdings.is_in(part, rows.schema), rest, kept)
            if staying == there:
                rest.unlink()
                continue
            removed.append(path)
            if staying:
                _move(root, rest, by_file[path], added)
        gone = {path: by_file[path] for path in removed}
        if (added or removed) and not write_entry(root, table.version() + 1, added, gone):
            raise ContractError(f"{root.parent.name}.{root.name} was written by somebody else meanwhile.")
    except BaseException:
        _unmove(root, added)
        raise


def append(root: Path, rows: pa.Table) -> int:
    """Adds rows of the table's schema; the version that has them. Who appends at the same time gets another one."""
    file = root / f"part-{uuid4().hex}.parquet"
    try:
        pq.write_table(rows, file)
        version = (Log.of(root).newest or 0) + 1
        while not write_entry(root, version, [_added(root, file, {}, rows.num_rows)]):
            version += 1
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return version


def _move(root: Path, file: Path, values: Mapping[str, str], added: list[AddAction]) -> None:
    if not (rows := pq.read_metadata(file).num_rows):
        return
    folder = root.joinpath(*(f"{column}={value}" for column, value in values.items()))
    folder.mkdir(parents=True, exist_ok=True)
    target = file.rename(folder / f"part-{uuid4().hex}.parquet")
    added.append(_added(root, target, values, rows))


def _added(root: Path, file: Path, values: Mapping[str, str], rows: int) -> AddAction:
    state = file.stat()
    return AddAction(
        path=file.relative_to(root).as_posix(),
        size=state.st_size,
        partition_values=dict(values),
        modification_time=state.st_mtime_ns // 1_000_000,
        data_change=True,
        stats=json.dumps({"numRecords": rows}),
    )


def _unmove(root: Path, added: Iterable[AddAction]) -> None:
    for action in added:
        (root / action.path).unlink()
