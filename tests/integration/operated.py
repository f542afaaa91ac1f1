"""A lake of one source that is operated: its raw files, and the verbs on them."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from jobs.context import Context
from jobs.featurize import featurize
from jobs.ingest import ingest
from jobs.operations.check import Checked, check
from jobs.operations.diff import Difference, diff
from jobs.refine import refine
from lakehouse.io import Lake
from lakehouse.records.snapshots import Snapshots

CHART, CHART_FILE = "bronze.mimiciii_chartevents", Path("mimiciii-demo-1.4") / "CHARTEVENTS.csv.gz"
HEART_RATE = ("211", "220045")
COHORT = "gold.mortality_cohort"


class OperatedLake:
    """A lake, its raw files, and the verbs on them, each an invocation of its own."""

    def __init__(self, raw: Path, lake: Path, context_of: Callable[..., Context]) -> None:
        self.raw, self.root, self._context_of = raw, lake, context_of

    def context(self) -> Context:
        return self._context_of(self.raw, self.root)

    @property
    def lake(self) -> Lake:
        return self.context().lake

    @property
    def last(self) -> str:
        return Snapshots(self.lake).find("last").run_id

    def refresh(self, *questions: str) -> str:
        """Raw files to silver (and these tables of gold) in one run; its id."""
        context = self.context()
        with context.writing("run"):
            ingest(context, "mimiciii")
            refine(context, "mimiciii")
            for name in questions:
                featurize(context, name)
        return context.run_id

    def check(self, only: str | None = None) -> Checked:
        return check(self.context(), only)

    def broken(self, only: str | None = None) -> dict[str, set[str]]:
        """Names of the broken promises by table."""
        found: dict[str, set[str]] = {}
        for one in self.check(only).findings:
            found.setdefault(one.table, set()).add(one.promise)
        return found

    def diff(self, one: str, other: str) -> dict[str, tuple[int, int, int]]:
        """Rows added, changed and gone, of tables in which any are."""
        found: list[Difference] = diff(self.context(), one, other)
        return {d.table: (d.added, d.changed, d.gone) for d in found if d.added or d.changed or d.gone}

    def content(self) -> dict[str, list[str]]:
        """Every row of every table but the lake's own, in an order of their own."""
        lake = self.lake
        names = [name for name in lake.names() if not name.startswith("ops.")]
        return {name: _rows(lake.read_arrow(name)) for name in names}


def _rows(table: pa.Table) -> list[str]:
    columns = (column.to_pylist() for column in table.select(sorted(table.column_names)).columns)
    return sorted(map(repr, zip(*columns, strict=True)))
