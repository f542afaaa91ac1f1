"""Which tables a local lake has, by the Delta log alone: names, versions, identities, rows, columns. No session."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from lakehouse.ddl import Column, stored_columns
from lakehouse.local import upkeep
from lakehouse.local.log import Log, is_begun
from lakehouse.records.audit import Audited
from lakehouse.state import State


class Tables(Audited):
    """Tables by name (`silver.stays`) in a folder `<root>/<layer>/<table>`.

    `spark` is a session, a function that starts one when it is first needed, or None for a lake that is only looked at.
    """

    def __init__(self, root: Path, spark: SparkSession | Callable[[], SparkSession] | None = None) -> None:
        super().__init__()
        self.root = root.resolve()
        self._spark = spark
        self._opened: dict[str, tuple[Log, DeltaTable]] = {}

    @property
    def spark(self) -> SparkSession:
        if self._spark is None:
            raise RuntimeError("this lake was opened without a Spark session")
        if not isinstance(self._spark, SparkSession) and callable(self._spark):
            self._spark = self._spark()
        return self._spark

    def location(self, name: str) -> Path:
        layer, table = name.split(".")
        return self.root / layer / table

    def names(self) -> list[str]:
        """Every table of the lake."""
        tables = (log.parent for log in self.root.glob("*/*/_delta_log") if is_begun(log.parent))
        return sorted(f"{table.parent.name}.{table.name}" for table in tables)

    def exists(self, name: str) -> bool:
        return is_begun(self.location(name))

    def _delta(self, name: str, version: int | None = None) -> DeltaTable:
        """The table by its log, which is read anew when another commit or another table has come to be there."""
        log = Log.of(self.location(name))
        known, table = self._opened.get(name, (None, None))
        if table is not None and log == known and version in (None, table.version()):
            return table
        table = DeltaTable(str(self.location(name)), version=version)
        if version is None:
            self._opened[name] = log, table
        return table

    def _delta_of_some_version(self, name: str) -> DeltaTable:
        """The table as it is or was: what it is called and what columns it has is the same."""
        log, table = self._opened.get(name, (None, None))
        if log and table and log.folder == Log.of(self.location(name)).folder:
            return table
        return self._delta(name)

    def _committed(self, name: str, table: DeltaTable) -> None:
        """What `table` has just committed it knows: it is opened again only where somebody else has committed since."""
        log = Log.of(self.location(name))
        if log.newest == table.version():
            self._opened[name] = log, table

    def version(self, name: str) -> int | None:
        """The table's current version, or None where there is no such table."""
        return self._delta(name).version() if self.exists(name) else None

    def data_version(self, name: str, version: int | None = None) -> int | None:
        """The version that brought the rows that the table has now (or had at `version`): compaction brings none, and
        a restore those of an earlier version. None where there is no such table."""
        if version is None:
            version = self.version(name)
        return None if version is None else upkeep.data_version(self.location(name), version)

    def versions_of_rows(self, name: str, since: int) -> set[int] | None:
        """Versions after `since` that brought rows that the table has now; None where `since` brought none of them."""
        found: set[int] = set()
        brought = self.data_version(name) or 0
        while brought > since:
            found.add(brought)
            brought = self.data_version(name, brought - 1) or 0
        return found if brought == since else None

    def states(self) -> dict[str, State]:
        """Identity and version of every table."""
        tables = {name: self._delta(name) for name in self.names()}
        return {name: State(str(table.metadata().id), table.version()) for name, table in tables.items()}

    def table_id(self, name: str) -> str | None:
        """Stays through all versions of a table; another one is a table that was made anew."""
        return str(self._delta(name).metadata().id) if self.exists(name) else None

    def row_count(self, name: str, partition: tuple[str, str] | None = None) -> int:
        """Rows by the Delta log alone, of the whole table or of one partition (column, value)."""
        if not self.exists(name):
            return 0
        files = pa.table(self._delta(name).get_add_actions(flatten=True)).to_pydict()
        counts = files.get("num_records", [])
        if partition:
            values = files.get(f"partition.{partition[0]}", [])
            counts = [n for n, value in zip(counts, values, strict=True) if value == partition[1]]
        return int(sum(counts))

    def size_bytes(self, name: str) -> int:
        """Bytes of the files of the current version."""
        return int(sum(pa.table(self._delta(name).get_add_actions(flatten=True)).column("size_bytes").to_pylist()))

    def columns(self, name: str, version: int) -> tuple[Column, ...]:
        """The stored schema of a version; types as Spark's `simpleString()` writes them."""
        return stored_columns(json.loads(self._delta(name, version).schema().to_json()))
