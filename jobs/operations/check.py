"""Every promise of every table, verified on what is stored, not on what was said when it was written.

| promise | of | what is verified |
|---|---|---|
| files | every table | each data file of the log is there, of its size and with its rows |
| schema | a table with a contract | columns, types and NOT NULL are the contract's |
| rules | a table with a contract | no stored row breaks an `error` or `fail` rule, or lacks a value that is required |
| key | a table with a contract | no two rows have the same |
| reconciliation | what was built | rows in are rows written, merged, left out and quarantined, and so many are stored |
| lineage | bronze; what was built | each row's file is known by `ops.files`; versions of inputs exist |
| history | every table | it is at the version that the last run left |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from jobs.context import Context, check_only
from jobs.operations.findings import Finding, of_files, of_history, of_key_and_rules, of_schema
from jobs.operations.reckoning import Reckoning
from lakehouse.errors import ContractError, one_sentence
from lakehouse.records.ledger import TABLES as OPS
from lakehouse.registry import registry
from lakehouse.table import Table


@dataclass
class Checked:
    """What was looked at and what was found; `notes` are no broken promises, but good to know."""

    tables: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(context: Context, only: str | None = None) -> Checked:
    """Looks at every table of the lake, or at one. Where a run is at work, at what the last one left.

    ContractError where the lake has no table.
    """
    lake, contracts = context.lake, {t.name: t for t in (*registry().tables.values(), *OPS)}
    if not lake.exists("ops.runs"):
        raise ContractError(f"the lake {lake.root} has no table yet: start with ehr run.")
    check_only(only, lake.names())
    history = of_history(lake)
    names = [name for name in history.versions if only in (None, name)]
    done = Checked(len(names), list(history.findings), list(history.notes))
    reckoning = Reckoning(context, history.versions, history.until, {one.table for one in history.findings})
    with context.console.status("") as status:
        for name in names:
            status.update(name)
            done.findings += _of_table(context, name, history.versions[name], contracts, reckoning)
    done.notes += reckoning.notes
    return done


def _of_table(
    context: Context, name: str, version: int, contracts: dict[str, Table], reckoning: Reckoning
) -> Iterator[Finding]:
    lake = context.lake
    unsound = list(of_files(lake, name, version))
    yield from unsound
    contract = contracts.get(name.removesuffix("_quarantine"))
    if contract is None:
        yield Finding(name, "schema", "no contract knows this table")
        return
    yield from of_schema(lake, name, version, contract)
    if name == contract.quarantine:
        return
    try:
        yield from _twice(lambda: [*of_key_and_rules(lake.read(name, version), contract), *reckoning.of(contract)])
    except Exception as error:
        if not unsound:
            yield Finding(name, "files", f"cannot be read: {one_sentence(error)}")


def _twice(look: Callable[[], list[Finding]]) -> list[Finding]:
    """What is found, at the second try where the first failed: a lost answer of the engine's is no finding, and files
    that cannot be read cannot be so twice."""
    try:
        return look()
    except Exception:
        return look()


def show(console: Console, done: Checked) -> None:
    """A row a finding, then what is good to know, then a line that sums up."""
    if done.findings:
        view = RichTable("table", "promise", "finding", header_style="bold")
        for one in sorted(done.findings, key=lambda f: (f.table, f.promise, f.text)):
            view.add_row(one.table, one.promise, f"[red]{escape(one.text)}[/]")
        console.print(view)
    for note in done.notes:
        console.print(escape(note))
    broken = "no promise is" if not done.findings else f"[red]{len(done.findings)} promises are[/]"
    console.print(f"{done.tables} tables: {broken} broken")
