"""From the frame that a function gave to stored rows: evaluated once, every row accounted for, nothing half-written."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from pyspark.sql import DataFrame

from lakehouse.ddl import Column
from lakehouse.errors import ContractError
from lakehouse.io import Lake
from lakehouse.part import Part
from lakehouse.rules import BROKEN, apply_rules, check_columns, marks, ruled_schema
from lakehouse.sorting import COUNTED, Sorted, Sorter, Stored
from lakehouse.table import FROM, LEFT_OUT, MERGED_AS, NODE, RAW_TEXT, ROWS, RULES, RUN_ID, Table

QUARANTINE_COLUMNS = (
    Column(RULES, "ARRAY<STRING>", comment="names of the error rules that the row broke"),
    Column(RAW_TEXT, "STRING", comment="text of a raw row that could not be parsed"),
    Column(ROWS, "BIGINT", comment="input rows that this row stands for"),
    Column(FROM, "STRING", comment="input that the row came from"),
    Column(NODE, "STRING", comment="table, or table[source], that refused the row"),
    Column(RUN_ID, "STRING", comment="run that refused it"),
)


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
        judged = (apply_rules(part, table) for part in chain([frame], further))
        staged = lake.sort(judged, _sorter(table, default_from, scope, node, run_id), label)
        done = _counted(staged.counts, table)
        verify(done)
        if scope.table and scope.table.column:
            _check_apart(lake, table, staged, scope)
        lake.create(table.name, table.columns, table.partition_by)
        if done.rows("quarantined"):
            lake.create(table.quarantine, (*table.columns, *QUARANTINE_COLUMNS), nullable=True)
        with _put_back_on_error(lake, table):
            _write(lake, table, staged, node=node, scope=scope, done=done)
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
    counts, _ = _sorter(table, default_from).sort(apply_rules(frame, table))
    return _counted(counts, table)


def _sorter(table: Table, default_from: str, scope: Scope = Scope(), node: str = "", run_id: str = "") -> Sorter:
    within = table.partition_by if scope.table else ()
    return Sorter(
        given=ruled_schema(table),
        good=tuple(table.column_names),
        good_files=Stored.of(column for column in table.columns if column.name not in within),
        refused=Stored.of((*table.columns, *QUARANTINE_COLUMNS)),
        marks=tuple(marks(table)),
        default_from=default_from,
        constants=((NODE, node), (RUN_ID, run_id)),
    )


def _counted(counts: Iterable[Mapping[str, Any]], table: Table) -> Committed:
    ruled = marks(table)
    tallies, broken = [], dict.fromkeys(ruled, 0)
    for row in counts:
        outcome, reason = "written", row[MERGED_AS] or "merged"
        if row[LEFT_OUT] is not None:
            outcome, reason = "left_out", row[LEFT_OUT]
        elif row[BROKEN]:
            outcome, reason = "quarantined", row[BROKEN]
        tallies.append(Tally(row[FROM], outcome, reason, row[COUNTED], row[ROWS]))
        for name in ruled:
            broken[name] += row[name] or 0
    failed = {rule.name: broken[name] for name, rule in ruled.items() if rule.severity == "fail" and broken[name]}
    if failed:
        rules = ", ".join(f"{name} ({n} rows)" for name, n in failed.items())
        raise ContractError(f"{table.name}: rows break {rules}; nothing was written.")
    warnings = {rule.name: broken[name] for name, rule in ruled.items() if rule.severity == "warn" and broken[name]}
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


def _check_apart(lake: Lake, table: Table, staged: Sorted, scope: Scope) -> None:
    """UnfitError where a row is none of the scope's, or has a key that a row outside the scope has too."""
    assert scope.table and scope.quarantine and scope.table.column
    whose, key = scope.table.column, table.key[0]
    checked = table.key_check and whose not in table.key
    good, refused = (rows.frame().select(whose, *([key] if checked else [])) for rows in (staged.good, staged.refused))
    found = good.unionByName(refused).distinct().toArrow()
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


def _write(lake: Lake, table: Table, staged: Sorted, *, node: str, scope: Scope, done: Committed) -> None:
    refused = done.rows("quarantined")
    if lake.exists(table.quarantine) and (
        refused or not scope.quarantine or lake.count(table.quarantine, scope.quarantine)
    ):
        lake.replace(table.quarantine, staged.refused if refused else None, scope.quarantine)
    if lake.exists(table.quarantine):
        done.quarantine_version = lake.data_version(table.quarantine)
    if table.mode == "merge":
        lake.merge(table.name, staged.good.frame(), table.key)
    else:
        staying = 0
        if scope.table:
            staying = lake.row_count(table.name, scope.partition) - lake.count(table.name, scope.table)
        lake.replace(table.name, staged.good, scope.table)
        stored = lake.row_count(table.name, scope.partition) - staying
        if stored != done.rows("written"):
            raise ContractError(f"{node}: {done.rows('written')} rows were to be written, {stored} are stored.")
    done.version = lake.data_version(table.name)
