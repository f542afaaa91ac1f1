"""Raw files into bronze, exactly once: new and changed files are read, the rows of a changed one are replaced."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.commit import Scope, commit
from lakehouse.csv_source import raw_data_error
from lakehouse.ddl import literal
from lakehouse.errors import ContractError, LakehouseError, one_sentence
from lakehouse.forgotten import NAMELESS, Forgotten
from lakehouse.io import ALL_ROWS, Lake
from lakehouse.ledger import Ledger, Outcome
from lakehouse.rawfiles import Inventory, RawFile, read_options
from lakehouse.registry import Registry
from lakehouse.runner import Listener
from lakehouse.table import FROM, Table

ACCOUNTED_FILES = 100
"""Up to so many files of one table are reconciled file by file; a folder of thousands of records is one input."""


@dataclass(frozen=True)
class Delivery:
    """What the raw folder holds for one table, against what was read before."""

    table: Table
    files: list[RawFile]
    new: list[RawFile]
    changed: list[RawFile]
    touched: list[RawFile]
    gone: list[str]

    @property
    def to_read(self) -> list[RawFile]:
        return [*self.new, *self.changed]

    @property
    def note(self) -> str:
        """What a person should know of it, in words."""
        parts = (
            [f"{len(self.changed)} changed, rows replaced: {_some(f.name for f in self.changed)}"]
            if self.changed
            else []
        )
        parts += [f"{len(self.gone)} no longer there, rows stay: {_some(self.gone)}"] if self.gone else []
        return "; ".join(parts)


@dataclass
class Ingestion:
    """Feeds the bronze tables of a registry from one raw folder."""

    lake: Lake
    registry: Registry
    ledger: Ledger
    run_id: str
    cores: int
    forgotten: Forgotten
    listener: Listener = lambda _node, _outcome: None

    def run(self, inventory: Inventory, only: str | None = None) -> list[Outcome]:
        """Outcomes by table, in the order of the contracts. Headers of all files are checked before any is read."""
        tables = [t for t in self.registry.raw_tables() if only is None or (t.raw and only in (t.name, t.raw.source))]
        found = inventory.recognise(self.registry.raw_tables())
        deliveries = [self._delivery(table, found.get(table.name, [])) for table in tables]
        options = {d.table.name: read_options(d.table, d.to_read, self.cores) for d in deliveries if d.to_read}
        for reader in self.registry.readers if options else ():
            self.lake.spark.dataSource.register(reader)
        return [self._ingest(d, options.get(d.table.name)) for d in deliveries if d.files or d.gone]

    def _delivery(self, table: Table, files: list[RawFile]) -> Delivery:
        if self.forgotten.digests and table.raw and table.raw.patient:
            files = [f for f in files if not self.forgotten.names_one(table.raw.source, f.name)]
        known = {name: r for name, r in self.ledger.files(table.name).items() if self.lake.exists(table.name)}
        new = [f for f in files if f.name not in known]
        # An unchanged size and time spare the hashing; another time with the same content is a touched file.
        suspect = [f for f in files if f.name in known and not _unmoved(f, known[f.name])]
        changed = [f for f in suspect if f.sha256 != known[f.name]["sha256"]]
        touched = [f for f in suspect if f.sha256 == known[f.name]["sha256"]]
        gone = set(known) - {f.name for f in files}
        return Delivery(table, files, new, changed, touched, sorted(n for n in gone if not n.startswith(NAMELESS)))

    def _ingest(self, delivery: Delivery, options: dict[str, str] | None) -> Outcome:
        table = delivery.table
        self.listener(table.name, None)
        started, clock = datetime.now(UTC), time.perf_counter()
        outcome = Outcome(table.name, table.name, "unchanged", note=delivery.note)
        if options is None:
            self._remember(delivery.touched, table, started)
            outcome.rows_out, outcome.version = self.lake.row_count(table.name), self.lake.version(table.name)
            self.listener(table.name, outcome)
            return outcome
        try:
            done = commit(
                self.lake,
                table,
                self._read(delivery, options, started),
                node=table.name,
                run_id=self.run_id,
                scope=self._scope(delivery),
                default_from="raw files",
            )
        except Exception as error:
            self._fail(outcome, error, started, time.perf_counter() - clock)
            raise
        outcome.status, outcome.seconds = "built", time.perf_counter() - clock
        outcome.rows_in = outcome.rows_given = done.rows()
        outcome.rows_out, outcome.rows_quarantined = done.rows("written"), done.rows("quarantined")
        outcome.rows_left_out = done.rows("left_out")
        outcome.version, outcome.quarantine_version = done.version, done.quarantine_version
        self._remember([*delivery.to_read, *delivery.touched], table, started)
        rows = [
            {"run_id": self.run_id, "node": table.name, "input": i, "outcome": o, "reason": r, "rows": n}
            for (i, o, r), n in sorted(done.reconciliation.items())
        ]
        files = {f.name: f.sha256 for f in delivery.to_read[:100]}
        self.ledger.record_run(
            self.run_id, outcome, started, code="", fingerprint="", input_versions=files, reconciliation=rows
        )
        self.listener(table.name, outcome)
        return outcome

    def _fail(self, outcome: Outcome, error: Exception, started: datetime, seconds: float) -> None:
        outcome.status, outcome.seconds = "failed", seconds
        raw_error = raw_data_error(str(error))
        sentence = str(raw_error) if raw_error else one_sentence(error)
        self.ledger.record_run(
            self.run_id, outcome, started, code="", fingerprint="", input_versions={}, error=sentence
        )
        if raw_error:
            raise raw_error from error
        if not isinstance(error, LakehouseError):
            raise ContractError(f"{outcome.node} failed: {sentence}") from error

    def _read(self, delivery: Delivery, options: dict[str, str], now: datetime) -> DataFrame:
        assert delivery.table.raw is not None
        frame = self.lake.spark.read.format(delivery.table.raw.reader).options(**options).load()
        # A reader gives times as published, without a zone; the session's zone makes them UTC.
        times = {
            c.name: F.col(c.name).cast("timestamp")
            for c in delivery.table.columns
            if c.type == "TIMESTAMP" and c.name in frame.columns
        }
        frame = frame.withColumns({**times, "_ingested_at": F.lit(now), "_batch_id": F.lit(self.run_id)})
        frame = self.forgotten.leave_out(frame, delivery.table)
        return frame.withColumn(FROM, F.col("_source_file")) if len(delivery.to_read) <= ACCOUNTED_FILES else frame

    def _scope(self, delivery: Delivery) -> Scope:
        """The rows of the files to be read: none on a first load, those of an earlier try or an older content else."""
        others = set(self.ledger.files(delivery.table.name)) - {f.name for f in delivery.to_read}
        if not others:
            return Scope(ALL_ROWS, ALL_ROWS)
        names = ", ".join(literal(f.name) for f in delivery.to_read)
        return Scope(f"_source_file IN ({names})", f"_source_file IN ({names})")

    def _remember(self, files: list[RawFile], table: Table, now: datetime) -> None:
        records: list[dict[str, Any]] = [
            {
                "table": table.name,
                "file": f.name,
                "batch_id": self.run_id,
                "size": f.size,
                "modified_ns": f.mtime_ns,
                "sha256": f.sha256,
                "ingested_at": now,
            }
            for f in files
        ]
        self.ledger.record_files(records)


def _unmoved(file: RawFile, record: dict[str, Any]) -> bool:
    return bool(file.size == record["size"] and file.mtime_ns == record["modified_ns"])


def _some(names: Any, most: int = 3) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
