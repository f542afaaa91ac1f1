"""The data dictionary: every table's grain, key, inputs, rules and columns, written from its contract."""

import inspect
import sys

from lakehouse.ledger import TABLES as OPS
from lakehouse.registry import Registry, registry
from lakehouse.table import MAPPED, Table

_LAYERS = {
    "bronze": "As it came, with lineage.",
    "silver": "One clinical model for all sources.",
    "gold": "One group of tables a clinical question.",
    "ops": "What the lake knows of itself.",
}
_WIDE = 60
"""A table with more columns is described by their families instead of one line each."""


def data_dictionary(tables: Registry | None = None) -> str:
    """The whole dictionary in Markdown."""
    known = tables or registry()
    descriptions = {node.table.name: inspect.getdoc(sys.modules[node.build.__module__]) or "" for node in known.nodes}
    everything = [*known.tables.values(), *OPS]
    parts = [
        "# Data dictionary",
        "Generated from the contracts by `ehr dictionary > docs/data-dictionary.md`; a test fails when it is stale.",
    ]
    for layer, meaning in _LAYERS.items():
        members = [t for t in everything if t.layer == layer]
        parts.append(f"## {layer}\n\n{meaning} {len(members)} tables.")
        parts += [_section(t, descriptions.get(t.name) or t.description) for t in members]
    return "\n\n".join(parts)


def _section(table: Table, description: str) -> str:
    facts = [f"Key: {', '.join(table.key)}", f"mode: {table.mode}"]
    if inputs := [name for name in table.inputs if name != MAPPED]:
        facts.append(f"inputs: {', '.join(inputs)}")
    if table.partition_by:
        facts.append(f"partitioned by {', '.join(table.partition_by)}")
    lines = [f"### {table.name}", "", description.strip(), "", "; ".join(facts) + ".", ""]
    if table.rules:
        lines += [f"- rule `{r.name}` ({r.severity}): `{' '.join(r.check.split())}`" for r in table.rules] + [""]
    lines += ["| column | type | meaning |", "|---|---|---|"]
    shown = table.columns if len(table.columns) <= _WIDE else table.columns[:_WIDE]
    for c in shown:
        lines.append(f"| {c.name} | {c.type}{'' if c.nullable else ' NOT NULL'} | {c.comment.replace('|', '/')} |")
    if len(table.columns) > len(shown):
        lines.append(f'| ... | | {len(table.columns) - len(shown)} more alike: `ehr sql "describe {table.name}"` |')
    return "\n".join(lines)
