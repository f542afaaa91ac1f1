"""Upkeep of the lake: small files joined, rows ordered where the contract says so, old files and leftovers deleted.

No row changes and no table is rebuilt after it: compaction brings a new version with the rows of the old one.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table as RichTable

from jobs.context import Context
from lakehouse.errors import ConfigError
from lakehouse.registry import registry


@dataclass(frozen=True)
class Kept:
    """What was done for one table; `deleted` is None where the engine does not tell."""

    table: str
    compacted: bool
    deleted: int | None
    bytes: int


def maintain(context: Context, retention_hours: int | None = None, *, force: bool = False) -> list[Kept]:
    """A record a table. Files that only versions older than `retention_hours` need are deleted.

    ConfigError where that is less than the setting, which says how far back a restore reaches, unless `force`.
    """
    promised = context.settings.retention_hours
    hours = promised if retention_hours is None else retention_hours
    if hours < promised and not force:
        raise ConfigError(
            f"runs of the last {promised} h could not be restored after a retention of {hours} h: lower the setting "
            "retention_hours, or add --force."
        )
    lake, contracts = context.lake, registry().tables
    done = []
    with context.console.status("") as status:
        for name in lake.names():
            status.update(name)
            contract = contracts.get(name)
            compacted = lake.compact(name, contract.cluster_by if contract else ())
            done.append(Kept(name, compacted, lake.vacuum(name, hours), lake.size_bytes(name)))
    if forgotten := lake.forget_withdrawn(hours):
        context.console.print(f"  {forgotten} tables that a restore had withdrawn were deleted")
    return done


def as_table(done: list[Kept]) -> RichTable:
    """A row a table for which there was something to do, and a last one for all."""
    view = RichTable(header_style="bold")
    view.add_column("table")
    view.add_column("compacted")
    view.add_column("files deleted", justify="right")
    view.add_column("MB", justify="right")
    for one in done:
        if one.compacted or one.deleted:
            view.add_row(one.table, "yes" if one.compacted else "", _count(one.deleted), f"{one.bytes / 1e6:,.1f}")
    view.add_section()
    deleted = sum(one.deleted or 0 for one in done)
    whole = f"{sum(one.bytes for one in done) / 1e6:,.1f}"
    view.add_row(f"all {len(done)} tables", str(sum(one.compacted for one in done)), f"{deleted:,}", whole)
    return view


def _count(n: int | None) -> str:
    return "" if n is None else f"{n:,}"
