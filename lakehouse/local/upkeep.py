"""What a local Delta table needs besides reads and writes: its data's version, compaction, vacuum, sound files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import DeltaError

from lakehouse.local import holdings
from lakehouse.local.log import DATA_VERSION, Commit, read_commit

if TYPE_CHECKING:
    import pyarrow.dataset as ds

KEEPS_ROWS = {"OPTIMIZE", "VACUUM START", "VACUUM END"}
"""Commits after which a table has the rows that it had before."""
SMALL_FILE = 32 * 2**20
CHECKPOINT_EVERY = 20
"""Commits after which a reader is spared the log's single entries."""


def newest_of_rows(version: int, commit: Callable[[int], Commit | None]) -> int:
    """The version that brought the rows of `version`: compaction and vacuum bring none, a restore those of an earlier.

    `commit` gives None for an entry that the log has lost, which ends the search: what it said is not known any more.
    """
    while found := commit(version):
        operation, parameters = found
        if DATA_VERSION in parameters:
            return int(parameters[DATA_VERSION])
        if operation == "RESTORE" and parameters.get("version") is not None:
            version = int(parameters["version"])
        elif operation in KEEPS_ROWS and commit(version - 1):
            version -= 1
        else:
            break
    return version


def data_version(root: Path, version: int) -> int:
    """`newest_of_rows` by the log of the table at `root`."""
    return newest_of_rows(version, lambda v: read_commit(root, v))


def stored_files(table: DeltaTable) -> dict[str, tuple[int, int | None]]:
    """Size in bytes and rows of each data file by the log, by its path relative to the table."""
    files = pa.table(table.get_add_actions(flatten=True)).to_pydict()
    rows = files.get("num_records") or [None] * len(files["path"])
    return dict(zip(files["path"], zip(files["size_bytes"], rows, strict=True), strict=True))


def dataset(root: Path, version: int, without: int | None) -> ds.Dataset:
    """The rows of a version; without the files that version `without` has too, whose rows are the same."""
    table = DeltaTable(str(root), version=version)
    known = stored_files(DeltaTable(str(root), version=without)) if without is not None else {}
    return holdings.dataset(table, root, stored_files(table).keys() - known.keys())


def is_whole(root: Path, version: int) -> bool:
    """Whether a version of the table at `root` can be read: the log knows it, and all its data files are there."""
    try:
        table = DeltaTable(str(root), version=version)
    except DeltaError:
        return False
    return all((root / path).exists() for path in stored_files(table))


def unsound_files(table: DeltaTable, root: Path) -> list[str]:
    """In words, each data file that is not as the log has it."""
    found = []
    for name, (size, rows) in sorted(stored_files(table).items()):
        path = root / name
        if not path.exists():
            found.append(f"{name} is missing")
            continue
        try:
            there = pq.read_metadata(path).num_rows
        except (OSError, pa.ArrowException) as error:
            found.append(f"{name} is no Parquet file: {str(error).splitlines()[0]}")
            continue
        if path.stat().st_size != size:
            found.append(f"{name} has {path.stat().st_size:,} bytes, the log says {size:,}")
        elif rows is not None and rows != there:
            found.append(f"{name} has {there:,} rows, the log says {rows:,}")
    return found


def compact(table: DeltaTable, cluster_by: Sequence[str]) -> bool:
    """Joins small files, in the order of `cluster_by` where it is given; says whether anything was written.

    A table that was compacted last and not written since is left alone.
    """
    root = Path(table.table_uri.removeprefix("file://"))
    version = table.version()
    operation, _ = read_commit(root, version) or (None, {})
    if operation in KEEPS_ROWS:
        return False
    small = [size for size, _ in stored_files(table).values() if size < SMALL_FILE]
    if cluster_by:
        table.optimize.z_order(list(cluster_by))
    elif len(small) > 1:
        table.optimize.compact()
    return table.version() != version


def vacuum(table: DeltaTable, retention_hours: float) -> int:
    """Deletes files that no version of the last `retention_hours` needs, those of killed writes too; how many."""
    # delta-rs counts whole hours; what is allowed is decided by the caller, who knows what a restore needs.
    gone = table.vacuum(int(retention_hours), dry_run=True, enforce_retention_duration=False, full=True)
    if gone:
        table.vacuum(int(retention_hours), dry_run=False, enforce_retention_duration=False, full=True)
    log = Path(table.table_uri.removeprefix("file://")) / "_delta_log"
    last = max((int(f.name[:20]) for f in log.glob("*.checkpoint*.parquet")), default=0)
    if table.version() - last >= CHECKPOINT_EVERY:
        checkpoint(table)
    return len(gone)


def checkpoint(table: DeltaTable) -> None:
    """Sums the log up to here, and deletes entries that this makes needless and that are older than the table keeps."""
    table.create_checkpoint()
    table.cleanup_metadata()


def erase_history(table: DeltaTable, root: Path) -> None:
    """Deletes every file that the current version does not need, and every entry of the log before it.

    Entries of the log hold least and greatest values of columns and the conditions of deletions, in plain text. The
    vacuum's own entry, which says nothing of rows, is what stays, with a checkpoint of the table as it is.
    """
    told = CommitProperties(custom_metadata={DATA_VERSION: str(data_version(root, table.version()))})
    table.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True, commit_properties=told)
    table = DeltaTable(str(root))
    table.create_checkpoint()
    for entry in (root / "_delta_log").iterdir():
        if entry.name[:20].isdigit() and int(entry.name[:20]) < table.version():
            entry.unlink()
