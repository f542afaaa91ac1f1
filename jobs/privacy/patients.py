"""Whose rows a lake holds, by the identifiers of the raw files, and whether the key in force is that of silver."""

from __future__ import annotations

from collections.abc import Iterable

from jobs.context import Context
from lakehouse.errors import ConfigError
from lakehouse.part import ALL, Part, Value
from lakehouse.registry import registry
from lakehouse.table import Table


def raw_tables(context: Context) -> dict[str, list[Table]]:
    """Bronze tables of the lake that say whose their rows are, by source."""
    found: dict[str, list[Table]] = {}
    for table in registry().raw_tables():
        if table.raw and table.raw.patient and context.lake.exists(table.name):
            found.setdefault(table.raw.source, []).append(table)
    return found


def patients_of(context: Context, tables: Iterable[Table]) -> set[str]:
    """Every patient of these bronze tables, as the raw files have them."""
    found: set[str] = set()
    for table in tables:
        assert table.raw is not None and table.raw.patient is not None
        found |= {str(patient) for patient in _values(context, table.name, table.raw.patient)}
    return found


def check_key(context: Context, source: str, tables: Iterable[Table]) -> None:
    """ConfigError where no patient of silver bears the identifier that the key in force gives: it is another key."""
    if not context.lake.exists("silver.patients"):
        return
    there = _values(context, "silver.patients", "patient_id", Part(within={"source": source}))
    if there and there.isdisjoint(context.identify.of(source, value) for value in patients_of(context, tables)):
        raise ConfigError(
            f"silver has no patient of {source} under the identifier that EHR_PSEUDONYM_KEY gives: set it to the key "
            "that silver was built with."
        )


def _values(context: Context, name: str, column: str, part: Part = ALL) -> frozenset[Value]:
    """Not by a query: of twenty tables, those take JVM Spark a minute."""
    context.lake.note(name, "read")
    return context.lake.values(name, column, None, part) - {None}
