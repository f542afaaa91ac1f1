"""What was run on the lake: each run with its verb, the tables that it built, rows, seconds and how it ended."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.table import Table as RichTable

from jobs.context import Context
from lakehouse.errors import ContractError
from lakehouse.records.ledger import RUNS
from lakehouse.records.snapshots import Snapshot, Snapshots

_COLORS = {"failed": "red", "killed": "red", "running": "yellow"}


@dataclass(frozen=True)
class Run:
    """One run. `status` is finished, failed, running, or killed; a run of a single stage from code has no verb."""

    run_id: str
    verb: str
    status: str
    started_at: datetime
    seconds: float
    built: int
    rows: int
    quarantined: int
    note: str


def runs(context: Context) -> list[Run]:
    """Every run that changed the lake, the last one first; ContractError where there is none."""
    records: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in context.lake.records(RUNS.name):
        records[record["run_id"]].append(record)
    ended: dict[str, Snapshot] = {s.run_id: s for s in Snapshots(context.lake).all()}
    if not records and not ended:
        raise ContractError(f"the lake {context.lake.root} has no run yet: start with ehr run.")
    holder, at_work = context.lake.writer()
    named = holder.run_id if holder else None
    found = [_run(name, records[name], ended.get(name), at_work and name == named) for name in {*records, *ended}]
    return sorted(found, key=lambda run: (run.started_at, run.run_id), reverse=True)


def _run(run_id: str, records: list[dict[str, Any]], snapshot: Snapshot | None, at_work: bool) -> Run:
    begins = [r["started_at"] for r in records]
    built = [r for r in records if r["status"] == "built"]
    failed = [r for r in records if r["status"] == "failed"]
    status = "running" if at_work else "failed" if failed else "killed"
    if snapshot and snapshot.status != "begun":
        status = snapshot.status
    note = f"as run {snapshot.restored} left the lake" if snapshot and snapshot.restored else ""
    return Run(
        run_id,
        snapshot.verb if snapshot else "",
        status,
        snapshot.started_at if snapshot else min(begins),
        (snapshot.ended_at - snapshot.started_at).total_seconds() if snapshot else sum(r["seconds"] for r in records),
        len({r["table"] for r in built}),
        sum(r["rows_out"] or 0 for r in built),
        sum(r["rows_quarantined"] or 0 for r in built),
        note or "; ".join(f"{r['node']}: {r['error']}" for r in failed),
    )


def as_table(found: list[Run]) -> RichTable:
    """A row a run."""
    view = RichTable(header_style="bold")
    for column in ("run", "verb", "started (UTC)"):
        view.add_column(column, no_wrap=True)
    for column in ("tables built", "rows", "quarantined", "seconds"):
        view.add_column(column, justify="right")
    view.add_column("status")
    view.add_column("note", overflow="fold")
    for run in found:
        color = _COLORS.get(run.status)
        view.add_row(
            run.run_id,
            run.verb,
            f"{run.started_at:%Y-%m-%d %H:%M:%S}",
            f"{run.built:,}",
            f"{run.rows:,}",
            f"{run.quarantined:,}",
            f"{run.seconds:.1f}",
            f"[{color}]{run.status}[/]" if color else run.status,
            run.note,
        )
    return view
