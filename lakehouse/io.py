"""The only reads and writes of tables. A local lake is plain Delta folders; `unity.py` gives the same on Databricks."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
from deltalake import DeltaTable, Schema, write_deltalake
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import ArrayType, MapType, StructType

from lakehouse.ddl import Column, delta_schema
from lakehouse.errors import ContractError
from lakehouse.swap import swap

ALL_ROWS = "1 = 1"
NESTED = (ArrayType, MapType, StructType)


class Lake:
    """Tables by name (`silver.stays`) in a folder `<root>/<layer>/<table>`.

    Metadata (versions, row counts, the small `ops` tables) is read and written by delta-rs without a session. `spark`
    is a session, a function that starts one when it is first needed, or None for a lake that is only looked at.
    """

    def __init__(self, root: Path, spark: SparkSession | Callable[[], SparkSession] | None = None) -> None:
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

    def _delta(self, name: str) -> DeltaTable:
        return DeltaTable(str(self.location(name)))

    def version(self, name: str) -> int | None:
        """The table's current version, or None where there is no such table."""
        return self._delta(name).version() if self.exists(name) else None

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
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", str(version))
        return reader.load(str(self.location(name)))

    def read_arrow(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """The whole table in memory, without a session."""
        # By Arrow's own file system: with delta-rs's, which is written in Python, a thread that closes a file while the
        # process ends aborts it (one of six short commands ended with code 134).
        files = SubTreeFileSystem(str(self.location(name)), LocalFileSystem())
        return self._delta(name).to_pyarrow_table(columns=columns, filesystem=files)

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
            self.unstage(label)

    def append(self, name: str, frame: DataFrame) -> None:
        frame.write.format("delta").mode("append").save(str(self.location(name)))

    def merge(self, name: str, frame: DataFrame, key: Sequence[str]) -> None:
        """Inserts rows with a new key, replaces those with a known one."""
        frame.createOrReplaceTempView("merge_source")
        on = " AND ".join(f"target.`{k}` = source.`{k}`" for k in key)
        self.spark.sql(
            f"MERGE INTO {self.merge_target(name)} AS target USING merge_source AS source ON {on} "
            "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        ).collect()

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
        return self.root / "_staging" / re.sub(r"[^\w./-]", "-", label)

    def append_records(self, name: str, columns: Sequence[Column], records: Sequence[dict[str, Any]]) -> None:
        """Appends a few plain records to a small table in one commit, without a Spark job."""
        if not records:
            return
        self.create(name, columns)
        schema = self._delta(name).schema().to_arrow()
        write_deltalake(str(self.location(name)), pa.Table.from_pylist(list(records), pa.schema(schema)), mode="append")

    def records(self, name: str) -> list[dict[str, Any]]:
        """All rows of a small table; none where it does not exist."""
        return cast(list[dict[str, Any]], self.read_arrow(name).to_pylist()) if self.exists(name) else []

    def restore(self, name: str, version: int) -> None:
        """Makes an earlier version the current one again."""
        try:
            self._delta(name).restore(version)
        except Exception as error:
            raise ContractError(f"{name} could not be put back to version {version}: {error}") from error


def _ddl(frame: DataFrame) -> str:
    # As DDL, where an array may hold nulls: files say so even of a frame whose arrays cannot.
    return ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in frame.schema.fields)
