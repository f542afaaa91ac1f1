"""What differs between the states in which two runs left the lake: rows added, changed and gone, table by table.

Only files that one state has and the other lacks are read, since files of a Delta table never change. Columns that say
which run wrote a row, and when, are not compared: a file that is read again gives the same rows with another time. Nor
is a row's place in its file, which a row that is taken out before it changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import pyarrow as pa
from pyspark.sql import functions as F
from rich.markup import escape
from rich.table import Table as RichTable

from jobs.context import Context
from lakehouse.commit import QUARANTINE_COLUMNS
from lakehouse.errors import ConfigError
from lakehouse.io import Lake
from lakehouse.local import comparing
from lakehouse.records.snapshots import Snapshots
from lakehouse.registry import registry
from lakehouse.state import State
from lakehouse.table import RUN_ID, SOURCE_ROW, STAMPS

NOT_COMPARED = {*STAMPS, RUN_ID, SOURCE_ROW}
_SHOWN_CHANGES = 5

_KEYED = """
    SELECT {key}, bit_xor(digest) FILTER (NOT later) AS old, bit_xor(digest) FILTER (later) AS new
    FROM ({both}) GROUP BY ALL
"""
_COUNTED = """
    SELECT count(*) FILTER (old IS NULL), count(*) FILTER (old <> new), count(*) FILTER (new IS NULL) FROM ({keyed})
"""
_WHOLE_ROWS = """
    SELECT coalesce(sum(n) FILTER (n > 0), 0), 0, coalesce(-sum(n) FILTER (n < 0), 0)
    FROM (SELECT digest, sum(CASE WHEN later THEN 1 ELSE -1 END) AS n FROM ({both}) GROUP BY digest)
"""


@dataclass(frozen=True)
class Difference:
    """Rows of one table that differ. Where rows have no key but their place in a file, and in a quarantine, none is
    changed: one is gone and one added."""

    table: str
    before: State | None
    after: State | None
    added: int
    changed: int
    gone: int


def diff(context: Context, run: str, other: str) -> list[Difference]:
    """A record a table that differs, of what `other` has and `run` had not.

    ConfigError where a run is not known; ContractError where files of a state are gone.
    """
    return [_difference(context, name, before, after) for name, before, after in _pairs(context, run, other)]


def _pairs(context: Context, run: str, other: str) -> list[tuple[str, State | None, State | None]]:
    """Tables whose rows are not plainly the same in both states."""
    snapshots, lake = Snapshots(context.lake), context.lake
    one, two = snapshots.find(run).of_layers(), snapshots.find(other).of_layers()

    def same(name: str) -> bool:
        a, b = one.get(name), two.get(name)
        if a == b:
            return True
        there = a and b and a.id == b.id and lake.table_id(name) == a.id
        return bool(a and b and there and lake.data_version(name, a.version) == lake.data_version(name, b.version))

    return [(name, one.get(name), two.get(name)) for name in sorted({*one, *two}) if not same(name)]


def _difference(context: Context, name: str, before: State | None, after: State | None) -> Difference:
    key, columns = compared(name)
    if context.settings.engine == "databricks":
        counts = by_engine(context.lake, name, key, columns, before, after)
    else:
        with _opened(context, name, before, after) as connection:
            columns = columns or _columns(connection)
            both = _both(key, columns)
            keyed = _KEYED.format(key=_list(key), both=both)
            query = _COUNTED.format(keyed=keyed) if key else _WHOLE_ROWS.format(both=both)
            counts = tuple(map(int, connection.execute(query).fetchone() or ()))
    return Difference(name, before, after, *counts)


def compared(name: str) -> tuple[Sequence[str], list[str]]:
    """The key of a table, and the columns that are compared; none where no contract tells."""
    contract = registry().tables.get(name.removesuffix("_quarantine"))
    if contract is None:
        return (), []
    names = contract.column_names
    if name == contract.quarantine:
        names = [*names, *(c.name for c in QUARANTINE_COLUMNS)]
    compared = [column for column in names if column not in NOT_COMPARED]
    return (() if name == contract.quarantine or SOURCE_ROW in contract.key else contract.key), compared


@contextmanager
def _opened(
    context: Context, name: str, before: State | None, after: State | None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Both states as the relations `before` and `after`, without the files that they share."""
    lake, sides = context.lake, {"before": (before, after), "after": (after, before)}
    found = {side: lake.dataset(name, state, without) for side, (state, without) in sides.items() if state}
    nothing = next(iter(found.values())).schema.empty_table()
    with comparing.compared({side: found.get(side, nothing) for side in sides}, context.settings.cores) as connection:
        yield connection


