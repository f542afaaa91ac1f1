"""What changed in a feed, as its rows tell: columns that the contract does not know, and columns of another type."""

from collections import Counter

from pyspark.sql import functions as F

from lakehouse.commit import Committed
from lakehouse.feeds.cells import is_of_type
from lakehouse.feeds.rawfiles import KNOWN, raw_columns
from lakehouse.io import Lake
from lakehouse.table import BATCH_ID, EXTRA, Table

CHANGED_TYPE = "changed_type"
"""Name under which the warnings of a run count rows of a column that seems to have changed type."""


def drift(lake: Lake, table: Table, done: Committed, run_id: str) -> tuple[list[str], dict[str, int]]:
    """Notes for people on what an ingestion brought that the contract does not expect, and its warnings, counted."""
    notes, rows = _changed_types(table, done)
    changed = {CHANGED_TYPE: rows} if rows else {}
    return [*_new_columns(lake, table, done, run_id), *notes], {**done.warnings, **changed}


def _new_columns(lake: Lake, table: Table, done: Committed, run_id: str) -> list[str]:
    """A note on the columns whose cells this ingestion kept in `_extra`; nothing is read where there are none."""
    if KNOWN.name not in done.warnings:
        return []
    names: set[str] = set()
    for name in (table.name, table.quarantine):
        if lake.exists(name):
            rows = lake.read(name).where((F.col(BATCH_ID) == run_id) & F.col(EXTRA).isNotNull())
            found = rows.select(F.explode(F.json_object_keys(EXTRA)).alias("name")).distinct().collect()
            names |= {row["name"] or "(without a name)" for row in found}
    return [f"new column{'s' * (len(names) > 1)}, kept in _extra: {', '.join(sorted(names))}"]


def _changed_types(table: Table, done: Committed) -> tuple[list[str], int]:
    """A note on each column that does not read in at least half of an input's rows, and how many rows these are."""
    rules = {is_of_type(name, kind): (name, kind) for name, kind in raw_columns(table)}
    given, misread = Counter[str](), Counter[tuple[str, str]]()
    for (source, outcome, reason), rows in done.reconciliation.items():
        given[source] += rows
        if outcome == "quarantined":
            misread.update({(source, rule): rows for rule in reason.split() if rule in rules})
    notes, total = [], 0
    for (source, rule), rows in sorted(misread.items()):
        if 2 * rows >= given[source]:
            name, kind = rules[rule]
            share = f"{rows:,} of {given[source]:,} rows of {source}"
            notes.append(f"{name} seems to have changed type: {share} are no {kind}")
            total += rows
    return notes, total
