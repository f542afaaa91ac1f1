"""A large table is built in rounds, each for a share of the patients: what a build holds in memory is then bounded,
whatever the number of rows.

An engine that sorts and aggregates more than it may hold writes that to the disk and reads it again, and where an
aggregate cannot be written (lists) it gives up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.registry import Node
from lakehouse.table import Table

ROWS_A_ROUND = 20_000_000
"""Rows of the longest input that the embedded engine takes at once: under 6 GiB on two cores."""


@dataclass(frozen=True)
class Round:
    """One of `of` shares of the patients."""

    place: int = 0
    of: int = 1

    def share(self, frame: DataFrame, column: str | None) -> DataFrame:
        """The share's rows by a hash of `column`; all of them where there is no column, or one share."""
        if column is None or self.of == 1:
            return frame
        return frame.where(F.pmod(F.xxhash64(column), F.lit(self.of)) == self.place)


def rounds(
    node: Node, tables: Mapping[str, Table], row_count: Callable[[str], int], rows_a_round: int | None
) -> list[Round]:
    """The rounds in which a node is built whole: one, unless its rows are of one patient each, every input whose rows
    it accounts for can be shared out, and none of its keys can lie in two shares."""
    table = node.table
    shared = [name for name in node.table_inputs if shared_by(node, tables.get(name))]
    apart = table.by is not None and (not table.key_check or table.by in table.key)
    if rows_a_round is None or not apart or not shared or not set(node.consumes) <= set(shared):
        return [Round()]
    n = max(1, -(-max(map(row_count, shared)) // rows_a_round))
    return [Round(place, n) for place in range(n)]


def shared_by(node: Node, table: Table | None) -> str | None:
    """The column of an input by which patients are shared out: of raw rows their own, which every mapping carries on,
    and where a node maps none, the column that its own rows are `by`."""
    if table is None:
        return None
    if node.mapping:
        return table.raw.patient if table.raw else None
    return node.table.by if node.table.by in table.column_names else None
