"""Which versions belong together: `ops.snapshots` tells of each run what every table was when it ended.

Delta commits one table at a time, so a lake between two commits is of two minds. The state that a run left is the unit
that readers pin, that `ehr diff` compares and that `ehr restore` brings back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from lakehouse.errors import ConfigError, ContractError
from lakehouse.records.audit import AUDIT
from lakehouse.state import State
from lakehouse.table import Table

if TYPE_CHECKING:
    from lakehouse.io import Lake

SNAPSHOTS = Table(
    name="ops.snapshots",
    description="One row a run that changed the lake: every table's version as it left them, which belong together.",
    key=("run_id", "status"),
    mode="append",
    ddl="""
    run_id STRING NOT NULL COMMENT 'the run',
    verb STRING NOT NULL COMMENT 'what it was: run, ingest, restore, ...',
    status STRING NOT NULL COMMENT 'finished, failed, or begun (a restore, before it changes the first table)',
    restored STRING COMMENT 'of a restore: the run whose state it brings back',
    started_at TIMESTAMP NOT NULL COMMENT 'UTC',
    ended_at TIMESTAMP NOT NULL COMMENT 'UTC',
    versions STRING COMMENT 'JSON: version of each table',
    table_ids STRING COMMENT 'JSON: identity of each table; another one is a table that was made anew'
    """,
)
UNTOLD = (SNAPSHOTS.name, AUDIT.name)
"""Tables of which no snapshot tells: itself, and one to which readers append while a run is at work."""
Status = Literal["finished", "failed", "begun"]


@dataclass(frozen=True)
class Snapshot:
    """The lake as a run left it."""

    run_id: str
    verb: str
    status: Status
    restored: str | None
    started_at: datetime
    ended_at: datetime
    tables: dict[str, State]

    def of_layers(self) -> dict[str, State]:
        """Its tables without the lake's own, which only ever grow."""
        return {name: state for name, state in self.tables.items() if not name.startswith("ops.")}


class Snapshots:
    """Reads and appends `ops.snapshots`."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def all(self) -> list[Snapshot]:
        """In the order in which they were made."""
        records = sorted(self._lake.records(SNAPSHOTS.name), key=lambda r: r["ended_at"])
        return [
            Snapshot(
                **{k: v for k, v in record.items() if k not in ("versions", "table_ids")},
                tables=_states(json.loads(record["table_ids"]), json.loads(record["versions"])),
            )
            for record in records
        ]

    def ended(self) -> list[Snapshot]:
        """Those of runs that came to an end, well or not."""
        return [snapshot for snapshot in self.all() if snapshot.status != "begun"]

    def find(self, run: str) -> Snapshot:
        """The state that a run left: by its id, by what no other id begins with, or `last`. ConfigError where there is
        none."""
        ended = self.ended()
        if run == "last" and ended:
            return ended[-1]
        found = [s for s in ended if s.run_id == run] or [s for s in ended if s.run_id.startswith(run)]
        if len({s.run_id for s in found}) == 1:
            return found[-1]
        if found:
            raise ConfigError(f"{len(found)} runs begin with {run}: {', '.join(s.run_id for s in found[:3])}, ...")
        hint = f"the last one is {ended[-1].run_id}, `ehr runs` lists all" if ended else "there is none yet"
        raise ConfigError(f"the lake {self._lake.root} has no finished run {run} that changed it; {hint}.")

    def record(
        self, run_id: str, verb: str, status: Status, started_at: datetime, restored: str | None = None
    ) -> Snapshot | None:
        """Appends the state that the lake is in now; nothing where it is that of the last snapshot, or no lake at all.

        A restore that was begun or finished is recorded in any case: what is in force depends on it.
        """
        tables = self._lake.states()
        for name in UNTOLD:
            tables.pop(name, None)
        ended = self.ended()
        if (restored is None or status == "failed") and tables == (ended[-1].tables if ended else {}):
            return None
        made = Snapshot(run_id, verb, status, restored, started_at, datetime.now(UTC), tables)
        record = {
            **{k: v for k, v in vars(made).items() if k != "tables"},
            "versions": json.dumps({name: state.version for name, state in sorted(tables.items())}),
            "table_ids": json.dumps({name: state.id for name, state in sorted(tables.items())}),
        }
        self._lake.append_records(SNAPSHOTS.name, SNAPSHOTS.columns, [record])
        return made

    def check_no_restore_is_half_done(self) -> None:
        """ContractError where a restore was killed: half of the tables are those of one run, half of another."""
        pending: Snapshot | None = None
        for snapshot in self.all():
            if snapshot.restored and snapshot.status != "failed":
                pending = snapshot if snapshot.status == "begun" else None
        if pending:
            raise ContractError(
                f"a restore of run {pending.restored} did not come to its end: "
                f"run ehr restore {pending.restored} again before anything else."
            )


def _states(ids: dict[str, str], versions: dict[str, int]) -> dict[str, State]:
    return {name: State(ids[name], version) for name, version in versions.items()}


Span = tuple[datetime, datetime]


def spans_in_force(snapshots: Iterable[Snapshot]) -> list[Span]:
    """Spans of time (after, up to and including) in which what was recorded still holds.

    A restore takes back all that happened between the end of the run that it went back to and itself; a later restore
    may bring that in force again. One run at a time writes, so that times are an order.
    """
    ended = [s for s in snapshots if s.status != "begun"]
    ends = {s.run_id: s.ended_at for s in ended}
    spans, until = [], datetime.max.replace(tzinfo=UTC)
    for snapshot in reversed(ended):
        if snapshot.restored and snapshot.status == "finished" and snapshot.ended_at <= until:
            spans.append((snapshot.ended_at, until))
            until = ends[snapshot.restored]
    return [*spans, (datetime.min.replace(tzinfo=UTC), until)]


def is_in_force(at: datetime, spans: Iterable[Span]) -> bool:
    return any(after < at <= until for after, until in spans)
