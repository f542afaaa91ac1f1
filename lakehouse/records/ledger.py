"""What the lake knows of itself: `ops.runs`, `ops.files`, `ops.reconciliation`, appended as tables are built.

Nothing is ever taken out of them. What a restore took back is passed over when they are read: `snapshots.py`.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakehouse.records.audit import AUDIT
from lakehouse.records.forgotten import FORGOTTEN
from lakehouse.records.snapshots import SNAPSHOTS, Snapshots, Span, is_in_force, spans_in_force
from lakehouse.table import Table

if TYPE_CHECKING:
    from lakehouse.io import Lake

RUNS = Table(
    name="ops.runs",
    description="One row a table (or part of one) that a run built, found unchanged, or failed at.",
    key=("run_id", "node"),
    mode="append",
    ddl="""
    run_id STRING NOT NULL COMMENT 'the run: time and a random tail',
    node STRING NOT NULL COMMENT 'table, or table[source]',
    table STRING NOT NULL COMMENT 'layer.table',
    status STRING NOT NULL COMMENT 'built or failed',
    code STRING COMMENT 'digest of the code behind the table',
    fingerprint STRING COMMENT 'digest of code, input versions, task and key: an equal one means nothing to do',
    input_versions STRING COMMENT 'JSON: version of each input',
    version BIGINT COMMENT 'version of the table that this run left',
    quarantine_version BIGINT COMMENT 'version of the quarantine table that this run left',
    rows_in BIGINT COMMENT 'rows of the consumed inputs (raw rows for bronze)',
    rows_given BIGINT COMMENT 'rows that the function gave',
    rows_out BIGINT COMMENT 'rows written',
    rows_quarantined BIGINT COMMENT 'rows that broke an error rule',
    rows_left_out BIGINT COMMENT 'rows left out on purpose, under a named reason',
    warnings STRING COMMENT 'JSON: rows by broken warn rule',
    started_at TIMESTAMP COMMENT 'UTC',
    seconds DOUBLE COMMENT 'wall time, s',
    engine STRING COMMENT 'sail, spark or databricks',
    error STRING COMMENT 'one sentence, for a failed one'
    """,
)
FILES = Table(
    name="ops.files",
    description="One row a raw file that was read, at each of its contents, and one when it was gone; the last row "
    "of a file is in force.",
    key=("table", "file", "batch_id"),
    mode="append",
    ddl="""
    table STRING NOT NULL COMMENT 'bronze table that the file feeds',
    file STRING NOT NULL COMMENT 'path relative to the raw folder',
    batch_id STRING NOT NULL COMMENT 'batch that read it',
    size BIGINT COMMENT 'bytes',
    modified_ns BIGINT COMMENT 'modification time, ns: an unchanged one spares the hashing',
    sha256 STRING COMMENT 'digest of the content; null: the file is gone, its rows were taken out',
    ingested_at TIMESTAMP COMMENT 'UTC'
    """,
)
RECONCILIATION = Table(
    name="ops.reconciliation",
    description="Where every row of a consumed input went, by run, table and outcome.",
    key=("run_id", "node", "input", "outcome", "reason"),
    mode="append",
    ddl="""
    run_id STRING NOT NULL COMMENT 'the run',
    node STRING NOT NULL COMMENT 'table, or table[source], that consumed the rows',
    input STRING NOT NULL COMMENT 'consumed table, or derived for rows made here',
    outcome STRING NOT NULL COMMENT 'written, merged, left_out or quarantined',
    reason STRING NOT NULL COMMENT 'named reason; the broken rules for quarantined',
    rows BIGINT NOT NULL COMMENT 'input rows'
    """,
)
TABLES = (RUNS, FILES, RECONCILIATION, SNAPSHOTS, FORGOTTEN, AUDIT)


def new_run_id(now: datetime | None = None) -> str:
    """Sorts by time and never repeats, e.g. `20261124T053000-1f9c`."""
    return f"{now or datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"


Counts = dict[tuple[str, str, str], int]
"""Input rows by input, outcome and reason."""
RAW_OUTCOMES = ("written", "quarantined", "left_out")


@dataclass
class Outcome:
    """What became of one node in one run; `status` is built, unchanged, skipped or failed."""

    node: str
    table: str
    status: str
    rows_in: int = 0
    rows_given: int = 0
    rows_out: int = 0
    rows_quarantined: int = 0
    rows_left_out: int = 0
    seconds: float = 0.0
    version: int | None = None
    quarantine_version: int | None = None
    warnings: dict[str, int] = field(default_factory=dict)
    note: str = ""

    def count(self, counts: Counts) -> None:
        """Fills the rows of a raw table, of which each is written, quarantined or left out."""
        by = {o: sum(n for (_, outcome, _), n in counts.items() if outcome == o) for o in RAW_OUTCOMES}
        self.rows_in = self.rows_given = sum(by.values())
        self.rows_out, self.rows_quarantined, self.rows_left_out = by.values()


class Ledger:
    """Reads and appends the `ops` tables; keeps what it read in memory for the length of a run."""

    def __init__(self, lake: Lake, engine: str) -> None:
        self._lake = lake
        self._engine = engine
        self._built: list[dict[str, Any]] | None = None
        self._last: dict[str, dict[str, Any]] = {}
        self._counts: dict[tuple[str, str], Counts] | None = None
        self._files: dict[str, dict[str, dict[str, Any]]] | None = None
        self._spans: list[Span] | None = None

    def in_force(self, records: list[dict[str, Any]], when: str) -> list[dict[str, Any]]:
        """Those that no restore took back, in order of the time in the column `when`."""
        if self._spans is None:
            self._spans = spans_in_force(Snapshots(self._lake).all())
        return sorted((r for r in records if is_in_force(r[when], self._spans)), key=lambda r: r[when])

    def runs(self) -> list[dict[str, Any]]:
        """The records of `ops.runs` that are in force, in order."""
        return self.in_force(self._lake.records(RUNS.name), "started_at")

    def _builds(self) -> list[dict[str, Any]]:
        if self._built is None:
            self._built = [r for r in self.runs() if r["status"] == "built"]
            self._last = {r["node"]: r for r in self._built}
        return self._built

    def last_built(self, node: str) -> dict[str, Any] | None:
        """The record of the last time that the node was built."""
        self._builds()
        return self._last.get(node)

    def written(self, table: str, column: str = "version") -> set[int]:
        """Versions of a table (or by `quarantine_version` of its quarantine) that recorded builds left."""
        return {r[column] for r in self._builds() if r["table"] == table and r[column] is not None}

    def reconciled(self, node: str, run_id: str) -> Counts:
        """Input rows of one build by (input, outcome, reason)."""
        if self._counts is None:
            self._counts = {}
            self._count(self._lake.records(RECONCILIATION.name))
        return dict(self._counts.get((node, run_id), {}))

    def _count(self, records: list[dict[str, Any]]) -> None:
        assert self._counts is not None
        for r in records:
            self._counts.setdefault((r["node"], r["run_id"]), {})[r["input"], r["outcome"], r["reason"]] = r["rows"]

    def record_run(
        self,
        run_id: str,
        outcome: Outcome,
        started_at: datetime,
        *,
        code: str,
        fingerprint: str,
        input_versions: dict[str, Any],
        counts: Counts | None = None,
        error: str | None = None,
    ) -> None:
        """Appends the outcome (and `counts`, how its rows reconcile) in one commit a table."""
        record = {
            **asdict(outcome),
            "run_id": run_id,
            "code": code,
            "fingerprint": fingerprint,
            "input_versions": json.dumps(input_versions, sort_keys=True),
            "warnings": json.dumps(outcome.warnings, sort_keys=True),
            "started_at": started_at,
            "engine": self._engine,
            "error": error,
        }
        reconciliation = [
            {"run_id": run_id, "node": outcome.node, "input": i, "outcome": o, "reason": r, "rows": n}
            for (i, o, r), n in sorted((counts or {}).items())
        ]
        self._lake.append_records(RECONCILIATION.name, RECONCILIATION.columns, reconciliation)
        self._lake.append_records(RUNS.name, RUNS.columns, [record])
        if self._built is not None and outcome.status == "built":
            self._built.append(record)
            self._last[outcome.node] = record
        if self._counts is not None:
            self._count(reconciliation)

    def files(self, table: str) -> dict[str, dict[str, Any]]:
        """The record in force of each file that fed a bronze table, by the file's name."""
        if self._files is None:
            self._files = {}
            self._keep(self.in_force(self._lake.records(FILES.name), "ingested_at"))
        return dict(self._files.get(table, {}))

    def _keep(self, records: list[dict[str, Any]]) -> None:
        assert self._files is not None
        for record in records:
            self._files.setdefault(record["table"], {})[record["file"]] = record
            if record["sha256"] is None:
                del self._files[record["table"]][record["file"]]

    def record_files(self, records: list[dict[str, Any]]) -> None:
        if self._files is not None:
            self._keep(records)
        self._lake.append_records(FILES.name, FILES.columns, records)
