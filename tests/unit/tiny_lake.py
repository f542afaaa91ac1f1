"""A lake of a few rows, and modules as small as a layer's, for the tests of the frame."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from lakehouse.ddl import parse_columns
from lakehouse.io import Lake
from lakehouse.pseudonyms import Identifier
from lakehouse.records.ledger import Ledger, Outcome
from lakehouse.registry import Node, Registry, build_registry
from lakehouse.runner import Runner
from lakehouse.table import Raw, Table
from lakehouse.tasks import Task

Row = dict[str, Any]
READING = "id BIGINT, value DOUBLE, note STRING"


def module(name: str, **attributes: Any) -> ModuleType:
    """A layer module: TABLE or TABLES, build, MAPPINGS."""
    made = ModuleType(name)
    vars(made).update(attributes)
    return made


def bronze(name: str, ddl: str = READING, source: str = "ward") -> ModuleType:
    """A raw table of `source`."""
    return module(name, TABLES=(Table(name, ddl, (), raw=Raw(source, (f"{name}.csv",))),))


def table_of(name: str, build: Callable[..., DataFrame], ddl: str = "id BIGINT NOT NULL", **rest: Any) -> ModuleType:
    """A module whose table is keyed by id."""
    return module(name, TABLE=Table(name, ddl, rest.pop("key", ("id",)), **rest), build=build)


@dataclass
class TinyLake:
    """A lake in a test's folder; `run` is one invocation with a ledger of its own, as on the command line."""

    root: Path
    spark: SparkSession
    identify: Identifier = field(default_factory=Identifier)
    runs: int = 0

    @property
    def lake(self) -> Lake:
        return Lake(self.root, self.spark)

    def put(self, name: str, rows: list[Row], ddl: str = READING) -> None:
        """Adds rows to a raw table, each with whichever columns matter."""
        columns = parse_columns(ddl)
        self.lake.append_records(name, columns, [{c.name: row.get(c.name) for c in columns} for row in rows])

    def run(
        self, *modules: ModuleType, code: str = "code", task: Task | None = None, only: Iterable[str] = ()
    ) -> dict[str, Outcome]:
        """Outcomes by node."""
        self.runs += 1
        whole = build_registry(modules)
        nodes = [replace(node, code=code) for node in whole.nodes if not only or node.name in only]
        return {outcome.node: outcome for outcome in self.runner(whole, task).run(nodes)}

    def runner(
        self, registry: Registry, task: Task | None = None, listener: Any = lambda _node, _outcome: None
    ) -> Runner:
        def load(name: str) -> Task:
            assert task is not None and name == task.name
            return task

        ledger = Ledger(self.lake, "test")
        return Runner(self.lake, registry, ledger, self.identify, f"run-{self.runs}", listener, load)

    def rows(self, name: str, *columns: str) -> list[tuple[Any, ...]]:
        """The stored rows of a table, in order of their values."""
        stored = self.lake.read_arrow(name, list(columns) or None).to_pylist()
        return sorted((tuple(row.values()) for row in stored), key=repr)

    def versions(self) -> dict[str, int | None]:
        """Version of every table that is not the lake's own."""
        return {name: self.lake.version(name) for name in self.lake.names() if not name.startswith("ops.")}

    def ledger(self, node: str) -> list[Row]:
        """What `ops.runs` says of a node, in order."""
        return sorted((r for r in self.lake.records("ops.runs") if r["node"] == node), key=lambda r: r["started_at"])

    def reconciliation(self, node: str) -> dict[tuple[str, str, str], int]:
        """What `ops.reconciliation` says of the latest run that built a node."""
        records = [r for r in self.lake.records("ops.reconciliation") if r["node"] == node]
        last = max(r["run_id"] for r in records)
        return {(r["input"], r["outcome"], r["reason"]): r["rows"] for r in records if r["run_id"] == last}

    def staged(self) -> list[Path]:
        return list((self.root / "_staging").rglob("*"))


def same(frame: str = "readings") -> Callable[..., DataFrame]:
    """A build function that gives its one input's ids back."""
    names: dict[str, Any] = {}
    exec(f"def build({frame}):\n    return {frame}.select('id')", names)
    build: Callable[..., DataFrame] = names["build"]
    return build


def node_names(nodes: Iterable[Node]) -> list[str]:
    return [node.name for node in nodes]
