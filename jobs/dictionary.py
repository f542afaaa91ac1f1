"""The data dictionary: every table's grain, key, inputs, rules and columns, written from its contract."""

import inspect
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from lakehouse.ddl import Column, parse_columns
from lakehouse.feeds.rawfiles import LINEAGE
from lakehouse.records.ledger import TABLES as OPS
from lakehouse.registry import Registry, registry
from lakehouse.table import MAPPED, Table

_LAYERS = {
    "bronze": "As it came, with lineage. Nothing is cleaned; a row that does not fit its types is in the table's "
    "quarantine with its text. Every bronze table ends with the same lineage columns:",
    "silver": "One clinical model for all sources. Rows that broke an `error` rule are in `<table>_quarantine` with "
    "the names of the rules; `ehr reconcile` shows where every input row went.",
    "gold": "One group of tables a clinical question.",
    "ops": "What the lake knows of itself.",
}
_WIDE = 60
"""A table with more columns is described by their families instead of one line each."""
_FAMILY = 5
"""Fewest columns that make a family."""


def data_dictionary(tables: Registry | None = None) -> str:
    """The whole dictionary in Markdown, ending in a line break."""
    known = tables or registry()
    everything = [*known.tables.values(), *OPS]
    parts = [
        "# Data dictionary",
        "Generated from the contracts by `ehr dictionary > docs/data-dictionary.md`; a test fails when it is stale. "
        "Times are UTC. In a key, `[source]` stands for one source's part of a table.",
        _contents(everything),
    ]
    for layer, meaning in _LAYERS.items():
        members = [t for t in everything if t.layer == layer]
        parts.append(f"## {layer}\n\n{meaning}")
        if layer == "bronze":
            parts.append(_columns(parse_columns(LINEAGE)))
            parts += _raw_sections(members)
        else:
            parts += [_section(t, known) for t in members]
    return "\n\n".join(parts) + "\n"


def _contents(tables: Iterable[Table]) -> str:
    """One line a layer (bronze: a source) with links to its tables."""
    groups: dict[str, list[str]] = defaultdict(list)
    for table in tables:
        group = f"{table.layer} {table.raw.source}" if table.raw else table.layer
        short = table.name.split(".")[1].removeprefix(f"{table.raw.source}_" if table.raw else "")
        groups[group].append(f"[{short}](#{_anchor(table.name)})")
    return "\n".join(["| | tables |", "|---|---|", *(f"| {g} | {', '.join(names)} |" for g, names in groups.items())])


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "", name.lower())


def _raw_sections(tables: Sequence[Table]) -> list[str]:
    """Bronze, source by source: each table's file, key and own columns."""
    parts, source = [], ""
    lineage = {column.name for column in parse_columns(LINEAGE)}
    for table in tables:
        assert table.raw is not None
        if table.raw.source != source:
            source = table.raw.source
            parts.append(f"### Source {source}\n\n{_of_module(f'bronze.{source}')}")
        facts = f"{table.description} From `{table.raw.looks_like}`; key {_names(table.key)}"
        facts += "; a release may lack it." if table.raw.optional else "."
        own = [column for column in table.columns if column.name not in lineage]
        parts.append(f"#### {table.name}\n\n{facts}\n\n{_columns(own)}")
    return parts


def _section(table: Table, known: Registry) -> str:
    nodes = [node for node in known.nodes if node.table.name == table.name]
    described = inspect.getdoc(sys.modules[nodes[0].build.__module__]) if nodes else ""
    # A docstring opens with what the description says in other words.
    told = (described or "").partition("\n\n")[2].replace(":\n- ", ":\n\n- ")  # else Markdown sees no list
    parts = [f"### {table.name}", table.description, told]
    facts = [f"- key: {_names(table.key)}", f"- written by: {table.mode}"]
    if table.partition_by:
        facts.append(f"- partitioned by: {_names(table.partition_by)}")
    if own := [name for name in table.inputs if name != MAPPED]:
        facts.append(f"- inputs: {', '.join(own)}")
    facts += [f"- inputs from {n.source}: {', '.join(n.mapping.inputs)}" for n in nodes if n.mapping]
    if consumed := [name for node in nodes for name in node.consumes]:
        facts.append(f"- accounts for every row of: {', '.join(consumed)}")
    if table.task:
        facts.append(f"- question: conf/tasks/{table.task}.yml")
    parts.append("\n".join(facts))
    if table.rules:
        rules = (f"| `{r.name}` | {r.severity} | `{' '.join(r.check.split())}` |" for r in table.rules)
        parts.append("\n".join(["| rule | severity | true for every good row |", "|---|---|---|", *rules]))
    parts.append(_families(table.columns) if len(table.columns) > _WIDE else _columns(table.columns))
    return "\n\n".join(part for part in parts if part)


def _of_module(name: str) -> str:
    return inspect.getdoc(sys.modules[name]) or ""


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _columns(columns: Iterable[Column]) -> str:
    lines = ["| column | type | meaning |", "|---|---|---|"]
    for c in columns:
        required = "" if c.nullable else " NOT NULL"
        lines.append(f"| {c.name} | {c.type}{required} | {c.comment.replace('|', '/')} |")
    return "\n".join(lines)


def _families(columns: Sequence[Column]) -> str:
    """Columns whose comments begin alike (`Heart rate: mean ...`) as one row; then what they tell; then the others."""
    by_label: dict[str, list[Column]] = defaultdict(list)
    for column in columns:
        by_label[column.comment.partition(": ")[0]].append(column)
    families = {label: of for label, of in by_label.items() if len(of) >= _FAMILY and _prefix(of)}
    inside = {column.name for of in families.values() for column in of}
    others = [column for column in columns if column.name not in inside]
    sets: dict[tuple[str, ...], str] = {}
    meanings: dict[str, str] = {}
    rows = []
    for label, of in families.items():
        prefix = _prefix(of)
        told = {c.name.removeprefix(prefix): re.sub(r" \[.*", "", c.comment.partition(": ")[2]) for c in of}
        meanings = {**told, **meanings}
        letter = sets.setdefault(tuple(told), chr(ord("A") + len(sets)))
        rows.append(f"| {prefix}\\* | {label.replace('|', '/')} | {_unit(of)} | {letter} | {len(of)} |")
    return "\n\n".join(
        [
            f"{len(inside):,} of its {len(columns):,} columns are in {len(families)} families, all DOUBLE: `hr_mean` "
            "is `hr_*` with `mean`. What each family tells is one of the lists below.",
            "\n".join(["| family | of | unit | tells | columns |", "|---|---|---|---|---:|", *rows]),
            "\n".join(f"- {letter}: {_names(told)}" for told, letter in sets.items()),
            "\n".join(["| | meaning |", "|---|---|", *(f"| {name} | {text} |" for name, text in meanings.items())]),
            "The other columns:",
            _columns(others),
        ]
    )


def _prefix(columns: Sequence[Column]) -> str:
    """What their names begin with, up to an underscore."""
    first, last = min(c.name for c in columns), max(c.name for c in columns)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind("_", 0, length) + 1]


def _unit(columns: Sequence[Column]) -> str:
    """The unit of most of the columns; blank where they have several or none."""
    units = Counter(match[1] for c in columns if (match := re.search(r"\[([^\]]+)\]$", c.comment)))
    unit, n = units.most_common(1)[0] if units else ("", 0)
    return unit if 2 * n > len(columns) else ""
