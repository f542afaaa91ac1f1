"""Incremental, reproducible writers: the same rows give the same bytes (no clock, no file name in the headers)."""

import csv
import gzip
import io
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

#: A column of one chunk: one text for each row, or one text for all.
Column = Sequence[str] | str

_TAR_TIME = 1325376000  # 2012-01-01T00:00:00Z


class CsvTables:
    """A folder of ``.csv.gz`` tables, written chunk by chunk; use as a context manager.

    ``headers`` maps the table (a path without suffix below ``folder``) to its comma separated header. Columns that a
    chunk leaves out are blank; ``counters`` names for a table the column that numbers its rows from 1 on.
    """

    def __init__(self, folder: Path, headers: Mapping[str, str], counters: Mapping[str, str] | None = None) -> None:
        self.rows = dict.fromkeys(headers, 0)
        self._folder, self._counters = folder, counters or {}
        self.columns = {table: header.split(",") for table, header in headers.items()}
        self._files = ExitStack()
        self._writers: dict[str, Any] = {}

    def __enter__(self) -> Self:
        for table, columns in self.columns.items():
            path = self._folder / f"{table}.csv.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            raw = self._files.enter_context(path.open("wb"))
            text = io.TextIOWrapper(open_gzip(raw), encoding="utf-8", newline="")
            self._writers[table] = csv.writer(self._files.enter_context(text), lineterminator="\n")
            self._writers[table].writerow(columns)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)

    def write(self, table: str, **columns: Column) -> None:
        """Appends one chunk: lists of equal length and single texts that hold for all its rows."""
        names = self.columns[table]
        unknown = columns.keys() - set(names)
        if unknown:
            raise KeyError(f"{table} has no column {sorted(unknown)}")
        lengths = {len(c) for c in columns.values() if not isinstance(c, str)} or {1}
        if len(lengths) != 1:
            raise ValueError(f"{table}: columns of unequal length {sorted(lengths)}")
        count = lengths.pop()
        counter = self._counters.get(table)
        if counter:
            columns[counter] = [str(i) for i in range(self.rows[table] + 1, self.rows[table] + count + 1)]
        blank = [""] * count
        filled = [columns.get(name, blank) for name in names]
        self._writers[table].writerows(zip(*([c] * count if isinstance(c, str) else c for c in filled), strict=True))
        self.rows[table] += count

    def write_rows(self, table: str, columns: str, rows: Iterable[Sequence[str]]) -> None:
        """Appends rows given as tuples, in the order of the comma separated ``columns``."""
        across = list(zip(*rows, strict=True))
        if across:
            self.write(table, **dict(zip(columns.split(","), across, strict=True)))


class TarOfTexts:
    """A ``.tar.gz`` that is written member by member; use as a context manager."""

    def __init__(self, path: Path, folder: str) -> None:
        self._path, self._folder = path, folder
        self._files = ExitStack()

    def __enter__(self) -> Self:
        raw = self._files.enter_context(self._path.open("wb"))
        stream = self._files.enter_context(open_gzip(raw))
        self._tar = self._files.enter_context(tarfile.open(fileobj=stream, mode="w|", format=tarfile.USTAR_FORMAT))
        self._tar.addfile(self._member(self._folder, 0o755, tarfile.DIRTYPE))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)

    def add(self, name: str, text: str) -> None:
        content = text.encode()
        member = self._member(f"{self._folder}/{name}", 0o644, tarfile.REGTYPE)
        member.size = len(content)
        self._tar.addfile(member, io.BytesIO(content))

    @staticmethod
    def _member(name: str, mode: int, kind: bytes) -> tarfile.TarInfo:
        member = tarfile.TarInfo(name)
        member.mode, member.type, member.mtime = mode, kind, _TAR_TIME
        return member


def open_gzip(raw: IO[bytes]) -> gzip.GzipFile:
    """A gzip stream whose header holds neither time nor name."""
    return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0)


def timestamps(times: NDArray[np.datetime64]) -> list[str]:
    """``2164-10-23 21:09:00`` for each time."""
    written = pc.strftime(pa.array(times.astype("datetime64[s]")), format="%Y-%m-%d %H:%M:%S")
    return list(written.to_pylist())


def timestamp(time: np.datetime64 | None) -> str:
    """``2164-10-23 21:09:00``; blank for none."""
    return "" if time is None else str(time.astype("datetime64[s]")).replace("T", " ")
