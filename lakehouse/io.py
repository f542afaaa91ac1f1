"""The only reads and writes of tables. A local lake is plain Delta folders; `unity.py` gives the same on Databricks."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
from deltalake import DeltaTable, Schema, write_deltalake
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import ArrayType, MapType, StructType

from lakehouse import lock, upkeep, withdrawn
from lakehouse.audit import Audited
from lakehouse.ddl import Column, delta_schema, stored_columns
from lakehouse.errors import ContractError
from lakehouse.state import State
from lakehouse.swap import swap

ALL_ROWS = "1 = 1"
NESTED = (ArrayType, MapType, StructType)
STAGING = "_staging"


class Lake(Audited):
    """Tables by name (`silver.stays`) in a folder `<root>/<layer>/<table>`.

    Metadata (versions, row counts, the small `ops` tables) is read and written by delta-rs without a session. `spark`
    is a session, a function that starts one when it is first needed, or None for a lake that is only looked at.
    """

    def __init__(self, root: Path, spark: SparkSession | Callable[[], SparkSession] | None = None) -> None:
        super().__init__()
        self.root = root.resolve()
        self._spark = spark

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
        return sorted(f"{log.parent.parent.name}.{log.parent.name}" for log in self.root.glob("*/*/_delta_log"))

    def exists(self, name: str) -> bool:
        return (self.location(name) / "_delta_log").is_dir()

    def _delta(self, name: str, version: int | None = None) -> DeltaTable:
        return DeltaTable(str(self.location(name)), version=version)

    def version(self, name: str) -> int | None:
        """The table's current version, or None where there is no such table."""
        return self._delta(name).version() if self.exists(name) else None

    def data_version(self, name: str, version: int | None = None) -> int | None:
        """The version that brought the rows that the table has now (or had at `version`): compaction brings none, and
        a restore those of an earlier version. None where there is no such table."""
        if version is None:
            version = self.version(name)
        return None if version is None else upkeep.data_version(self.location(name), version)

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

    def read(self, name: str, version: int | None = None) -> DataFrame:
        self.note(name, "read", version)
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", str(version))
        return reader.load(str(self.location(name)))

    def read_arrow(self, name: str, columns: list[str] | None = None, version: int | None = None) -> pa.Table:
        """The whole table in memory, as it is or as it was at a version, without a session."""
        self.note(name, "read", version)
        # By Arrow's own file system: with delta-rs's, which is written in Python, a thread that closes a file while the
        # process ends aborts it (one of six short commands ended with code 134).
        files = SubTreeFileSystem(str(self.location(name)), LocalFileSystem())
        return self._delta(name, version).to_pyarrow_table(columns=columns, filesystem=files)

    def create(
        self, name: str, columns: Sequence[Column], partition_by: Sequence[str] = (), nullable: bool = False
    ) -> None:
        """Makes an empty table with the contract's types, NOT NULLs and comments, unless it is there."""
        if self.exists(name):
            return
        schema = Schema.from_json(json.dumps(delta_schema(tuple(columns), nullable)))
        DeltaTable.create(str(self.location(name)), schema=schema, mode="ignore", partition_by=list(partition_by))

    def replace(
        self, name: str, frame: DataFrame, where: str = ALL_ROWS, partition: tuple[str, str] | None = None
    ) -> None:
        """Puts the frame's rows in place of those that fulfil `where`, in one commit; schema and comments stay.

        `partition` (column, value) says that `where` are the rows of one partition.
        """
        label = f"replace/{name}"
        whole = where == ALL_ROWS
        try:
            if partition:
                self._write_files(frame.drop(partition[0]), label)
            elif whole and not self._delta(name).metadata().partition_columns:
                self._write_files(frame, label)
            elif not whole and any(isinstance(field.dataType, NESTED) for field in frame.schema.fields):
                # The embedded engine cannot replace a part of a table that has nested columns, only the whole of it.
                stay = self.read(name).where(f"NOT coalesce(({where}), false)").select(*frame.columns)
                self._write_files(frame, label)
                self._write_files(stay, label, "append")
            else:
                writer = frame.write.format("delta").mode("overwrite")
                writer = writer if whole else writer.option("replaceWhere", where)
                writer.save(str(self.location(name)))
                return
            swap(self.location(name), self._staging(label), partition)
        finally:
            self.note(name, "write")
            self.unstage(label)

    def append(self, name: str, frame: DataFrame) -> None:
        frame.write.format("delta").mode("append").save(str(self.location(name)))
        self.note(name, "write")

    def merge(self, name: str, frame: DataFrame, key: Sequence[str]) -> None:
        """Inserts rows with a new key, replaces those with a known one."""
        frame.createOrReplaceTempView("merge_source")
        on = " AND ".join(f"target.`{k}` = source.`{k}`" for k in key)
        self.spark.sql(
            f"MERGE INTO {self.merge_target(name)} AS target USING merge_source AS source ON {on} "
            "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        ).collect()
        self.note(name, "write")

    def merge_target(self, name: str) -> str:
        """The table as SQL names it."""
        return f"delta.`{self.location(name)}`"

    def stage(self, frame: DataFrame, label: str, schema: str | None = None) -> DataFrame:
        """Evaluates the frame once into files that no reader of the lake sees, and gives them back as a frame.

        `schema` is the frame's DDL where the caller knows it: to ask the engine of a wide frame takes seconds.
        """
        self._write_files(frame, label)
        return self.spark.read.schema(schema or _ddl(frame)).parquet(str(self._staging(label)))

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

    def append_records(self, name: str, columns: Sequence[Column], records: Sequence[dict[str, Any]]) -> None:
        """Appends a few plain records to a small table in one commit, without a Spark job."""
        if not records:
            return
        self.create(name, columns)
        schema = self._delta(name).schema().to_arrow()
        write_deltalake(str(self.location(name)), pa.Table.from_pylist(list(records), pa.schema(schema)), mode="append")
        self.note(name, "write")

    def records(self, name: str) -> list[dict[str, Any]]:
        """All rows of a small table; none where it does not exist."""
        return cast(list[dict[str, Any]], self.read_arrow(name).to_pylist()) if self.exists(name) else []

    def restore(self, name: str, version: int) -> None:
        """Makes an earlier version the current one again."""
        try:
            self._delta(name).restore(version)
        except Exception as error:
            raise ContractError(f"{name} could not be put back to version {version}: {error}") from error
        self.note(name, "write")

    def dataset(self, name: str, state: State, without: State | None = None) -> pa.dataset.Dataset:
        """Rows of a table as it was in a state, without those in files that it has in the state `without` too.

        Of a withdrawn table too. ContractError where its files are gone.
        """
        path = self.location(name) if self.table_id(name) == state.id else withdrawn.find(self.root, name, state.id)
        if path is None or not upkeep.is_whole(path, state.version):
            raise ContractError(f"files of {name} version {state.version} are gone from the lake {self.root}.")
        self.note(name, "read", state.version)
        same = without is not None and without.id == state.id and upkeep.is_whole(path, without.version)
        return upkeep.dataset(path, state.version, without.version if without and same else None)

    def is_whole(self, name: str, version: int) -> bool:
        """Whether a version can still be read: a vacuum deletes the files of old ones."""
        return upkeep.is_whole(self.location(name), version)

    def unsound_files(self, name: str, version: int) -> list[str]:
        """In words, each data file of a version that is not as the table's log has it."""
        return upkeep.unsound_files(self._delta(name, version), self.location(name))

    def columns(self, name: str, version: int) -> tuple[Column, ...]:
        """The stored schema of a version; types as Spark's `simpleString()` writes them."""
        return stored_columns(json.loads(self._delta(name, version).schema().to_json()))

    def compact(self, name: str, cluster_by: Sequence[str] = ()) -> bool:
        """Joins small files, ordered by `cluster_by`; says whether there was anything to do. No row changes."""
        return upkeep.compact(self._delta(name), cluster_by)

    def vacuum(self, name: str, retention_hours: float) -> int | None:
        """Deletes data files that no version of the last hours needs; how many, or None where the engine keeps that to
        itself."""
        return upkeep.vacuum(self._delta(name), retention_hours)

    def delete(self, name: str, where: str) -> int:
        """Deletes the rows for which the SQL condition holds; how many. The history keeps them: see `erase_history`."""
        # A null condition would count as one that holds.
        deleted = self._delta(name).delete(f"coalesce(({where}), false)")["num_deleted_rows"]
        self.note(name, "write")
        return int(deleted)

    def erase_history(self, name: str) -> None:
        """Leaves nothing of earlier versions, neither files nor what the log said of them; the rows stay."""
        upkeep.erase_history(self._delta(name), self.location(name))

    def overwrite_records(self, name: str, records: Sequence[dict[str, Any]]) -> None:
        """Puts these records in place of all rows of a small table."""
        schema = pa.schema(self._delta(name).schema().to_arrow())
        write_deltalake(str(self.location(name)), pa.Table.from_pylist(list(records), schema), mode="overwrite")
        self.note(name, "write")

    def withdraw(self, name: str, label: str) -> None:
        """Takes the table away from readers; `recall` brings it back, until `forget_withdrawn` deletes it."""
        self.note(name, "write")
        withdrawn.withdraw(self.root, name, self.location(name), label)

    def recall(self, name: str, table_id: str) -> None:
        """Brings a withdrawn table back; ContractError where it is gone."""
        withdrawn.recall(self.root, name, self.location(name), table_id)
        self.note(name, "write")

    def can_recall(self, name: str, table_id: str, version: int) -> bool:
        """Whether that table was withdrawn and is still whole at that version."""
        aside = withdrawn.find(self.root, name, table_id)
        return aside is not None and upkeep.is_whole(aside, version)

    def forget_withdrawn(self, retention_hours: float) -> int:
        """Deletes what was withdrawn longer ago than that; how many tables."""
        return withdrawn.forget(self.root, retention_hours)

    def clear_staging(self) -> None:
        """Deletes what killed runs had staged. For who has the lake to himself: a run at work stages there too."""
        shutil.rmtree(self.root / STAGING, ignore_errors=True)

    def exclusive(
        self, holder: lock.Holder, wait_seconds: float, tell: Callable[[str], object]
    ) -> AbstractContextManager[lock.Holder | None]:
        """The lake to oneself, against all other writers: see `lock.exclusive`."""
        return lock.exclusive(self.root, holder, wait_seconds, tell)

    def writer(self) -> tuple[lock.Holder | None, bool]:
        """Who writes to the lake and whether it is at work now: see `lock.look`."""
        return lock.look(self.root)


def _ddl(frame: DataFrame) -> str:
    # As DDL, where an array may hold nulls: files say so even of a frame whose arrays cannot.
    return ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in frame.schema.fields)
