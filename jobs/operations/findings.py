"""Promises of one stored table: its files, its schema, its rules, its key, and that a run made it what it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.commit import QUARANTINE_COLUMNS
from lakehouse.io import Lake
from lakehouse.records.snapshots import UNTOLD, Snapshots
from lakehouse.table import Rule, Table


@dataclass(frozen=True)
class Finding:
    """One broken promise."""

    table: str
    promise: str
    text: str


@dataclass
class History:
    """The version at which each table is to be looked at, and what no run accounts for."""

    versions: dict[str, int]
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    until: datetime | None = None


def of_history(lake: Lake) -> History:
    """Every table is at the version that the last run left, unless a run is at work, or was killed at work.

    While one is at work, the last one's versions are those to look at; what a killed one left is whole table by table,
    and the next run does again what it did not record.
    """
    now = lake.states()
    ended = Snapshots(lake).ended()
    history = History({name: state.version for name, state in now.items()})
    if not ended:
        history.notes.append("no run is recorded in ops.snapshots yet: who changed which table last is not known")
        return history
    last, (holder, at_work) = ended[-1], lake.writer()
    if at_work:
        history.versions = {n: s.version for n, s in last.tables.items() if n in now and now[n].id == s.id}
        history.until = last.ended_at
        history.notes.append(f"{holder} is at work: what run {last.run_id} left is looked at")
        return history
    changed = [n for n, state in now.items() if n not in UNTOLD and last.tables.get(n) != state]
    if holder and changed:
        history.notes.append(
            f"{holder} was killed: the next run does again what it left undone of {len(changed)} tables"
        )
        return history
    for name in changed:
        was = f"left it at {last.tables[name].version}" if name in last.tables else "left no such table"
        history.findings.append(
            Finding(name, "history", f"is at version {now[name].version} by no run: the last one, {last.run_id}, {was}")
        )
    gone = sorted(last.tables.keys() - now.keys())
    history.findings += [Finding(name, "history", f"is gone: run {last.run_id} left it") for name in gone]
    return history


def of_files(lake: Lake, name: str, version: int) -> Iterator[Finding]:
    """Each data file is there and as the log has it."""
    found = lake.unsound_files(name, version)
    yield from (Finding(name, "files", text) for text in found[:3])
    if len(found) > 3:
        yield Finding(name, "files", f"and {len(found) - 3} more files are not as the log has them")


def of_schema(lake: Lake, name: str, version: int, contract: Table) -> Iterator[Finding]:
    """Columns, types and NOT NULL are the contract's; columns of a quarantine are never required."""
    quarantine = name == contract.quarantine
    columns = (*contract.columns, *QUARANTINE_COLUMNS) if quarantine else contract.columns
    wanted = {c.name: (c.spark_type, c.nullable or quarantine) for c in columns}
    stored = {c.name: (c.type, c.nullable) for c in lake.columns(name, version)}
    for column in [c for c in wanted if c not in stored]:
        yield Finding(name, "schema", f"lacks column {column}")
    for column in [c for c in stored if c not in wanted]:
        yield Finding(name, "schema", f"has column {column}, which the contract does not know")
    for column, (kind, nullable) in wanted.items():
        there = stored.get(column, (kind, nullable))
        if there[0] != kind:
            yield Finding(name, "schema", f"{column} is {there[0]}, the contract says {kind}")
        if there[1] != nullable:
            yield Finding(name, "schema", f"{column} is {'' if there[1] else 'not '}nullable, against the contract")


def of_key_and_rules(rows: DataFrame, contract: Table) -> Iterator[Finding]:
    """No stored row breaks a rule, and no two have the same key.

    A rule that speaks of columns that the function adds and the table does not keep cannot be verified here.
    """
    kept = [rule for rule in contract.rules_in_force() if rule.severity != "warn" and _is_of(rule, contract)]
    if kept:
        broken = [F.count_if(F.expr(f"NOT coalesce(({rule.check}), true)")).alias(rule.name) for rule in kept]
        for name, n in rows.agg(*broken).collect()[0].asDict().items():
            if n:
                yield Finding(contract.name, "rules", f"{n:,} rows break {name}")
    if contract.key:
        whole = reduce(lambda a, b: a & b, (F.col(k).isNotNull() for k in contract.key))
        # The key as one value: the embedded engine loses, on its way to the sum, that its columns are required.
        groups = rows.where(whole).groupBy(F.struct(*contract.key).alias("key")).agg(F.count(F.lit(1)).alias("n"))
        twice = F.col("n") > 1
        keys, more = groups.agg(F.count_if(twice), F.sum(F.when(twice, F.col("n")))).collect()[0]
        if keys:
            key = ", ".join(contract.key)
            yield Finding(contract.name, "key", f"{more:,} rows share {keys:,} values of the key ({key})")


def _is_of(rule: Rule, contract: Table) -> bool:
    """Whether the rule speaks of stored columns alone."""
    helpers = set(re.findall(r"\b_\w+", rule.check))
    return helpers <= set(contract.column_names)
