"""The Delta log of a local table, as files: what it holds now, what its entries say, and its next one.

https://github.com/delta-io/delta/blob/master/PROTOCOL.md: an entry is lines of JSON in a file named by its version;
whoever makes that file has the version.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from deltalake.transaction import AddAction

DATA_VERSION = "ehr.dataVersion"
"""What the only entry of a log whose history was erased tells: the version that brought the rows."""

Commit = tuple[str | None, Mapping[str, Any]]
"""Operation and parameters of one commit, as Delta's history has them."""

_OF_A_VERSION = re.compile(r"\d{20}\.(json|checkpoint\b.*)")


class Log(NamedTuple):
    """What is in a log's folder: differs as soon as the log does, by other entries or by being another folder."""

    folder: int
    changed_ns: int
    names: frozenset[str]

    @classmethod
    def of(cls, root: Path) -> Log:
        """That of the table at `root`; of no folder, and empty, where there is no table."""
        log = root / "_delta_log"
        if not log.exists():
            return cls(0, 0, frozenset())
        folder = log.stat()
        return cls(folder.st_ino, folder.st_mtime_ns, frozenset(entry.name for entry in log.iterdir()))

    @property
    def newest(self) -> int | None:
        """The last version that it tells of, by an entry or by a checkpoint, after which entries may be deleted."""
        return max((int(name[:20]) for name in self.names if _OF_A_VERSION.fullmatch(name)), default=None)


def is_begun(root: Path) -> bool:
    """Whether the log tells of a version: one whose first was never finished is left by a process that was killed."""
    return any(_OF_A_VERSION.fullmatch(path.name) for path in (root / "_delta_log").glob("*"))


def read_commit(root: Path, version: int) -> Commit | None:
    """What the entry of a version says was done; None where the log has none, or has it no more."""
    path = _entry(root, version)
    if not path.exists():
        return None
    for line in path.read_text().splitlines():
        if '"commitInfo"' in line:
            info = json.loads(line).get("commitInfo") or {}
            erased = {DATA_VERSION: info[DATA_VERSION]} if DATA_VERSION in info else {}
            return info.get("operation"), {**(info.get("operationParameters") or {}), **erased}
    return None, {}


def write_entry(
    root: Path, version: int, added: Iterable[AddAction], removed: Mapping[str, Mapping[str, str]] | None = None
) -> bool:
    """Writes the entry that makes `version`: of files added, and of those removed with their partitions' values.

    False where somebody else has made that version.
    """
    now = time.time_ns() // 1_000_000
    mode = "Overwrite" if removed else "Append"
    lines: list[dict[str, Any]] = [
        {"commitInfo": {"timestamp": now, "operation": "WRITE", "operationParameters": {"mode": mode}}}
    ]
    for path, values in (removed or {}).items():
        size = (root / path).stat().st_size
        gone = {"path": path, "deletionTimestamp": now, "dataChange": True, "extendedFileMetadata": True}
        lines.append({"remove": {**gone, "partitionValues": dict(values), "size": size}})
    for add in added:
        told = {"path": add.path, "partitionValues": dict(add.partition_values), "size": add.size, "dataChange": True}
        lines.append({"add": {**told, "modificationTime": add.modification_time, "stats": add.stats}})
    entry = _entry(root, version)
    draft = entry.with_name(f"_{uuid4().hex}.tmp")
    try:
        with draft.open("w") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, entry)  # unlike a rename, this fails where the file is there
    except FileExistsError:
        return False
    finally:
        with suppress(OSError):  # who is told of an error takes the files away that the entry may already name
            draft.unlink(missing_ok=True)
    return True


def _entry(root: Path, version: int) -> Path:
    return root / "_delta_log" / f"{version:020d}.json"
