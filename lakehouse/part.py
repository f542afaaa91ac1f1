"""Some rows of a table: those that one commit replaces, or that a build for some patients reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lakehouse.ddl import spark_literal

Value = str | int | None


@dataclass(frozen=True)
class Part:
    """Rows whose `column` is one of `values`, of those in which the columns of `within` have these values.

    Without a column, all rows `within`. What a null is compared with is not known: such a row is in no part.
    """

    column: str | None = None
    values: frozenset[Value] = frozenset()
    within: Mapping[str, str] = field(default_factory=dict)

    def sql(self) -> str:
        """The condition as Spark SQL."""
        parts = [f"`{name}` = {_written(value)}" for name, value in self.within.items()]
        if self.column is not None:
            listed = ", ".join(_written(value) for value in sorted(self.values, key=str) if value is not None)
            parts.append(f"`{self.column}` IN ({listed})" if listed else "1 = 0")
        return " AND ".join(parts) or "1 = 1"


ALL = Part()
"""Every row."""


def _written(value: Value) -> str:
    return str(value) if isinstance(value, int) else spark_literal(str(value))
