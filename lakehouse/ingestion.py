"""Raw files into bronze, exactly once: new and changed files are read, the rows of a changed one are replaced."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.commit import Committed, Scope, UnfitError, commit, take_out
from lakehouse.engines.deadline import Deadline
from lakehouse.errors import ContractError, LakehouseError, one_sentence
from lakehouse.feeds.csv_source import raw_data_error
from lakehouse.feeds.delivery import Delivery
from lakehouse.feeds.drift import drift
from lakehouse.feeds.rawfiles import Inventory, RawFile, read_options
from lakehouse.feeds.reading import read_source
from lakehouse.io import Lake
from lakehouse.part import Part
from lakehouse.records.forgotten import Forgotten
from lakehouse.records.ledger import Counts, Ledger, Outcome
from lakehouse.registry import Registry
from lakehouse.runner import Listener
from lakehouse.table import BATCH_ID, FROM, INGESTED_AT, RULES, SOURCE_FILE, Table

ACCOUNTED_FILES = 100
"""A table of up to so many files is reconciled file by file; a folder of thousands of records is one input."""
RAW_FILES = "raw files"
"""The input under which the rows of many files are accounted for together."""


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
    accept_removed: bool = False
    deadline: Deadline = field(default_factory=Deadline)

    def run(self, inventory: Inventory, only: str | None = None) -> list[Outcome]:
        """Outcomes by table, in the order of the contracts. Headers of all files are checked before any is read.

        RawDataError where most files of a table are gone, unless `accept_removed`.
        """
        tables = [t for t in self.registry.raw_tables() if only is None or (t.raw and only in (t.name, t.raw.source))]
        found = inventory.recognise(self.registry.raw_tables())
        deliveries = [self._delivery(table, found.get(table.name, []), inventory) for table in tables]
        options = {d.table.name: read_options(d.table, d.to_read, self.cores) for d in deliveries if d.to_read}
        return [self._ingest(d, options.get(d.table.name)) for d in deliveries if d.files or d.gone]

    def _delivery(self, table: Table, files: list[RawFile], inventory: Inventory) -> Delivery:
        if self.forgotten.digests and table.raw and table.raw.patient:
            files = [f for f in files if not self.forgotten.names_one(table.raw.source, f.name)]
        known = self._known(table)
        delivery = Delivery.of(table, files, known, inventory.copies.get(table.name, {}))
        if not self.accept_removed:
            delivery.check_not_emptied(known)
        return delivery.of_all_files() if self._must_read_all(delivery, known) else delivery

    def _must_read_all(self, delivery: Delivery, known: Mapping[str, Any]) -> bool:
        """Whether the rows of files that stay could not be accounted for unless they are read again."""
        table = delivery.table
        if not (delivery.to_read or delivery.gone or self._is_recorded(table)):
            return True  # a run was killed after it wrote and before it said what
        # What was counted of many files together is no account of single ones, nor of those without the forgotten.
        if _one_by_one(delivery.files):
            return bool(known) and any(name == RAW_FILES for name, _, _ in self._last_counts(table))
        return bool(self.forgotten.digests and (delivery.changed or delivery.gone))

    def _is_recorded(self, table: Table) -> bool:
        """Whether the ledger accounts for the rows that the table has."""
        last = self.ledger.last_built(table.name)
        return not self.lake.exists(table.name) or bool(last and last["version"] == self.lake.data_version(table.name))

    def _known(self, table: Table) -> dict[str, dict[str, Any]]:
        return self.ledger.files(table.name) if self.lake.exists(table.name) else {}

    def _last_counts(self, table: Table) -> Counts:
        last = self.ledger.last_built(table.name)
        return self.ledger.reconciled(table.name, last["run_id"]) if last else {}

    def _ingest(self, delivery: Delivery, options: dict[str, str] | None) -> Outcome:
        table = delivery.table
        self.listener(table.name, None)
        started, clock = datetime.now(UTC), time.perf_counter()
        outcome = Outcome(table.name, table.name, "unchanged", note=delivery.note)
        if options is None and not delivery.gone:
            self._remember(delivery.touched, [], table, started)
            outcome.rows_out, outcome.version = self.lake.row_count(table.name), self.lake.version(table.name)
            self.listener(table.name, outcome)
            return outcome
        try:
            with self.deadline(table.name):
                try:
                    done = self._commit(delivery, options, started)
                except UnfitError:
                    delivery = delivery.of_all_files()
                    done = self._commit(delivery, read_options(table, delivery.to_read, self.cores), started)
        except Exception as error:
            self._fail(outcome, error, started, time.perf_counter() - clock)
            raise
        counts = done.reconciliation if _one_by_one(delivery.files) else self._counts_together(table, done)
        outcome.count(counts)
        outcome.status, outcome.seconds = "built", time.perf_counter() - clock
        changes, outcome.warnings = drift(self.lake, table, done, self.run_id)
        outcome.note = "; ".join(filter(None, [delivery.note, *changes]))
        outcome.version, outcome.quarantine_version = done.version, done.quarantine_version
        self._remember([*delivery.to_read, *delivery.touched], delivery.gone, table, started)
        files = {f.name: f.sha256 for f in delivery.to_read[:100]}
        self.ledger.record_run(
            self.run_id, outcome, started, code="", fingerprint="", input_versions=files, counts=counts
        )
        self.listener(table.name, outcome)
        return outcome

    def _commit(self, delivery: Delivery, options: dict[str, str] | None, started: datetime) -> Committed:
        table, scope = delivery.table, self._scope(delivery)
        if options is None:
            return take_out(self.lake, table, scope)
        return commit(
            self.lake,
            table,
            self._read(delivery, options, started),
            node=table.name,
            run_id=self.run_id,
            scope=scope,
            default_from=RAW_FILES,
            verify=delivery.check_unmoved,
        )

    def _counts_together(self, table: Table, done: Committed) -> Counts:
        """What became of the rows of all files together: those that are stored, and those that never will be."""
        counts: Counts = {(RAW_FILES, "written", ""): self.lake.row_count(table.name)}
        refused = self.lake.read_arrow(table.quarantine, [RULES]) if self.lake.exists(table.quarantine) else None
        for rules in refused.column(RULES).to_pylist() if refused else ():
            key = (RAW_FILES, "quarantined", " ".join(rules))
            counts[key] = counts.get(key, 0) + 1
        for source in (self._last_counts(table), done.reconciliation):
            for (_, outcome, reason), n in source.items():
                if outcome == "left_out":
                    key = (RAW_FILES, outcome, reason)
                    counts[key] = counts.get(key, 0) + n
        return {key: n for key, n in counts.items() if n}

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
        frame = read_source(self.lake.spark, self.registry.readers[delivery.table.raw.reader], options)
        # A reader gives times as published, without a zone; the session's zone makes them UTC.
        times = {
            c.name: F.col(c.name).cast("timestamp")
            for c in delivery.table.columns
            if c.type == "TIMESTAMP" and c.name in frame.columns
        }
        frame = frame.withColumns({**times, INGESTED_AT: F.lit(now), BATCH_ID: F.lit(self.run_id)})
        frame = self.forgotten.leave_out(frame, delivery.table)
        return frame.withColumn(FROM, F.col(SOURCE_FILE)) if _one_by_one(delivery.files) else frame

    def _scope(self, delivery: Delivery) -> Scope:
        """Rows of all files but those that stay: of an older content, of files that are gone, of a killed try."""
        table = delivery.table
        read = {f.name for f in delivery.to_read}
        staying = {name for name in self._known(table) if name not in read and name not in delivery.gone}
        if not staying:
            return Scope()

        def part(name: str) -> Part:
            there = self.lake.values(name, SOURCE_FILE) if self.lake.exists(name) else frozenset()
            return Part(SOURCE_FILE, frozenset(there | read) - staying)

        return Scope(part(table.name), part(table.quarantine))

    def _remember(self, files: list[RawFile], gone: list[str], table: Table, now: datetime) -> None:
        told: list[dict[str, Any]] = [
            {"file": f.name, "size": f.size, "modified_ns": f.mtime_ns, "sha256": f.sha256} for f in files
        ]
        told += [{"file": name, "size": None, "modified_ns": None, "sha256": None} for name in gone]
        self.ledger.record_files(
            [{"table": table.name, "batch_id": self.run_id, "ingested_at": now, **record} for record in told]
        )


def _one_by_one(files: list[RawFile]) -> bool:
    return len(files) <= ACCOUNTED_FILES
