"""Every table of the lake, found by walking the layers, and the order in which their inputs let them be built."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from graphlib import CycleError, TopologicalSorter
from types import ModuleType

from pyspark.sql import DataFrame
from pyspark.sql.datasource import DataSource

from lakehouse.code import LAYERS, code_version
from lakehouse.errors import ConfigError
from lakehouse.feeds.csv_source import EhrCsv
from lakehouse.reference import dictionary_path
from lakehouse.table import MAPPED, Mapping, Table

CONF_PREFIX = "conf."


@dataclass(frozen=True)
class Node:
    """One step of the runner: a whole table, or one source's part of it."""

    table: Table
    build: Callable[..., DataFrame]
    code: str
    mapping: Mapping | None = None

    @property
    def name(self) -> str:
        return f"{self.table.name}[{self.mapping.source}]" if self.mapping else self.table.name

    @property
    def source(self) -> str | None:
        """The one source that this node builds, or None where it builds a whole table."""
        return self.mapping.source if self.mapping else None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tables and dictionaries that are read, each once."""
        mapped = self.mapping.inputs if self.mapping else ()
        return tuple(dict.fromkeys(i for i in (*mapped, *self.table.inputs) if i != MAPPED))

    @property
    def table_inputs(self) -> tuple[str, ...]:
        return tuple(i for i in self.inputs if not i.startswith(CONF_PREFIX))

    @property
    def consumes(self) -> tuple[str, ...]:
        return self.mapping.consumes if self.mapping else self.table.consumes


@dataclass(frozen=True)
class Registry:
    """`tables` by name; `nodes` in an order in which every input comes before its reader; `readers` of raw files by
    name."""

    tables: dict[str, Table]
    nodes: tuple[Node, ...]
    readers: dict[str, type[DataSource]] = field(default_factory=lambda: {EhrCsv.name(): EhrCsv})

    def layer(self, *layers: str) -> tuple[Node, ...]:
        """The layers' nodes that are made from raw files alone."""
        later = {node.name for node in self.after_scoring()}
        return tuple(node for node in self.nodes if node.table.layer in layers and node.name not in later)

    def after_scoring(self) -> tuple[Node, ...]:
        """Nodes that read what a job writes (a table with neither a function nor raw files), directly or by others."""
        built = {node.table.name for node in self.nodes}
        by_job = {name for name, table in self.tables.items() if name not in built and table.raw is None}
        later: list[Node] = []
        for node in self.nodes:
            if by_job & set(node.table_inputs):
                later.append(node)
                by_job.add(node.table.name)
        return tuple(later)

    def raw_tables(self) -> tuple[Table, ...]:
        return tuple(table for table in self.tables.values() if table.raw)


@cache
def registry() -> Registry:
    """The registry of this project."""
    return build_registry([module for layer in LAYERS for module in _walk(layer)])


def _walk(package_name: str) -> list[ModuleType]:
    package = importlib.import_module(package_name)
    names = [m.name for m in pkgutil.walk_packages(package.__path__, f"{package_name}.")]
    return [package, *(importlib.import_module(name) for name in sorted(names))]


def build_registry(modules: Iterable[ModuleType]) -> Registry:
    """Tables and nodes of `modules`; ConfigError for a name used twice, a missing input or reader, a circle."""
    tables: dict[str, Table] = {}
    builders: dict[str, ModuleType] = {}
    mappings: list[tuple[Mapping, ModuleType]] = []
    readers: dict[str, type[DataSource]] = {EhrCsv.name(): EhrCsv}
    for module in modules:
        readers |= {reader.name(): reader for reader in getattr(module, "READERS", ())}
        declared = (*getattr(module, "TABLES", ()), *([module.TABLE] if hasattr(module, "TABLE") else []))
        for table in declared:
            if table.name in tables:
                raise ConfigError(f"table {table.name} is declared twice, the second time in {module.__name__}.")
            tables[table.name] = table
            if hasattr(module, "build"):
                builders[table.name] = module
            if table.mode == "append" and hasattr(module, "build"):
                raise ConfigError(f"{table.name} is built whole by its function: its mode cannot be append.")
        mappings += [(mapping, module) for mapping in getattr(module, "MAPPINGS", ())]

    for table in tables.values():
        if table.raw and table.raw.reader not in readers:
            raise ConfigError(f"{table.name} is read by {table.raw.reader}, which no module declares.")
    nodes: list[Node] = []
    for name, module in builders.items():
        table = tables[name]
        if MAPPED not in table.inputs:
            nodes.append(Node(table, module.build, code_version(module.__name__)))
            continue
        nodes += [
            Node(table, module.build, code_version(module.__name__, source.__name__), mapping)
            for mapping, source in mappings
            if mapping.table == name
        ]
    for mapping, module in mappings:
        if mapping.table not in builders:
            raise ConfigError(f"{module.__name__} maps onto {mapping.table}, which no module declares.")
        if MAPPED not in tables[mapping.table].inputs:
            raise ConfigError(f"{module.__name__} maps onto {mapping.table}, whose inputs lack {MAPPED}.")
    return Registry(tables, _ordered(nodes, tables), readers)


def _ordered(nodes: list[Node], tables: dict[str, Table]) -> tuple[Node, ...]:
    makers: dict[str, list[str]] = {}
    for node in nodes:
        if node.name in makers.get(node.table.name, []):
            raise ConfigError(f"{node.name} is mapped twice.")
        makers.setdefault(node.table.name, []).append(node.name)
    graph: dict[str, list[str]] = {}
    for node in nodes:
        for name in node.inputs:
            if name.startswith(CONF_PREFIX) and not dictionary_path(name).exists():
                raise ConfigError(f"{node.name} reads {name}, but there is no conf/{dictionary_path(name).name}.")
            if not name.startswith(CONF_PREFIX) and name not in tables:
                raise ConfigError(f"{node.name} reads {name}, which no module declares.")
        if strangers := [name for name in node.consumes if name not in node.table_inputs]:
            raise ConfigError(f"{node.name} consumes {', '.join(strangers)}, which it does not read.")
        check_signature(node)
        graph[node.name] = [maker for name in node.table_inputs for maker in makers.get(name, [])]
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ConfigError(f"tables read one another in a circle: {' -> '.join(error.args[1])}.") from None
    by_name = {node.name: node for node in nodes}
    return tuple(by_name[name] for name in order)


def parameters(function: Callable[..., DataFrame]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)


def check_signature(node: Node) -> None:
    """ConfigError where a function's parameters are not its inputs' last components (or task, identify)."""
    injected = {"task", "identify"}
    pairs = [(node.build, node.table.inputs)]
    if node.mapping:
        pairs.append((node.mapping.function, node.mapping.inputs))
    for function, inputs in pairs:
        wanted = [name.rsplit(".", 1)[-1] for name in inputs]
        if sorted(set(parameters(function)) - injected) != sorted(wanted):
            raise ConfigError(
                f"{node.name}: {function.__module__}.{function.__name__} takes {', '.join(parameters(function))}; "
                f"its inputs are {', '.join(inputs)}."
            )
        if "task" in parameters(function) and not node.table.task:
            raise ConfigError(f"{node.name}: {function.__module__}.{function.__name__} asks for a task, none is named.")
