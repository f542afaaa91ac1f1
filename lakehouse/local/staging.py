"""Frames evaluated once into files that no reader of the lake sees, before their rows are judged and committed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pyspark.sql import DataFrame

from lakehouse.local.tables import Tables

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
