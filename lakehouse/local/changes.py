"""Whose rows differ between two versions of a local Delta table: of few new files, at the cost of these."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deltalake import DeltaTable

from lakehouse.local import holdings
from lakehouse.local.comparing import compared
from lakehouse.part import Part, Value
from lakehouse.table import SOURCE_FILE, SOURCE_ROW, STAMPS

_DIFFERING = """
    SELECT who FROM (
        SELECT who, later, count(*) AS n, sum(digest::HUGEINT) AS total, bit_xor(digest) AS parity
        FROM ({before} UNION ALL {after}) GROUP BY who, later
    ) GROUP BY who
    HAVING count(*) = 1 OR min(n) <> max(n) OR min(total) <> max(total) OR min(parity) <> max(parity)
"""


def changed(root: Path, column: str, before: int, after: int, within: Mapping[str, str]) -> frozenset[Value]:
    """Values of `column` in whose rows version `after` differs from version `before`, one by one and in their number.

    Rows in files of both versions are the same. Of a row's place in its raw file only the order among the rows of that
    value counts, since a line that is taken out moves all that follow.
    """
    old, new = (DeltaTable(str(root), version=version) for version in (before, after))
    there, now = (set(holdings.files_of(table, root, Part(within=within))) for table in (old, new))
    sides = {"before": (old, sorted(there - now)), "after": (new, sorted(now - there))}
    if not all(files for _, files in sides.values()):
        one_side = there ^ now
        return frozenset().union(*(holdings.values_in(root / path, column) for path in one_side))
    with compared({side: holdings.dataset(table, root, files) for side, (table, files) in sides.items()}) as connection:
        names = [field.name for field in new.schema().fields]
        query = _DIFFERING.format(**{side: _digests(side, column, names) for side in sides})
        return frozenset(value for (value,) in connection.execute(query).fetchall())


def _digests(side: str, column: str, names: list[str]) -> str:
    said = [f'"{name}"' for name in names if name not in (*STAMPS, SOURCE_ROW)]
    if SOURCE_ROW in names:
        said.append(f'row_number() OVER (PARTITION BY "{column}", "{SOURCE_FILE}" ORDER BY "{SOURCE_ROW}")')
    later = "true" if side == "after" else "false"
    return f'SELECT "{column}" AS who, hash({", ".join(said)}) AS digest, {later} AS later FROM {side}'
