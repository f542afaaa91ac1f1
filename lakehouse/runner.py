"""Builds tables in the order of their inputs, skips what is up to date, records what became of every row."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lakehouse.building import Building
from lakehouse.code import digest_of
from lakehouse.commit import Committed, UnfitError
from lakehouse.dates import DateShift
from lakehouse.engines.deadline import Deadline
from lakehouse.errors import ContractError, LakehouseError, one_sentence
from lakehouse.increment import Increment, Increments, within
from lakehouse.io import Lake
from lakehouse.pseudonyms import Identifier
from lakehouse.records.ledger import Counts, Ledger, Outcome
from lakehouse.reference import dictionary_version
from lakehouse.registry import CONF_PREFIX, Node, Registry
from lakehouse.tasks import Task, load_task

Listener = Callable[[str, Outcome | None], None]
"""Called with a node's name when it starts (None) and when it ends (its outcome)."""


@dataclass
class Runner:
    """Runs nodes of a registry against a lake."""

    lake: Lake
    registry: Registry
    ledger: Ledger
    identify: Identifier
    run_id: str
    listener: Listener = lambda _node, _outcome: None
    load: Callable[[str], Task] = load_task
    shift: DateShift = field(default_factory=DateShift)
    deadline: Deadline = field(default_factory=Deadline)
    rows_a_round: int | None = None

    def __post_init__(self) -> None:
        self._building = Building(self.lake, self.registry, self.identify, self.shift, self.run_id, self.rows_a_round)
        self._increments = Increments(self.lake, self.registry.tables, self.ledger, self.identify)

    def run(self, nodes: Iterable[Node]) -> list[Outcome]:
        """Outcomes in order. A missing input is refused before anything runs; the first failure is recorded and
        raised, and what was built before it stays."""
        nodes = list(nodes)
        made = {node.table.name for node in nodes}
        for node in nodes:
            if self._has_no_raw(node):
                continue
            self._create_optional(node)
            missing = [name for name in node.table_inputs if name not in made and not self.lake.exists(name)]
            if missing:
                raise ContractError(
                    f"{node.name} needs {', '.join(missing)}, which the lake lacks: run the stage before it first."
                )
        return [self._run(node) for node in nodes]

    def _run(self, node: Node) -> Outcome:
        self.listener(node.name, None)
        started, clock = datetime.now(UTC), time.perf_counter()
        outcome = Outcome(node.name, node.table.name, "skipped")
        if node.mapping and self._has_no_raw(node):
            # Readers of the table find it, empty where no source has it.
            self.lake.create(node.table.name, node.table.columns, node.table.partition_by)
            outcome.note = f"no raw files of {node.mapping.source}"
            self.listener(node.name, outcome)
            return outcome
        task = self.load(node.table.task) if node.table.task else None
        versions = self._versions(node)
        fingerprint = self._fingerprint(node, versions, task)
        last = self.ledger.last_built(node.name)
        if last and last["fingerprint"] == fingerprint:
            outcome.status, outcome.rows_out, outcome.version = "unchanged", last["rows_out"], last["version"]
            outcome.rows_quarantined = last["rows_quarantined"]
            self.listener(node.name, outcome)
            return outcome
        record: dict[str, Any] = {"code": node.code, "fingerprint": fingerprint, "input_versions": versions}
        try:
            with self.deadline(node.name):
                counts = self._bring_up_to_date(node, task, versions, outcome, last)
        except Exception as error:
            outcome.status, outcome.seconds = "failed", time.perf_counter() - clock
            sentence = one_sentence(error)
            self.ledger.record_run(self.run_id, outcome, started, **record, error=sentence)
            if isinstance(error, LakehouseError):
                raise
            raise ContractError(f"{node.name} failed: {sentence}") from error
        outcome.status, outcome.seconds = "built", time.perf_counter() - clock
        record["fingerprint"] = self._fingerprint(node, versions, task)  # of a new table, now that it has an identity
        self.ledger.record_run(self.run_id, outcome, started, **record, counts=counts)
        self.listener(node.name, outcome)
        return outcome

    def _has_no_raw(self, node: Node) -> bool:
        """Whether the node maps a source of which the lake has no table at all."""
        raw = [name for name in node.mapping.inputs if self._is_raw(name)] if node.mapping else []
        return bool(raw) and not any(self.lake.exists(name) for name in raw)

    def _create_optional(self, node: Node) -> None:
        """Raw tables that a source need not bring are there, empty, for whoever reads them beside its others."""
        for name in node.table_inputs:
            table = self.registry.tables.get(name)
            if table and table.raw and table.raw.optional and not self.lake.exists(name):
                self.lake.create(name, table.columns, table.partition_by)

    def _is_raw(self, name: str) -> bool:
        return name in self.registry.tables and self.registry.tables[name].raw is not None

    def _versions(self, node: Node) -> dict[str, Any]:
        return {name: self._version(node, name) for name in node.inputs}

    def _version(self, node: Node, name: str) -> Any:
        if name.startswith(CONF_PREFIX):
            return dictionary_version(name, node.source)
        part = (
            self.ledger.last_built(f"{name}[{node.source}]") if within(node, self.registry.tables.get(name)) else None
        )
        return part["version"] if part else self.lake.data_version(name)

    def _fingerprint(self, node: Node, versions: dict[str, Any], task: Task | None) -> str:
        parts = [
            node.name,
            node.code,
            node.table.ddl,  # some contracts are written from a dictionary
            versions,
            # A table that was deleted and made anew starts at version 0 again.
            [self.lake.table_id(name) for name in (node.table.name, *node.table_inputs)],
            task.of_tables() if task else None,
            self.identify.fingerprint + self.shift.fingerprint,
        ]
        return digest_of(parts)

    def _bring_up_to_date(
        self, node: Node, task: Task | None, versions: dict[str, Any], outcome: Outcome, last: dict[str, Any] | None
    ) -> Counts:
        """Builds the node for the patients whose rows changed, or whole; fills the outcome, gives the whole table's
        accounts."""
        try:
            return self._build_increment(node, task, versions, outcome, self._increment(node, task, versions, last))
        except UnfitError:
            done = self._building.build(node, task, None, lambda done: self._account(node, outcome, done, versions))
        outcome.version, outcome.quarantine_version = done.version, done.quarantine_version
        return done.reconciliation

    def _increment(
        self, node: Node, task: Task | None, versions: dict[str, Any], last: dict[str, Any] | None
    ) -> Increment:
        """UnfitError unless nothing but rows of some patients changed since the last build."""
        before = json.loads(last["input_versions"]) if last else {}
        if last is None or not set(node.table_inputs) <= before.keys():
            raise UnfitError(f"{node.name} was not built before.")
        then = {**versions, **{name: before[name] for name in node.table_inputs}}
        if last["fingerprint"] != self._fingerprint(node, then, task):
            raise UnfitError(f"{node.name} was built by other code, or with another dictionary, task or key.")
        return self._increments.plan(node, last, versions)

    def _build_increment(
        self, node: Node, task: Task | None, versions: dict[str, Any], outcome: Outcome, increment: Increment
    ) -> Counts:
        nothing = Committed([], {})
        counted: Counts = {}

        def verify(done: Committed) -> None:
            old = self._building.count_before(node, task, increment) if increment.before else nothing
            scope = increment.scope
            for name, part, n in (
                (node.table.name, scope.table, old.rows("written")),
                (node.table.quarantine, scope.quarantine, old.rows("quarantined")),
            ):
                if part and self.lake.count(name, part) != n:
                    raise UnfitError(f"{name} has other rows of these patients than it should.")
            self._account(node, outcome, done, versions, increment, old)
            counted.update(increment.reconciliation(old, done))

        if not increment.patients:
            verify(nothing)
            outcome.version, outcome.quarantine_version = (increment.last[v] for v in ("version", "quarantine_version"))
            return counted
        done = self._building.build(node, task, increment, verify)
        outcome.version, outcome.quarantine_version = done.version, done.quarantine_version
        outcome.note = f"rows of {len(increment.patients):,} patients anew"
        return counted

    def _account(
        self,
        node: Node,
        outcome: Outcome,
        done: Committed,
        versions: dict[str, Any],
        increment: Increment | None = None,
        old: Committed | None = None,
    ) -> None:
        """Fills the outcome's counts, those of the whole table; ContractError where an input's rows do not add up."""

        def rows(column: str, *outcomes: str) -> int:
            n = done.rows(*outcomes)
            return increment.carried(column, old.rows(*outcomes), n) if increment and old else n

        outcome.rows_given, outcome.rows_out = rows("rows_given"), rows("rows_out", "written")
        outcome.rows_quarantined = rows("rows_quarantined", "quarantined")
        outcome.rows_left_out = rows("rows_left_out", "left_out")
        counts, outcome.warnings = done.reconciliation, done.warnings
        if increment and old:
            counts, outcome.warnings = increment.reconciliation(old, done), increment.warnings(old, done)
        outcome.rows_in = 0
        for name in node.consumes:
            there = self.lake.row_count(name)
            found = sum(n for (source, _, _), n in counts.items() if source == name)
            outcome.rows_in += there
            if there != found:
                sentence = f"{node.name} accounts for {found} of the {there} rows of {name} (version {versions[name]})."
                raise UnfitError(sentence) if increment else ContractError(sentence)
