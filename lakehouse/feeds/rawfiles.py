"""The raw folder: which of its files belong to which bronze table, and how a reader is told to read them."""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lakehouse.errors import RawDataError
from lakehouse.feeds.headers import check_header
from lakehouse.table import EXTRA, SOURCE_FILE, SOURCE_ROW, STAMPS, Raw, Rule, Table

LINEAGE = """
    _source_file STRING NOT NULL COMMENT 'file it was read from, relative to the raw folder',
    _source_row BIGINT NOT NULL COMMENT 'data row in that file (in the record, for Challenge records), from 1',
    _extra STRING COMMENT 'columns of the file that this contract does not know, as JSON',
    _ingested_at TIMESTAMP NOT NULL COMMENT 'when it was ingested, UTC',
    _batch_id STRING NOT NULL COMMENT 'the ingestion that brought it'
"""
"""DDL of the columns that end every bronze table."""
_LINEAGE_NAMES = {SOURCE_FILE, SOURCE_ROW, EXTRA, *STAMPS}

PARSED = Rule("parsed", "_raw IS NULL")
"""Every bronze table's rule: a row that did not parse goes to quarantine with its text. A cell that is not of its
column's type is named by a further rule, such as `value_is_double`."""
KNOWN = Rule("known_columns", "_extra IS NULL", "warn")
"""Every bronze table's rule: cells of a column that the contract does not know are kept in `_extra`, and reported."""


@dataclass(frozen=True)
class RawFile:
    """A file of the raw folder; `name` is its path relative to that folder, with forward slashes."""

    path: Path
    name: str
    size: int
    mtime_ns: int

    @cached_property
    def sha256(self) -> str:
        """Hash of its bytes, read when first asked for; RawDataError where they are no longer those that were found."""
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.check_unmoved()
        return digest

    def check_unmoved(self) -> None:
        """RawDataError where the file changed since it was found: it may have been read half old and half new."""
        state = self.path.stat()
        if (state.st_size, state.st_mtime_ns) != (self.size, self.mtime_ns):
            raise RawDataError(f"{self.name} changed while it was read: run again when it has come whole.")


class Inventory:
    """The files below a raw folder, walked once. Hidden files and folders are passed over, links are followed."""

    def __init__(self, raw: Path) -> None:
        """RawDataError where `raw` is not a folder that can be listed."""
        self.raw = raw
        if not raw.is_dir():
            raise RawDataError(f"the raw folder {raw} {'is not a folder' if raw.exists() else 'does not exist'}.")
        try:
            next(raw.iterdir(), None)
        except OSError as error:
            raise RawDataError(f"the raw folder {raw} cannot be listed: {error.strerror}.") from error
        self.names = sorted(self._walk())
        self.copies: dict[str, dict[str, str]] = {}
        """By table, files that are in the place of another and have its content, with the name of that one."""

    def _walk(self) -> Iterable[str]:
        seen: set[str] = set()
        for folder, folders, files in os.walk(self.raw, followlinks=True):
            if (real := os.path.realpath(folder)) in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            here = Path(folder).relative_to(self.raw)
            yield from ((here / name).as_posix() for name in files if not name.startswith("."))

    def find(self, table: Table) -> list[RawFile]:
        """Files of one table in order of name; RawDataError where two of them hold the same part of it, unless they
        are the same: then the first stands."""
        if table.raw is None:
            return []
        matches = {name: match for name in self.names if (match := _match(table.raw, name))}
        files, by_part = [], dict[str, RawFile]()
        places = {name: _place(match) for name, match in matches.items()}
        for name, (_, part) in places.items():
            file = self._file(name)
            first = by_part.setdefault(part, file)
            if first is not file and first.size == file.size and first.sha256 == file.sha256:
                self.copies.setdefault(table.name, {})[name] = first.name
            else:
                files.append(file)
        _refuse_copies(table, [(file.name, *places[file.name]) for file in files])
        return files

    def _file(self, name: str) -> RawFile:
        path = self.raw / name
        try:
            state = path.stat()
        except OSError as error:
            raise RawDataError(f"{name} cannot be read: {error.strerror}.") from error
        if not stat.S_ISREG(state.st_mode):
            raise RawDataError(f"{name} cannot be read: it is a pipe or a device and no file.")
        return RawFile(path.absolute(), name, state.st_size, state.st_mtime_ns)

    def recognise(self, tables: Iterable[Table]) -> dict[str, list[RawFile]]:
        """Files by table name, for each table that has some.

        RawDataError where there is none at all, and where a source lacks a table that is not optional.
        """
        wanted = [table for table in tables if table.raw]
        found = {table.name: files for table in wanted if (files := self.find(table))}
        if not found:
            looked = "; ".join(f"{raw.source}: {raw.looks_like}" for raw in _one_a_source(wanted))
            raise RawDataError(f"nothing in {self.raw} is a raw file of a known source (looked for {looked}).")
        present = {table.raw.source for table in wanted if table.raw and table.name in found}
        for table in wanted:
            if table.raw and table.raw.source in present and table.name not in found and not table.raw.optional:
                raise RawDataError(f"{self.raw} has files of {table.raw.source} but no {table.raw.looks_like}.")
        return found


