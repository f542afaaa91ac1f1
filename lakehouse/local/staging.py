"""Frames evaluated once into files that no reader of the lake sees, before their rows are judged and committed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pyspark.sql import DataFrame

from lakehouse.local.tables import Tables
from lakehouse.sorting import GOOD, REFUSED, Sorted, Sorter, StagedRows, Stored

STAGING = "_staging"


class Staging(Tables):
    """Staged frames by a label, such as `<run>/<node>`."""

    def stage(
        self, frame: DataFrame, label: str, schema: str | None = None, further: Iterable[DataFrame] = ()
    ) -> DataFrame:
        """Evaluates the frame once into files that no reader of the lake sees, `further` ones of its columns after it
        one by one, and gives them all back as a frame.

        `schema` is the frame's DDL where the caller knows it: to ask the engine of a wide frame takes seconds.
        """
        self._write_files(frame, label)
        for more in further:
            self._write_files(more, label, "append")
        return self._staged(label, schema or _ddl(frame))

    def sort(self, judged: Iterable[DataFrame], sorter: Sorter, label: str) -> Sorted:
        """Evaluates each frame once into files, as `stage` does, but of good rows and refused ones apart."""
        folder = self._staging(label)
        for kind in (GOOD, REFUSED):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        sorter = replace(sorter, folder=folder)
        told = [sorter.sort(frame) for frame in judged]
        known = frozenset().union(*(files for _, files in told))
        for file in folder.glob("*/*"):
            if file.name not in known:
                file.unlink()

        def rows(kind: str, stored: Stored) -> StagedRows:
            return StagedRows(lambda: self._rows(folder / kind, stored.ddl), folder / kind)

        counts = [count for counts, _ in told for count in counts]
        return Sorted(counts, rows(GOOD, sorter.good_files), rows(REFUSED, sorter.refused))

    def _rows(self, folder: Path, ddl: str) -> DataFrame:
        # No engine knows what to do with a folder without a file.
        found = any(folder.iterdir())
        return self.spark.read.schema(ddl).parquet(str(folder)) if found else self.spark.createDataFrame([], ddl)

    def _staged(self, label: str, schema: str) -> DataFrame:
        return self.spark.read.schema(schema).parquet(str(self._staging(label)))

    def _write_files(self, frame: DataFrame, label: str, mode: str = "overwrite") -> None:
        frame.write.mode(mode).parquet(str(self._staging(label)))

    def unstage(self, label: str) -> None:
        path = self._staging(label)
        shutil.rmtree(path, ignore_errors=True)
        for folder in (path.parent, path.parent.parent):
            with suppress(OSError):  # another table is still staged there
                folder.rmdir()

    def _staging(self, label: str) -> Path:
        # Engines read brackets in a path as a glob pattern.
        return self.root / STAGING / re.sub(r"[^\w./-]", "-", label)


def _ddl(frame: DataFrame) -> str:
    # As DDL, where an array may hold nulls: files say so even of a frame whose arrays cannot.
    return ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in frame.schema.fields)
