"""The lake itself in a report: what is in it, when it was last run, and where every row of every input went."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

from jobs.context import Context
from jobs.operations.runs import Run, runs
from jobs.reconcile import Account, accounts
from jobs.report.html import Markup, Section, details, note, number, paragraph, percent, table, tag, tiles
from lakehouse.errors import ContractError
from lakehouse.records.ledger import RUNS
from lakehouse.tasks import Task

QUARANTINE = "_quarantine"
LAYERS = ("bronze", "silver", "gold", "ops")


def glance(context: Context, task: Task) -> Section:
    """Tables, rows and runs. ContractError where there is no table yet."""
    lake = context.lake
    if not lake.names():
        raise ContractError(f"the lake {lake.root} has no table yet: start with ehr run.")
    names = [name for name in lake.names() if not name.endswith(QUARANTINE)]
    rows = {name: lake.row_count(name) for name in names}
    sizes = {name: lake.size_bytes(name) / 1e6 for name in names}
    held = {name: lake.row_count(f"{name}{QUARANTINE}") for name in names}
    layers = []
    for layer in LAYERS:
        own = [name for name in names if name.split(".")[0] == layer]
        if own:
            sums = (sum(rows[n] for n in own), sum(held[n] for n in own))
            megabytes = sum(sizes[n] for n in own)
            layers.append([layer, number(len(own)), *map(number, sums), number(megabytes, 1)])
    every = [[n, number(rows[n]), str(lake.version(n)), number(sizes[n], 1), number(held[n])] for n in names]
    last = runs(context)
    shown = [
        ("stays in the ICU", rows.get("silver.stays")), ("patients", rows.get("silver.patients")),
        ("measurements", rows.get("silver.events")), (f"stays of the {task.name} cohort", _cohort(rows, task)),
    ]  # fmt: skip
    return Section(
        "lake",
        "The lake at a glance",
        [
            tiles([(number(count), words) for words, count in shown if count is not None]),
            _sources(context),
            table(("layer", "tables", "rows", "rows in quarantine", "MB"), layers, "Layers"),
            details(f"All {len(names)} tables", table(("table", "rows", "version", "MB", "rows in quarantine"), every)),
            table(
                ("run", "verb", "started (UTC)", "tables built", "rows written", "quarantined", "seconds", "status"),
                [_run(run) for run in last[:5]],
                "Last runs",
            ),
        ],
    )


def _cohort(rows: dict[str, int], task: Task) -> int | None:
    return rows.get(f"gold.{task.name}_cohort")


def _run(run: Run) -> list[str]:
    counts = [number(run.built), number(run.rows), number(run.quarantined), number(run.seconds, 1)]
    return [run.run_id, run.verb, f"{run.started_at:%Y-%m-%d %H:%M}", *counts, run.status]


def _sources(context: Context) -> Markup:
    """What each source brought to silver."""
    if not context.lake.exists("silver.stays"):
        return note("The lake has no silver tables yet.")
    columns = ["source", "patient_id", "in_hospital_death"]
    stays = context.lake.read_arrow("silver.stays", columns).to_pandas()
    found = []
    for source, own in stays.groupby("source"):
        died = own["in_hospital_death"].dropna().astype(float)
        events = context.lake.row_count("silver.events", partition=("source", str(source)))
        share = f"{percent(died.mean())} of {number(len(died))}" if len(died) else "-"
        found.append([str(source), number(own["patient_id"].nunique()), number(len(own)), number(events), share])
    return table(("source", "patients", "stays", "measurements", "died in hospital"), found, "Sources")


def quality(context: Context) -> Section:
    """Whether every input row is accounted for, and which rows were refused or left out, by rule and reason."""
    try:
        found = accounts(context)
    except ContractError as error:
        return Section("quality", "Data quality", [note(str(error))])
    total = sum(account.total for account in found)
    refused = sum(account.rows["quarantined"] for account in found)
    by_table = _grouped(found, lambda account: account.node.split("[")[0])
    raw = [account for table_, own in by_table.items() for account in own if account.layer == "bronze"]
    summed = [_counted(f"bronze: {sum(name.startswith('bronze.') for name in by_table)} tables", raw)] if raw else []
    summed += [_counted(name, own) for name, own in by_table.items() if not name.startswith("bronze.")]
    by_input = _grouped(found, lambda account: (account.node, "raw files" if account in raw else account.input_named))
    every = [[node, name, *_counted("", own)[1:]] for (node, name), own in by_input.items()]
    return Section(
        "quality",
        "Data quality and reconciliation",
        [
            paragraph(
                "For every input of every table: rows in = written + merged + left out under a named reason + "
                f"quarantined; a table whose rows do not add up is not written. The books hold {number(total)} input "
                f"rows; {number(refused)} of them ({percent(refused / total if total else 0.0, 3)}) were quarantined."
            ),
            table(("table", *_COUNTS), summed, "Where every row went"),
            details("By source and input", table(("table", "input", *_COUNTS), every)),
            _reasons(found, "quarantined", "Quarantine, by rule", "No row was quarantined."),
            _warnings(context),
            _reasons(found, "left_out", "Left out on purpose, by reason", "No row was left out."),
            note(
                "Quarantined rows lie beside their table under the names of the rules that they broke. ",
                tag("code", "ehr reconcile"),
                " prints the same books.",
            ),
        ],
    )


_OUTCOMES = ("written", "merged", "left_out", "quarantined")
_COUNTS = ("input rows", "written", "merged", "left out", "quarantined")
Key = TypeVar("Key")


def _grouped(found: list[Account], key: Callable[[Account], Key]) -> dict[Key, list[Account]]:
    grouped: dict[Key, list[Account]] = defaultdict(list)
    for account in found:
        grouped[key(account)].append(account)
    return grouped


def _counted(name: str, of: list[Account]) -> list[str]:
    return [name, *map(number, (sum(a.total for a in of), *(sum(a.rows[o] for a in of) for o in _OUTCOMES)))]


def _reasons(found: list[Account], outcome: str, caption: str, none: str) -> Markup:
    """Rows by table and reason, all sources together, largest first."""
    counted: dict[tuple[str, str], int] = defaultdict(int)
    for account in found:
        for (kind, reason), rows in account.reasons.items():
            if kind == outcome:
                counted[account.node.split("[")[0], reason] += rows
    if not counted:
        return tag("div", tag("h3", caption), note(none))
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    inputs = {name: sum(a.total for a in own) for name, own in _grouped(found, lambda a: a.node.split("[")[0]).items()}
    told = [[name, reason, number(n), percent(n / inputs[name], 3)] for (name, reason), n in ordered]
    return table(("table", "rule or reason", "rows", "of its input"), told, caption)


def _warnings(context: Context) -> Markup:
    """Rows that were written although they broke a rule which only warns, at each table's last build."""
    last = {r["node"]: r for r in context.lake.records(RUNS.name) if r["status"] == "built"}
    broken = [(node, rule, n) for node, r in last.items() for rule, n in json.loads(r["warnings"] or "{}").items()]
    if not broken:
        return Markup("")
    rows = [[node, rule, number(n)] for node, rule, n in sorted(broken, key=lambda one: -one[2])]
    return table(("table", "rule", "rows"), rows, "Written with a warning, by rule")