def find(raw: Path, table: Table) -> list[RawFile]:
    """Files of one table below `raw`; walk once with `Inventory` for many tables."""
    return Inventory(raw).find(table)


def _match(raw: Raw, name: str) -> re.Match[str] | None:
    matches = (re.fullmatch(pattern, name, re.IGNORECASE) for pattern in raw.patterns)
    return next(filter(None, matches), None)


def _place(match: re.Match[str]) -> tuple[str, str]:
    """The release's folder and the part of the table, as the pattern's groups `folder` and `part` tell them."""
    groups = match.groupdict()
    return groups.get("folder") or "", (groups.get("part") or "").lower()


def _refuse_copies(table: Table, places: Sequence[tuple[str, str, str]]) -> None:
    """RawDataError where two folders hold the table, or two files the same part (`a.csv` and `a.csv.gz`)."""
    if not places:
        return
    first, folder, _ = places[0]
    by_part: dict[str, str] = {}
    for name, other, part in places:
        if other != folder:
            raise RawDataError(f"{first} and {name} both hold {table.name}: keep one release in the raw folder.")
        if part in by_part:
            raise RawDataError(f"{by_part[part]} and {name} are the same part of {table.name}: keep one of them.")
        by_part[part] = name
    for part, name in by_part.items():
        whole = part.rpartition("/")[0]
        if whole and whole in by_part:
            raise RawDataError(f"{by_part[whole]} and {name} are the same part of {table.name}: keep one of them.")


def _one_a_source(tables: Sequence[Table]) -> list[Raw]:
    return list({table.raw.source: table.raw for table in reversed(tables) if table.raw}.values())[::-1]


def raw_columns(table: Table) -> list[tuple[str, str]]:
    """Name and type of the columns that a reader gives, without lineage."""
    return [(column.name, column.type) for column in table.columns if column.name not in _LINEAGE_NAMES]


def read_options(table: Table, files: Sequence[RawFile], partitions: int) -> dict[str, str]:
    """Options for the table's reader; RawDataError where a file's header lacks a column, before anything is read.

    `partitions` is the most partitions to make.
    """
    raw, columns = table.raw, raw_columns(table)
    if raw is None:
        raise ValueError(f"{table.name} is not read from raw files")
    if raw.reader == "ehr_csv":
        told = {column for column, _ in raw.path_columns}
        for file in files:
            wanted = [column for column in columns if column[0] not in told]
            check_header(file.path, file.name, table.name, wanted, raw.absent_ok)
    return {
        "files": json.dumps([{"path": str(file.path), "name": file.name} for file in files]),
        "columns": json.dumps(columns),
        "path_columns": json.dumps(dict(raw.path_columns)),
        "min_rows": str(raw.min_rows),
        "partitions": str(partitions),
        "table": table.name,
    }
