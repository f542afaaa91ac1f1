"""The only reads and writes of tables. A local lake is plain Delta folders; `unity.py` gives the same on Databricks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pyarrow as pa
from deltalake import DeltaTable, Schema, write_deltalake
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from pyspark.sql import DataFrame

from lakehouse.ddl import Column, delta_schema, spark_ddl
from lakehouse.errors import ContractError
from lakehouse.local import changes, holdings, upkeep, withdrawn
from lakehouse.local.keeping import Keeping
from lakehouse.local.swap import append, exchange, swap
from lakehouse.part import ALL, Part, Value
from lakehouse.sorting import StagedRows, as_frame
from lakehouse.state import State


class Lake(Keeping):
    """Reads and writes of tables by name (`silver.stays`), in a folder `<root>/<layer>/<table>`.

    Metadata (versions, row counts, the small `ops` tables) is read and written by delta-rs without a session.
    """

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
        root = str(self.location(name))
        self._committed(name, DeltaTable.create(root, schema, mode="ignore", partition_by=list(partition_by)))

    def replace(self, name: str, rows: DataFrame | StagedRows | None, part: Part | None = None) -> None:
        """Puts these rows (none: no row) in place of the part's, or of all, in one commit; schema and comments stay."""
        label = f"replace/{name}"
        table, root = self._delta(name), self.location(name)
        columns = table.metadata().partition_columns
        try:
            if part is None and columns:
                assert rows is not None
                as_frame(rows).write.format("delta").mode("overwrite").save(str(root))
                return
            ready = rows.folder if isinstance(rows, StagedRows) else None
            staged = ready or self._staging(label)
            if rows is not None and ready is None:
                self._write_files(as_frame(rows).drop(*columns), label)
            staged.mkdir(parents=True, exist_ok=True)
            if part is None or (part.column is None and set(part.within) == set(columns)):
                swap(table, root, staged, dict(part.within) if part else {})
            else:
                exchange(table, root, staged, part)
        finally:
            self.note(name, "write")
            self.unstage(label)

    def count(self, name: str, part: Part, outside: Part | None = None) -> int:
        """Rows of a part of a table; of those that are not in `outside`, where it is given."""
        if not self.exists(name):
            return 0
        return holdings.count(self._delta(name), self.location(name), part, outside)

    def values(self, name: str, column: str, version: int | None = None, part: Part = ALL) -> frozenset[Value]:
        """Distinct values of a column in the files of a part, None among them where one is null."""
        table, root = self._delta(name, version), self.location(name)
        return frozenset().union(*(holdings.values_in(root / p, column) for p in holdings.files_of(table, root, part)))

    def picked(self, name: str, part: Part, column: str) -> frozenset[Value]:
        """Distinct values of a column in the rows of a part."""
        return holdings.picked(self._delta(name), self.location(name), part, column)

    def pairs(self, name: str, key: str, value: str, version: int | None = None) -> dict[str, str]:
        """One column of a small table by another, at a version; ContractError where its files are gone."""
        if version is not None and not self.is_whole(name, version):
            raise ContractError(f"files of {name} version {version} are gone from the lake {self.root}.")
        rows = self.read_arrow(name, [key, value], version)
        return dict(zip(rows.column(key).to_pylist(), rows.column(value).to_pylist(), strict=True))

    def read_part(self, name: str, part: Part, label: str, version: int | None = None) -> DataFrame:
        """The rows of a part, copied where `unstage(label)` deletes them: few rows are found in few files once."""
        table, root = self._delta(name, version), self.location(name)
        self.note(name, "read", table.version())
        rows = holdings.dataset(table, root, holdings.files_of(table, root, part))
        self._staging(label).mkdir(parents=True, exist_ok=True)
        holdings.write(rows, holdings.is_in(part, rows.schema), self._staging(label) / "part.parquet")
        columns = self.columns(name, table.version())
        return self._staged(label, spark_ddl(columns))

    def changed(self, name: str, column: str, before: int, after: int, within: Mapping[str, str]) -> frozenset[Value]:
        """Values of a column in whose rows two versions differ; ContractError where files of either are gone."""
        for version in (before, after):
            if not self.is_whole(name, version):
                raise ContractError(f"files of {name} version {version} are gone from the lake {self.root}.")
        return changes.changed(self.location(name), column, before, after, within)

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

    def append_records(self, name: str, columns: Sequence[Column], records: Sequence[dict[str, Any]]) -> None:
        """Appends a few plain records to a small table in one commit, without a Spark job."""
        if not records:
            return
        self.create(name, columns)
        rows = _rows(self._delta_of_some_version(name), records)
        if append(self.location(name), rows) % upkeep.CHECKPOINT_EVERY == 0:
            upkeep.checkpoint(self._delta(name))
        self.note(name, "write")

    def records(self, name: str) -> list[dict[str, Any]]:
        """All rows of a small table; none where it does not exist."""
        return cast(list[dict[str, Any]], self.read_arrow(name).to_pylist()) if self.exists(name) else []

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

    def delete(self, name: str, where: str) -> int:
        """Deletes the rows for which the SQL condition holds; how many. The history keeps them: see `erase_history`."""
        # A null condition would count as one that holds.
        deleted = self._delta(name).delete(f"coalesce(({where}), false)")["num_deleted_rows"]
        self.note(name, "write")
        return int(deleted)

    def overwrite_records(self, name: str, records: Sequence[dict[str, Any]]) -> None:
        """Puts these records in place of all rows of a small table."""
        table = self._delta(name)
        write_deltalake(table, _rows(table, records), mode="overwrite")
        self._committed(name, table)
        self.note(name, "write")


def _rows(table: DeltaTable, records: Sequence[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(records), pa.schema(table.schema().to_arrow()))
