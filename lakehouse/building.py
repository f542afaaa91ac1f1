"""What a node's functions give, committed: of all rows, or of those of an increment's patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.commit import Committed, Scope, Tally, commit, tally
from lakehouse.dates import DateShift
from lakehouse.increment import Increment, within
from lakehouse.io import Lake
from lakehouse.part import Part
from lakehouse.pseudonyms import Identifier
from lakehouse.reference import dictionary_frame
from lakehouse.registry import CONF_PREFIX, Node, Registry, parameters
from lakehouse.rounds import Round, rounds, shared_by
from lakehouse.table import MAPPED, NODE, Rule, Table
from lakehouse.tasks import Task


@dataclass(frozen=True)
class Building:
    """Builds nodes of a registry in one run."""

    lake: Lake
    registry: Registry
    identify: Identifier
    shift: DateShift
    run_id: str
    rows_a_round: int | None = None

    def build(
        self, node: Node, task: Task | None, increment: Increment | None, verify: Callable[[Committed], None]
    ) -> Committed:
        """Builds the node whole, or for the increment's patients; errors are those of `commit`."""
        scope = Scope()
        if increment:
            scope = increment.scope
        elif node.source is not None:
            scope = Scope(Part(within={"source": node.source}), Part(within={NODE: node.name}))
        label = f"{self.run_id}/{node.name}-inputs"
        try:
            first, *others = self._rounds(node, increment)
            table, frame = self.frame(node, task, increment, label, share=first)
            further = (self.frame(node, task, increment, label, share=share)[1] for share in others)
            return commit(
                self.lake, table, frame, further=further,
                node=node.name, run_id=self.run_id, scope=scope, default_from=_default_from(node), verify=verify,
            )  # fmt: skip
        finally:
            self.lake.unstage(label)

    def _rounds(self, node: Node, increment: Increment | None) -> list[Round]:
        # An increment is itself of a share of the patients.
        return rounds(node, self.registry.tables, self.lake.row_count, None if increment else self.rows_a_round)

    def count_before(self, node: Node, task: Task | None, increment: Increment) -> Committed:
        """What the last build counted of the patients' rows."""
        if (account := increment.all_written) and increment.scope.table:
            n = self.lake.count(node.table.name, increment.scope.table)
            return Committed([Tally(account[0], "written", "", n, n)], {}, reconciliation={account: n})
        label = f"{self.run_id}/{node.name}-before"
        try:
            table, frame = self.frame(node, task, increment, label, before=True)
            return tally(frame, table, _default_from(node))
        finally:
            self.lake.unstage(label)

    def frame(
        self,
        node: Node,
        task: Task | None,
        increment: Increment | None,
        label: str,
        before: bool = False,
        share: Round = Round(),  # noqa: B008 - all rows, and frozen
    ) -> tuple[Table, DataFrame]:
        """The contract that a node's rows are held to and these rows: of a share of the patients, or an increment's, as
        they are or `before`.

        What is read for an increment is copied under `label`.
        """

        def rows(name: str) -> DataFrame:
            if name.startswith(CONF_PREFIX):
                return dictionary_frame(self.lake.spark, name, node.source)
            if increment and name in increment.now:
                part = increment.before[name] if before else increment.now[name]
                version = increment.versions_before[name] if before else self.lake.version(name)
                return self.lake.read_part(name, part, f"{label}/{name}", version)
            # Not the version that brought the rows: once compacted, that one's files may be gone.
            whole = share.share(self.lake.read(name, self.lake.version(name)), shared_by(node, self._table(name)))
            return whole.where(F.col("source") == F.lit(node.source)) if within(node, self._table(name)) else whole

        def call(function: Callable[..., DataFrame], frames: dict[str, DataFrame]) -> DataFrame:
            given = {**frames, "task": task, "identify": self.identify}
            return function(**{name: given[name] for name in parameters(function)})

        frames = {name.rsplit(".", 1)[-1]: rows(name) for name in node.table.inputs if name != MAPPED}
        table = node.table
        if node.mapping:
            inputs = {name.rsplit(".", 1)[-1]: rows(name) for name in node.mapping.inputs}
            frames[MAPPED] = self.shift(call(node.mapping.function, inputs), frames.get("stays"))
            # Not every engine refuses rows outside the partition that is replaced.
            its_own = Rule("of_its_source", f"source = '{node.mapping.source}'", "fail")
            table = replace(table, rules=(*table.rules, its_own))
        return table, call(node.build, frames)

    def _table(self, name: str) -> Table | None:
        return self.registry.tables.get(name)


def _default_from(node: Node) -> str:
    return node.consumes[0] if len(node.consumes) == 1 else node.name
