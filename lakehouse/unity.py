"""The same lake in Unity Catalog: `silver.stays` is `<catalog>.<prefix>silver.stays`, staged rows lie in a volume."""

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from lakehouse.code import LAYERS
from lakehouse.ddl import Column, spark_ddl
from lakehouse.errors import ContractError
from lakehouse.io import Lake
from lakehouse.local.lock import Door, Holder
from lakehouse.local.staging import STAGING
from lakehouse.local.upkeep import newest_of_rows
from lakehouse.part import ALL, Part, Value
from lakehouse.rules import BROKEN, is_good
from lakehouse.sorting import Sorted, Sorter, StagedRows, as_frame
from lakehouse.state import State
from lakehouse.table import FROM, RULES, STAMPS

DAY_SECONDS = 24 * 3600


class UnityLake(Lake):
    """Every question to a table is SQL, because on Databricks nobody but the engine may open its files."""

    def __init__(
        self, catalog: str, volume: Path, spark: SparkSession | Callable[[], SparkSession], prefix: str = ""
    ) -> None:
        super().__init__(volume, spark)
        self.catalog = catalog
        self.prefix = prefix

    def _schema(self, layer: str) -> str:
        return f"`{self.catalog}`.`{self.prefix}{layer}`"

    def qualified(self, name: str) -> str:
        layer, table = name.split(".")
        return f"{self._schema(layer)}.`{table}`"

    def names(self) -> list[str]:
        """Every table of the lake's layers: a catalog may hold other schemas, and other people's lakes."""
        there = {row[0] for row in self.spark.sql(f"SHOW SCHEMAS IN `{self.catalog}`").collect()}
        return sorted(
            f"{layer}.{row['tableName']}"
            for layer in (*LAYERS, "ops")
            if f"{self.prefix}{layer}" in there
            for row in self.spark.sql(f"SHOW TABLES IN {self._schema(layer)}").collect()
            if not row["isTemporary"]
        )

    def exists(self, name: str) -> bool:
        return bool(self.spark.catalog.tableExists(self.qualified(name)))

    def version(self, name: str) -> int | None:
        if not self.exists(name):
            return None
        return int(self.spark.sql(f"DESCRIBE HISTORY {self.qualified(name)} LIMIT 1").collect()[0]["version"])

    def data_version(self, name: str, version: int | None = None) -> int | None:
        if not self.exists(name):
            return None
        history = self.spark.sql(f"DESCRIBE HISTORY {self.qualified(name)}").collect()
        commits = {row["version"]: (row["operation"], row["operationParameters"] or {}) for row in history}
        version = max(commits) if version is None else version
        return newest_of_rows(version, commits.get)

    def states(self) -> dict[str, State]:
        # Each is two questions to the catalog, and a lake has a hundred tables.
        with ThreadPoolExecutor(8) as threads:
            found = threads.map(lambda name: (name, self.table_id(name), self.version(name)), self.names())
            return {name: State(str(identity), int(version or 0)) for name, identity, version in found}

    def table_id(self, name: str) -> str | None:
        return str(self._detail(name)["id"]) if self.exists(name) else None

    def size_bytes(self, name: str) -> int:
        return int(self._detail(name)["sizeInBytes"])

    def _detail(self, name: str) -> Row:
        return self.spark.sql(f"DESCRIBE DETAIL {self.qualified(name)}").collect()[0]

    def row_count(self, name: str, partition: tuple[str, str] | None = None) -> int:
        if not self.exists(name):
            return 0
        rows = self.read(name)
        return rows.where(rows[partition[0]] == partition[1]).count() if partition else rows.count()

    def read(self, name: str, version: int | None = None) -> DataFrame:
        self.note(name, "read", version)
        of_version = "" if version is None else f" VERSION AS OF {version}"
        return self.spark.sql(f"SELECT * FROM {self.qualified(name)}{of_version}")

    def read_arrow(self, name: str, columns: list[str] | None = None, version: int | None = None) -> pa.Table:
        frame = self.read(name, version)
        return (frame.select(*columns) if columns else frame).toArrow()

    def create(
        self, name: str, columns: Sequence[Column], partition_by: Sequence[str] = (), nullable: bool = False
    ) -> None:
        if self.exists(name):
            return
        schema = self._schema(name.split(".", maxsplit=1)[0])
        if not self.spark.catalog.databaseExists(schema):  # where a bundle made it, the pipeline may not
            self.spark.sql(f"CREATE SCHEMA {schema}")
        ddl = ", ".join(_definition(column, nullable) for column in columns)
        partitioned = f" PARTITIONED BY ({', '.join(partition_by)})" if partition_by else ""
        self.spark.sql(f"CREATE TABLE IF NOT EXISTS {self.qualified(name)} ({ddl}) USING delta{partitioned}")

    def sort(self, judged: Iterable[DataFrame], sorter: Sorter, label: str) -> Sorted:
        # Functions in Python may not reach a volume on all computes: the engine stages the rows, and sorts by queries.
        further = iter(judged)
        staged = self.stage(next(further), label, sorter.given, further)
        counts, _ = sorter.sort(staged)
        good = staged.where(is_good()).select(*sorter.good)
        made = {RULES: F.split(BROKEN, " "), FROM: F.coalesce(FROM, F.lit(sorter.default_from))}
        made |= {name: F.lit(value) for name, value in sorter.constants}
        refused = staged.where(F.col(BROKEN) != "").withColumns(made).select(*sorter.refused.schema.names)
        return Sorted(counts, StagedRows(lambda: good), StagedRows(lambda: refused))

    def replace(self, name: str, rows: DataFrame | StagedRows | None, part: Part | None = None) -> None:
        frame = self.read(name).limit(0) if rows is None else as_frame(rows)
        where = (part or ALL).sql()
        frame.write.format("delta").mode("overwrite").option("replaceWhere", where).saveAsTable(self.qualified(name))
        self.note(name, "write")

    def count(self, name: str, part: Part, outside: Part | None = None) -> int:
        if not self.exists(name):
            return 0
        rows = self.read(name).where(part.sql())
        return rows.where(f"NOT coalesce(({outside.sql()}), false)").count() if outside else rows.count()

    def values(self, name: str, column: str, version: int | None = None, part: Part = ALL) -> frozenset[Value]:
        return _first(self.read(name, version).where(part.sql()).select(column).distinct())

    def picked(self, name: str, part: Part, column: str) -> frozenset[Value]:
        return self.values(name, column, None, part)

    def read_part(self, name: str, part: Part, label: str, version: int | None = None) -> DataFrame:  # noqa: ARG002
        return self.read(name, version).where(part.sql())

    def changed(self, name: str, column: str, before: int, after: int, within: Mapping[str, str]) -> frozenset[Value]:
        sides = [self.read(name, version).where(Part(within=within).sql()).drop(*STAMPS) for version in (before, after)]
        gone, come = sides[0].exceptAll(sides[1]), sides[1].exceptAll(sides[0])
        return _first(gone.select(column).unionByName(come.select(column)).distinct())

    def append(self, name: str, frame: DataFrame) -> None:
        frame.write.format("delta").mode("append").saveAsTable(self.qualified(name))
        self.note(name, "write")

    def merge_target(self, name: str) -> str:
        return self.qualified(name)

    def append_records(self, name: str, columns: Sequence[Column], records: Sequence[dict[str, Any]]) -> None:
        if not records:
            return
        self.create(name, columns)
        rows = [tuple(record.get(c.name) for c in columns) for record in records]
        self.append(name, self.spark.createDataFrame(rows, spark_ddl(columns)))

    def restore(self, name: str, version: int) -> None:
        try:
            self.spark.sql(f"RESTORE TABLE {self.qualified(name)} TO VERSION AS OF {version}").collect()
        except Exception as error:
            raise ContractError(f"{name} could not be put back to version {version}: {error}") from error
        self.note(name, "write")

    def is_whole(self, name: str, version: int) -> bool:
        try:
            self.read(name, version).limit(1).collect()
        except Exception:
            return False
        return True

    def unsound_files(self, name: str, version: int) -> list[str]:  # noqa: ARG002 - storage answers for its files
        return []

    def columns(self, name: str, version: int) -> tuple[Column, ...]:  # noqa: ARG002 - the catalog knows the last
        there = self.spark.catalog.listColumns(self.qualified(name))
        return tuple(Column(c.name, c.dataType, c.nullable, c.description or "") for c in there)

    def compact(self, name: str, cluster_by: Sequence[str] = ()) -> bool:
        before = self.version(name)
        order = f" ZORDER BY ({', '.join(cluster_by)})" if cluster_by else ""
        self.spark.sql(f"OPTIMIZE {self.qualified(name)}{order}").collect()
        return self.version(name) != before

    def delete(self, name: str, where: str) -> int:
        gone = self.spark.sql(f"DELETE FROM {self.qualified(name)} WHERE coalesce(({where}), false)").collect()
        self.note(name, "write")
        return int(gone[0][0]) if gone else 0

    def erase_history(self, name: str) -> None:
        # What the log says of deleted rows goes when the catalog's own retention of the log ends.
        self.spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
        self.spark.sql(f"REORG TABLE {self.qualified(name)} APPLY (PURGE)").collect()
        self.spark.sql(f"VACUUM {self.qualified(name)} RETAIN 0 HOURS").collect()

    def overwrite_records(self, name: str, records: Sequence[dict[str, Any]]) -> None:
        schema = self.spark.table(self.qualified(name)).schema
        rows = [tuple(record.get(column) for column in schema.names) for record in records]
        self.replace(name, self.spark.createDataFrame(rows, schema))

    def vacuum(self, name: str, retention_hours: float) -> int | None:
        self.spark.sql(f"VACUUM {self.qualified(name)} RETAIN {int(retention_hours)} HOURS").collect()
        return None

    def withdraw(self, name: str, label: str) -> None:  # noqa: ARG002 - the catalog keeps what was dropped
        self.note(name, "write")
        self.spark.sql(f"DROP TABLE {self.qualified(name)}").collect()

    def recall(self, name: str, table_id: str) -> None:
        self.spark.sql(f"UNDROP TABLE {self.qualified(name)}").collect()
        if self.table_id(name) != table_id:
            raise ContractError(f"{name} was dropped twice: the one that is wanted is not the last that was dropped.")

    def can_recall(self, name: str, table_id: str, version: int) -> bool:  # noqa: ARG002 - asked for, it says so
        return True

    def forget_withdrawn(self, retention_hours: float) -> int:  # noqa: ARG002 - the catalog does, by its own clock
        return 0

    def clear_staging(self) -> None:
        # Another task may be at work: what is a day old has nobody who waits for it.
        for folder in (self.root / STAGING).glob("*"):
            if time.time() - folder.stat().st_mtime > DAY_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)

    def exclusive(
        self,
        holder: Holder,  # noqa: ARG002
        wait_seconds: float,  # noqa: ARG002
        tell: Callable[[str], object],  # noqa: ARG002
        admit: Callable[[], object],
    ) -> AbstractContextManager[Door]:
        # No file system here has locks: the job that runs the verbs allows one run at a time (max_concurrent_runs).
        admit()
        return nullcontext(Door())

    def writer(self) -> tuple[Holder | None, bool]:
        return None, False


def _first(rows: DataFrame) -> frozenset[Value]:
    return frozenset(row[0] for row in rows.collect())


def _definition(column: Column, nullable: bool) -> str:
    required = "" if nullable or column.nullable else " NOT NULL"
    comment = column.comment.replace("\\", "\\\\").replace("'", "\\'")
    return f"`{column.name}` {column.type}{required}" + (f" COMMENT '{comment}'" if comment else "")
