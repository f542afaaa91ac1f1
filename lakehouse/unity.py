"""The same lake in Unity Catalog: `silver.stays` is `<catalog>.silver.stays`, staged rows lie in a volume."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, Row, SparkSession

from lakehouse.ddl import Column
from lakehouse.errors import ContractError
from lakehouse.io import ALL_ROWS, Lake


class UnityLake(Lake):
    """Every question to a table is SQL, because on Databricks nobody but the engine may open its files."""

    def __init__(self, catalog: str, volume: Path, spark: SparkSession | Callable[[], SparkSession]) -> None:
        super().__init__(volume, spark)
        self.catalog = catalog

    def qualified(self, name: str) -> str:
        layer, table = name.split(".")
        return f"`{self.catalog}`.`{layer}`.`{table}`"

    def names(self) -> list[str]:
        schemas = [row[0] for row in self.spark.sql(f"SHOW SCHEMAS IN `{self.catalog}`").collect()]
        return sorted(
            f"{schema}.{row['tableName']}"
            for schema in schemas
            for row in self.spark.sql(f"SHOW TABLES IN `{self.catalog}`.`{schema}`").collect()
            if not row["isTemporary"]
        )

    def exists(self, name: str) -> bool:
        return bool(self.spark.catalog.tableExists(f"{self.catalog}.{name}"))

    def version(self, name: str) -> int | None:
        if not self.exists(name):
            return None
        return int(self.spark.sql(f"DESCRIBE HISTORY {self.qualified(name)} LIMIT 1").collect()[0]["version"])

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
        of_version = "" if version is None else f" VERSION AS OF {version}"
        return self.spark.sql(f"SELECT * FROM {self.qualified(name)}{of_version}")

    def read_arrow(self, name: str, columns: list[str] | None = None) -> pa.Table:
        frame = self.read(name)
        return (frame.select(*columns) if columns else frame).toArrow()

    def create(
        self, name: str, columns: Sequence[Column], partition_by: Sequence[str] = (), nullable: bool = False
    ) -> None:
        if self.exists(name):
            return
        self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS `{self.catalog}`.`{name.split('.', maxsplit=1)[0]}`")
        ddl = ", ".join(_definition(column, nullable) for column in columns)
        partitioned = f" PARTITIONED BY ({', '.join(partition_by)})" if partition_by else ""
        self.spark.sql(f"CREATE TABLE IF NOT EXISTS {self.qualified(name)} ({ddl}) USING delta{partitioned}")

    def replace(
        self,
        name: str,
        frame: DataFrame,
        where: str = ALL_ROWS,
        partition: tuple[str, str] | None = None,  # noqa: ARG002 - `where` says it all
    ) -> None:
        frame.write.format("delta").mode("overwrite").option("replaceWhere", where).saveAsTable(self.qualified(name))

    def append(self, name: str, frame: DataFrame) -> None:
        frame.write.format("delta").mode("append").saveAsTable(self.qualified(name))

    def merge_target(self, name: str) -> str:
        return self.qualified(name)

    def append_records(self, name: str, columns: Sequence[Column], records: Sequence[dict[str, Any]]) -> None:
        if not records:
            return
        self.create(name, columns)
        schema = ", ".join(f"`{c.name}` {c.type}" for c in columns)
        rows = [tuple(record.get(c.name) for c in columns) for record in records]
        self.append(name, self.spark.createDataFrame(rows, schema))

    def restore(self, name: str, version: int) -> None:
        try:
            self.spark.sql(f"RESTORE TABLE {self.qualified(name)} TO VERSION AS OF {version}").collect()
        except Exception as error:
            raise ContractError(f"{name} could not be put back to version {version}: {error}") from error


def _definition(column: Column, nullable: bool) -> str:
    required = "" if nullable or column.nullable else " NOT NULL"
    comment = column.comment.replace("\\", "\\\\").replace("'", "\\'")
    return f"`{column.name}` {column.type}{required}" + (f" COMMENT '{comment}'" if comment else "")
