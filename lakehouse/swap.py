"""Puts Parquet files that an engine wrote into a local Delta table, in place of others, in one commit by delta-rs.

The JVM's Delta writer spends a second a commit on jobs over the log of a table, whatever its size, and a lake has a
hundred small ones; the embedded engine's checks NOT NULL before it filters and knows no partial replacement of nested
columns. Files written as plain Parquet and committed here are the same for both, and no slower.
"""

import json
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.transaction import AddAction


def swap(root: Path, staged: Path, partition: tuple[str, str] | None = None) -> None:
    """Moves the files in `staged` (same file system) into the table at `root` as all of its rows, or as those of one
    partition (column, value), whose files lack that column. The files must be of the table's schema.

    The log gets row counts and no minima and maxima: those of a Parquet file's own footer serve readers as well.
    """
    table = DeltaTable(str(root))
    column, value = partition or ("", "")
    folder = root / f"{column}={value}" if partition else root
    folder.mkdir(exist_ok=True)
    added: dict[Path, AddAction] = {}
    try:
        for file in sorted(staged.glob("*.parquet")):
            if not (rows := pq.read_metadata(file).num_rows):
                continue
            target = file.rename(folder / f"part-{uuid4().hex}.parquet")
            state = target.stat()
            added[target] = AddAction(
                path=target.relative_to(root).as_posix(),
                size=state.st_size,
                partition_values={column: value} if partition else {},
                modification_time=state.st_mtime_ns // 1_000_000,
                data_change=True,
                stats=json.dumps({"numRecords": rows}),
            )
        table.create_write_transaction(
            list(added.values()),
            mode="overwrite",
            schema=table.schema(),
            partition_by=table.metadata().partition_columns,
            partition_filters=[(column, "=", value)] if partition else None,
        )
    except BaseException:
        for target in added:
            target.unlink()
        raise
