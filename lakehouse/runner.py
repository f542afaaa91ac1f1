"""Builds tables in the order of their inputs, skips what is up to date, records what became of every row."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.code import digest_of
from lakehouse.commit import Committed, Scope, commit
from lakehouse.dates import DateShift
from lakehouse.errors import ContractError, LakehouseError, one_sentence
from lakehouse.io import Lake
from lakehouse.ledger import Ledger, Outcome
from lakehouse.pseudonyms import Identifier
from lakehouse.reference import dictionary_frame, dictionary_version
from lakehouse.registry import CONF_PREFIX, Node, Registry, parameters
from lakehouse.table import MAPPED, Rule
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
            done = self._build(node, task, lambda done: self._account(node, outcome, done, versions))
        except Exception as error:
            outcome.status, outcome.seconds = "failed", time.perf_counter() - clock
            sentence = one_sentence(error)
            self.ledger.record_run(self.run_id, outcome, started, **record, error=sentence)
            if isinstance(error, LakehouseError):
                raise
            raise ContractError(f"{node.name} failed: {sentence}") from error
        outcome.status, outcome.seconds = "built", time.perf_counter() - clock
        outcome.version, outcome.quarantine_version = done.version, done.quarantine_version
        record["fingerprint"] = self._fingerprint(node, versions, task)  # of a new table, now that it has an identity
        rows = [
            {"run_id": self.run_id, "node": node.name, "input": i, "outcome": o, "reason": r, "rows": n}
            for (i, o, r), n in sorted(done.reconciliation.items())
        ]
        self.ledger.record_run(self.run_id, outcome, started, **record, reconciliation=rows)
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

    def _reads_part(self, node: Node, name: str) -> bool:
        """Whether the node is one source's part and reads of this input, which is kept by source too, the same part.

        Nothing of one source refers to another's rows, so what another source brings leaves this part up to date.
        """
        table = self.registry.tables.get(name)
        return node.source is not None and table is not None and "source" in table.partition_by

    def _versions(self, node: Node) -> dict[str, Any]:
        return {name: self._version(node, name) for name in node.inputs}

    def _version(self, node: Node, name: str) -> Any:
        if name.startswith(CONF_PREFIX):
            return dictionary_version(name, node.source)
        part = self.ledger.last_built(f"{name}[{node.source}]") if self._reads_part(node, name) else None
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

    def _build(self, node: Node, task: Task | None, verify: Callable[[Committed], None]) -> Committed:
        def frame(name: str) -> DataFrame:
            if name.startswith(CONF_PREFIX):
                return dictionary_frame(self.lake.spark, name, node.source)
            # Not the version that brought the rows: once compacted, that one's files may be gone.
            rows = self.lake.read(name, self.lake.version(name))
            return rows.where(F.col("source") == F.lit(node.source)) if self._reads_part(node, name) else rows

        def call(function: Callable[..., DataFrame], frames: dict[str, DataFrame]) -> DataFrame:
            given = {**frames, "task": task, "identify": self.identify}
            return function(**{name: given[name] for name in parameters(function)})

        frames = {name.rsplit(".", 1)[-1]: frame(name) for name in node.table.inputs if name != MAPPED}
        table, scope = node.table, Scope()
        if node.mapping:
            inputs = {name.rsplit(".", 1)[-1]: frame(name) for name in node.mapping.inputs}
            frames[MAPPED] = self.shift(call(node.mapping.function, inputs), frames.get("stays"))
            source = node.mapping.source
            scope = Scope(f"source = '{source}'", f"_node = '{node.name}'", ("source", source))
            # Not every engine refuses rows outside the partition that is replaced.
            its_own = Rule("of_its_source", f"source = '{source}'", "fail")
            table = replace(table, rules=(*table.rules, its_own))
        default_from = node.consumes[0] if len(node.consumes) == 1 else node.name
        return commit(
            self.lake, table, call(node.build, frames),
            node=node.name, run_id=self.run_id, scope=scope, default_from=default_from, verify=verify,
        )  # fmt: skip

    def _account(self, node: Node, outcome: Outcome, done: Committed, versions: dict[str, Any]) -> None:
        """Fills the outcome's counts; ContractError where an input's rows do not add up."""
        outcome.rows_given, outcome.rows_out = done.rows(), done.rows("written")
        outcome.rows_quarantined, outcome.rows_left_out = done.rows("quarantined"), done.rows("left_out")
        outcome.warnings = done.warnings
        for name in node.consumes:
            there = self.lake.row_count(name)
            found = sum(n for (source, _, _), n in done.reconciliation.items() if source == name)
            outcome.rows_in += there
            if there != found:
                raise ContractError(
                    f"{node.name} accounts for {found} of the {there} rows of {name} (version {versions[name]})."
                )
