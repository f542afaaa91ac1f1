"""From the frame that a function gave to stored rows: evaluated once, every row accounted for, nothing half-written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.ddl import Column
from lakehouse.errors import ContractError
from lakehouse.io import ALL_ROWS, Lake
from lakehouse.rules import BROKEN, apply_rules, check_columns, mark, ruled_schema
from lakehouse.table import FROM, LEFT_OUT, MERGED_AS, RAW_TEXT, ROWS, Table

QUARANTINE_COLUMNS = (
    Column("_rules", "ARRAY<STRING>", comment="names of the error rules that the row broke"),
    Column(RAW_TEXT, "STRING", comment="text of a raw row that could not be parsed"),
    Column(ROWS, "BIGINT", comment="input rows that this row stands for"),
    Column(FROM, "STRING", comment="input that the row came from"),
    Column("_node", "STRING", comment="table, or table[source], that refused the row"),
    Column("_run_id", "STRING", comment="run that refused it"),
)

_PLACEHOLDERS = {
    "STRING": "''", "BINARY": "''", "DATE": "'1970-01-01'", "TIMESTAMP": "'1970-01-01'", "ARRAY": "array()",
    "MAP": "map()",
}  # fmt: skip


@dataclass(frozen=True)
class Tally:
    """Rows of one kind among those given: where from, what became of them, how many, standing for how many inputs."""

    source: str
    outcome: str
    reason: str
    rows: int
    stands_for: int


@dataclass
class Committed:
    """What one commit did. `tallies` hold every given row once."""

    tallies: list[Tally]
    warnings: dict[str, int]
    version: int | None = None
    quarantine_version: int | None = None
    reconciliation: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def rows(self, *outcomes: str) -> int:
        return sum(t.rows for t in self.tallies if not outcomes or t.outcome in outcomes)


@dataclass(frozen=True)
class Scope:
    """Which stored rows the new ones replace: an expression for the table, one for its quarantine."""

    table: str = ALL_ROWS
    quarantine: str = ALL_ROWS
    partition: tuple[str, str] | None = None


def commit(
    lake: Lake,
    table: Table,
    frame: DataFrame,
    *,
    node: str,
    run_id: str,
    scope: Scope,
    default_from: str,
    verify: Callable[[Committed], None] = lambda _done: None,
) -> Committed:
    """Stages the frame, applies the rules, writes good rows and quarantine.

    Raises before anything is written where the schema is wrong, a `fail` rule is broken (ContractError), or
    `verify` refuses what was counted. Where a write itself fails, table and quarantine are put back.
    """
    check_columns(frame, table)
    label = f"{run_id}/{node}"
    try:
        staged = lake.stage(apply_rules(frame, table), label, ruled_schema(table))
        done = _count(staged, table, default_from)
        verify(done)
        lake.create(table.name, table.columns, table.partition_by)
        if done.rows("quarantined"):
            lake.create(table.quarantine, (*table.columns, *QUARANTINE_COLUMNS), nullable=True)
        with _put_back_on_error(lake, table):
            _write(lake, table, staged, node=node, run_id=run_id, scope=scope, done=done)
    finally:
        lake.unstage(label)
    return done


def _count(staged: DataFrame, table: Table, default_from: str) -> Committed:
    marks = {mark(rule): rule for rule in table.rules if rule.severity != "error"}
    grouped = staged.groupBy(
        F.coalesce(FROM, F.lit(default_from)).alias(FROM),
        LEFT_OUT,
        MERGED_AS,
        F.array_join(BROKEN, " ").alias(BROKEN),
    ).agg(
        F.count(F.lit(1)).alias("n"),
        F.sum(ROWS).alias(ROWS),
        *(F.sum(F.col(name).cast("bigint")).alias(name) for name in marks),
    )
    tallies, broken = [], dict.fromkeys(marks, 0)
    for row in grouped.collect():
        outcome, reason = "written", row[MERGED_AS] or "merged"
        if row[LEFT_OUT] is not None:
            outcome, reason = "left_out", row[LEFT_OUT]
        elif row[BROKEN]:
            outcome, reason = "quarantined", row[BROKEN]
        tallies.append(Tally(row[FROM], outcome, reason, row["n"], row[ROWS]))
        for name in marks:
            broken[name] += row[name] or 0
    failed = {rule.name: broken[name] for name, rule in marks.items() if rule.severity == "fail" and broken[name]}
    if failed:
        rules = ", ".join(f"{name} ({n} rows)" for name, n in failed.items())
        raise ContractError(f"{table.name}: rows break {rules}; nothing was written.")
    warnings = {rule.name: broken[name] for name, rule in marks.items() if rule.severity == "warn" and broken[name]}
    return Committed(tallies, warnings, reconciliation=_reconcile(tallies))


def _reconcile(tallies: list[Tally]) -> dict[tuple[str, str, str], int]:
    """Input rows by (input, outcome, reason): a written row stands for itself, the others merged into it are named."""
    rows: dict[tuple[str, str, str], int] = {}

    def add(source: str, outcome: str, reason: str, n: int) -> None:
        if n:
            rows[source, outcome, reason] = rows.get((source, outcome, reason), 0) + n

    for t in tallies:
        if t.outcome == "written":
            add(t.source, "written", "", t.rows)
            add(t.source, "merged", t.reason, t.stands_for - t.rows)
        else:
            add(t.source, t.outcome, t.reason, t.stands_for)
    return rows


@contextmanager
def _put_back_on_error(lake: Lake, table: Table) -> Iterator[None]:
    """Delta commits one table at a time: an error between two commits would leave the first one standing."""
    before = {name: version for name in (table.name, table.quarantine) if (version := lake.version(name)) is not None}
    try:
        yield
    except BaseException:
        for name, version in before.items():
            if lake.version(name) != version:
                lake.restore(name, version)
        raise


def _write(
    lake: Lake, table: Table, staged: DataFrame, *, node: str, run_id: str, scope: Scope, done: Committed
) -> None:
    good = staged.where(F.col(LEFT_OUT).isNull() & (F.size(BROKEN) == 0)).select(*map(_required, table.columns))
    if lake.exists(table.quarantine):
        helpers = {"_rules": F.col(BROKEN), "_node": F.lit(node), "_run_id": F.lit(run_id)}
        bad = staged.where(F.size(BROKEN) > 0).withColumns(helpers)
        columns = [*table.column_names, *(c.name for c in QUARANTINE_COLUMNS)]
        lake.replace(table.quarantine, bad.select(*columns), scope.quarantine)
        done.quarantine_version = lake.version(table.quarantine)
    if table.mode == "merge":
        lake.merge(table.name, good, table.key)
    else:
        lake.replace(table.name, good, scope.table, scope.partition)
        stored = lake.row_count(table.name, scope.partition)
        whole = scope.table == ALL_ROWS or scope.partition is not None
        if whole and stored != done.rows("written"):
            raise ContractError(f"{node}: {done.rows('written')} rows were to be written, {stored} are stored.")
    done.version = lake.version(table.name)


def _required(column: Column) -> SparkColumn:
    """The column, with a placeholder for nulls where the contract forbids them.

    No good row has one. But the embedded engine merges the filter for good rows with the table's own NOT NULL check,
    and so finds fault with rows that are filtered out.
    """
    if column.nullable:
        return F.col(column.name)
    kind = column.type.split("<")[0].upper()
    placeholder = _PLACEHOLDERS.get(kind, "0")
    value = f"from_json('{{}}', '{column.type}')" if kind == "STRUCT" else f"CAST({placeholder} AS {column.type})"
    return F.coalesce(F.col(column.name), F.expr(value)).alias(column.name)
