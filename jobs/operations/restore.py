"""The whole lake as a run left it: every table at the version of that run, tables that came later withdrawn.

Nothing is lost: each table gets a new version with the rows of the old one, a withdrawn table is kept aside, and the
records of what happened since stay in `ops`. So a restore can itself be taken back by restoring a later run, until
`ehr maintain` deletes what the settings say is old.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from rich.table import Table as RichTable

from jobs.context import Context
from lakehouse.errors import ContractError
from lakehouse.io import Lake
from lakehouse.records.snapshots import Snapshot, Snapshots
from lakehouse.state import State

Action = Literal["put back", "withdrawn", "brought back"]


@dataclass(frozen=True)
class Step:
    """What is to be done with one table, or was."""

    table: str
    action: Action
    state: State


def restore(context: Context, run: str) -> list[Step]:
    """Makes the lake what it was when `run` ended, and records that as a run of its own.

    ConfigError where no such run ended; ContractError where a file of its tables is gone, before anything is changed.
    Repeating a restore that was killed finishes it.
    """
    lake, snapshots = context.lake, Snapshots(context.lake)
    target = snapshots.find(run)
    with context.writing("restore", restores=target.run_id):
        steps = plan(lake, target)
        if lost := [step.table for step in steps if not _can_be_done(lake, step)]:
            more = f" and {len(lost) - 1} more tables" if len(lost) > 1 else ""
            raise ContractError(
                f"files of {lost[0]}{more} as run {target.run_id} left it are gone from the lake {lake.root}: "
                "nothing was restored."
            )
        snapshots.record(context.run_id, "restore", "begun", datetime.now(UTC), restored=target.run_id)
        for step in steps:
            _do(context, step)
    return steps


def plan(lake: Lake, target: Snapshot) -> list[Step]:
    """What differs from the state that the run left, table by table; the lake's own tables keep what they know."""
    wanted, there = target.of_layers(), {n: s for n, s in lake.states().items() if not n.startswith("ops.")}
    steps = []
    for name in sorted({*wanted, *there}):
        state, now = wanted.get(name), there.get(name)
        if now and (state is None or state.id != now.id):
            steps.append(Step(name, "withdrawn", now))
        if state and (now is None or state.id != now.id):
            steps.append(Step(name, "brought back", state))
        elif state and lake.data_version(name) != lake.data_version(name, state.version):
            steps.append(Step(name, "put back", state))
    return steps


def _can_be_done(lake: Lake, step: Step) -> bool:
    match step.action:
        case "put back":
            return lake.is_whole(step.table, step.state.version)
        case "brought back":
            return lake.can_recall(step.table, step.state.id, step.state.version)
        case _:
            return True


def _do(context: Context, step: Step) -> None:
    lake = context.lake
    if step.action == "withdrawn":
        lake.withdraw(step.table, context.run_id)
        return
    if step.action == "brought back":
        lake.recall(step.table, step.state.id)
    if lake.data_version(step.table) != lake.data_version(step.table, step.state.version):
        lake.restore(step.table, step.state.version)


def as_table(steps: list[Step]) -> RichTable:
    """A row a table that was changed."""
    view = RichTable(header_style="bold")
    view.add_column("table")
    view.add_column("what was done")
    view.add_column("version of the run", justify="right")
    for step in steps:
        view.add_row(step.table, step.action, "" if step.action == "withdrawn" else str(step.state.version))
    return view
