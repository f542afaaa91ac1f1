"""From the frame that a function gave to stored rows: evaluated once, every row accounted for, nothing half-written."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.ddl import Column
from lakehouse.errors import ContractError
from lakehouse.io import Lake
from lakehouse.part import Part
from lakehouse.rules import BROKEN, apply_rules, check_columns, is_good, mark, ruled_schema
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


class UnfitError(ContractError):
    """Rows of some patients cannot be told from those of others: the table is to be built whole."""


@dataclass(frozen=True)
class Scope:
    """Which stored rows the new ones replace: a part of the table, one of its quarantine; None: all of them."""

    table: Part | None = None
    quarantine: Part | None = None

    @property
    def partition(self) -> tuple[str, str] | None:
        """The one partition (column, value) that it lies in."""
        return next(iter(self.table.within.items()), None) if self.table else None


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
    further: Iterable[DataFrame] = (),
) -> Committed:
    """Stages the frame and `further` ones of its columns, applies the rules, writes good rows and quarantine.

    Raises before anything is written where the schema is wrong, a `fail` rule is broken (ContractError),
    `verify` refuses what was counted, or rows outside the scope have to do with it (UnfitError). Where a write itself
    fails, table and quarantine are put back.
    """
    check_columns(frame, table)
    label = f"{run_id}/{node}"
    try:
        ruled = (apply_rules(more, table) for more in further)
        staged = lake.stage(apply_rules(frame, table), label, ruled_schema(table), ruled)
        done = _count(staged, table, default_from)
        verify(done)
        if scope.table and scope.table.column:
            _check_apart(lake, table, staged, scope)
        lake.create(table.name, table.columns, table.partition_by)
        if done.rows("quarantined"):
            lake.create(table.quarantine, (*table.columns, *QUARANTINE_COLUMNS), nullable=True)
        with _put_back_on_error(lake, table):
            _write(lake, table, staged, node=node, run_id=run_id, scope=scope, done=done, default_from=default_from)
    finally:
        lake.unstage(label)
    return done


def take_out(lake: Lake, table: Table, scope: Scope) -> Committed:
    """Takes a part's rows out of the table and its quarantine, and puts none in their place."""
    done = Committed([], {})
    with _put_back_on_error(lake, table):
        if lake.exists(table.quarantine):
            lake.replace(table.quarantine, None, scope.quarantine)
            done.quarantine_version = lake.data_version(table.quarantine)
        lake.replace(table.name, None, scope.table)
        done.version = lake.data_version(table.name)
    return done


def tally(frame: DataFrame, table: Table, default_from: str) -> Committed:
    """What a commit of the frame would count, with nothing staged or written."""
    return _count(apply_rules(frame, table), table, default_from)


def _count(staged: DataFrame, table: Table, default_from: str) -> Committed:
    marks = {mark(rule): rule for rule in table.rules if rule.severity != "error"}
    grouped = staged.groupBy(
        F.coalesce(FROM, F.lit(default_from)).alias(FROM),
        LEFT_OUT,
        MERGED_AS,
        BROKEN,
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


def _check_apart(lake: Lake, table: Table, staged: DataFrame, scope: Scope) -> None:
    """UnfitError where a row is none of the scope's, or has a key that a row outside the scope has too."""
    assert scope.table and scope.quarantine and scope.table.column
    whose, key = scope.table.column, table.key[0]
    checked = table.key_check and whose not in table.key
    found = staged.where(F.col(LEFT_OUT).isNull()).select(whose, *([key] if checked else [])).distinct().toArrow()
    if strange := set(found.column(whose).to_pylist()) - scope.table.values:
        raise UnfitError(f"{table.name}: {len(strange)} values of {whose} are none of those to be built.")
    if not checked:
        return
    keys = frozenset(found.column(key).to_pylist())
    if lake.exists(table.quarantine):
        keys |= lake.picked(table.quarantine, scope.quarantine, key)
    for name, part in ((table.name, scope.table), (table.quarantine, scope.quarantine)):
        if lake.exists(name) and lake.count(name, Part(key, keys, part.within), outside=part):
            raise UnfitError(f"{table.name}: other rows have the same {key}.")


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
    lake: Lake,
    table: Table,
    staged: DataFrame,
    *,
    node: str,
    run_id: str,
    scope: Scope,
    done: Committed,
    default_from: str,
) -> None:
    good = staged.where(is_good()).select(*map(_required, table.columns))
    refused = done.rows("quarantined")
    if lake.exists(table.quarantine) and (
        refused or not scope.quarantine or lake.count(table.quarantine, scope.quarantine)
    ):
        helpers = {
            "_rules": F.split(BROKEN, " "),
            FROM: F.coalesce(FROM, F.lit(default_from)),
            "_node": F.lit(node),
            "_run_id": F.lit(run_id),
        }
        bad = staged.where(F.col(BROKEN) != "").withColumns(helpers)
        columns = [*table.column_names, *(c.name for c in QUARANTINE_COLUMNS)]
        lake.replace(table.quarantine, bad.select(*columns) if refused else None, scope.quarantine)
    if lake.exists(table.quarantine):
        done.quarantine_version = lake.data_version(table.quarantine)
    if table.mode == "merge":
        lake.merge(table.name, good, table.key)
    else:
        staying = 0
        if scope.table:
            staying = lake.row_count(table.name, scope.partition) - lake.count(table.name, scope.table)
        lake.replace(table.name, good, scope.table)
        stored = lake.row_count(table.name, scope.partition) - staying
        if stored != done.rows("written"):
            raise ContractError(f"{node}: {done.rows('written')} rows were to be written, {stored} are stored.")
    done.version = lake.data_version(table.name)


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