def _columns(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return [name for name in connection.table("after").columns if name not in NOT_COMPARED]


def _both(key: Sequence[str], columns: Sequence[str]) -> str:
    """Rows of both states as key, digest of the compared columns, and whether they are of the later one."""
    picked = f"{_list(key)}, " if key else ""
    side = "SELECT {picked}hash({columns}) AS digest, {later} AS later FROM {name}"
    return " UNION ALL ".join(
        side.format(picked=picked, columns=_list(columns), later=later, name=name)
        for name, later in (("before", "false"), ("after", "true"))
    )


def _list(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def by_engine(
    lake: Lake, name: str, key: Sequence[str], columns: list[str], before: State | None, after: State | None
) -> tuple[int, ...]:
    """The same counts by the Spark engine, for a lake whose files nobody else may open."""
    sides = []
    for state, later in ((before, False), (after, True)):
        if state:
            rows = lake.read(name, state.version)
            digest = F.xxhash64(*(columns or rows.columns)).alias("digest")
            sides.append(rows.select(*key, digest, F.lit(later).alias("later")))
    both = sides[0] if len(sides) == 1 else sides[0].unionByName(sides[1])
    old, new = (F.max(F.when(F.col("later") == later, F.col("digest"))) for later in (False, True))
    n = F.sum(F.when(F.col("later"), 1).otherwise(-1))
    if key:
        rows = both.groupBy(*key).agg(old.alias("old"), new.alias("new"))
        counts = [F.col("old").isNull(), F.col("old") != F.col("new"), F.col("new").isNull()]
        found = rows.agg(*(F.count_if(F.coalesce(c, F.lit(False))).alias(f"c{i}") for i, c in enumerate(counts)))
    else:
        rows = both.groupBy("digest").agg(n.alias("n"))
        more, less = F.greatest("n", F.lit(0)), F.greatest(-F.col("n"), F.lit(0))
        found = rows.agg(F.sum(more).alias("c0"), F.lit(0).alias("c1"), F.sum(less).alias("c2"))
    return tuple(int(count or 0) for count in found.collect()[0])


def rows_of(context: Context, run: str, other: str, name: str, most: int = 20) -> RichTable:
    """The first rows of one table that differ: in order of their keys, with the old and new value of each column that
    changed; whole where they have no key."""
    pairs = {table: (before, after) for table, before, after in _pairs(context, run, other)}
    if name not in pairs:
        raise ConfigError(f"{name} is the same after both runs, or is no table of either.")
    if context.settings.engine == "databricks":
        raise ConfigError("rows are shown of a local lake alone: nobody but the engine may open these files.")
    key, columns = compared(name)
    with _opened(context, name, *pairs[name]) as connection:
        columns = columns or _columns(connection)
        query = _changes(key, columns, most) if key else _whole(columns, most)
        return _shown(connection.execute(query).to_arrow_table())


def _changes(key: Sequence[str], columns: Sequence[str], most: int) -> str:
    keyed = _KEYED.format(key=_list(key), both=_both(key, columns))
    told = ", ".join(_told(c) for c in columns if c not in key) or "NULL"
    names = ", ".join(f'keys."{k}"' for k in key)
    return f"""
        WITH keys AS (SELECT * FROM ({keyed}) WHERE old IS DISTINCT FROM new ORDER BY {_list(key)} LIMIT {most})
        SELECT CASE WHEN old IS NULL THEN 'added' WHEN new IS NULL THEN 'gone' ELSE 'changed' END AS what, {names},
            CASE WHEN old IS NOT NULL AND new IS NOT NULL THEN list_filter([{told}], x -> x IS NOT NULL) END AS changes
        FROM keys {_joined("before", key)} {_joined("after", key)} ORDER BY {names}
    """


def _whole(columns: Sequence[str], most: int) -> str:
    counted = f"SELECT digest, sum(CASE WHEN later THEN 1 ELSE -1 END) AS n FROM ({_both((), columns)}) GROUP BY digest"
    row = ", ".join(f"""'{c}: ' || "{c}"::VARCHAR""" for c in columns)
    sides = " UNION ALL ".join(
        f"""SELECT '{what}' AS what, list_filter([{row}], x -> x IS NOT NULL) AS row
        FROM {side} WHERE hash({_list(columns)}) IN (SELECT digest FROM ({counted}) WHERE n {sign} 0)"""
        for what, side, sign in (("gone", "before", "<"), ("added", "after", ">"))
    )
    return f"SELECT * FROM ({sides}) ORDER BY what DESC, row LIMIT {most}"


def _told(column: str) -> str:
    """What became of a column's value, null where nothing did."""
    old, new = (f"""coalesce({side}."{column}"::VARCHAR, 'null')""" for side in ("before", "after"))
    differs = f'before."{column}" IS DISTINCT FROM after."{column}"'
    return f"CASE WHEN {differs} THEN '{column}: ' || {old} || ' -> ' || {new} END"


def _joined(side: str, key: Sequence[str]) -> str:
    on = " AND ".join(f'keys."{k}" IS NOT DISTINCT FROM {side}."{k}"' for k in key)
    return f"LEFT JOIN {side} ON {on}"


def _shown(found: pa.Table) -> RichTable:
    view = RichTable(*found.column_names, header_style="bold")
    for row in found.to_pylist():
        if "changes" in row:
            changes = row.pop("changes") or []
            more = [f"and {len(changes) - _SHOWN_CHANGES} more columns"] if len(changes) > _SHOWN_CHANGES else []
            view.add_row(
                *(escape(str(value)) for value in row.values()), escape("\n".join([*changes[:_SHOWN_CHANGES], *more]))
            )
        else:
            view.add_row(row["what"], escape(", ".join(row["row"])))
    return view


def as_table(found: list[Difference]) -> RichTable:
    """A row a table that differs."""
    view = RichTable(header_style="bold")
    view.add_column("table")
    for column in ("version", "added", "changed", "gone"):
        view.add_column(column, justify="right")
    for one in found:
        versions = " -> ".join(str(state.version) if state else "none" for state in (one.before, one.after))
        view.add_row(one.table, versions, f"{one.added:,}", f"{one.changed:,}", f"{one.gone:,}")
    if not found:
        view.add_row("no table differs", "", "", "", "")
    return view
