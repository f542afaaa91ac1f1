"""Every table of the lake: rows, version, size, last run, quarantined rows."""

from rich.table import Table as RichTable

from jobs.context import Context
from lakehouse.errors import ContractError


def tables(context: Context) -> RichTable:
    """A row a table, read from the Delta logs and `ops.runs` alone; ContractError where there is none."""
    lake = context.lake
    if not lake.names():
        raise ContractError(f"the lake {lake.root} has no table yet: start with ehr run.")
    last: dict[str, dict[str, object]] = {}
    for record in context.ledger.runs():
        last[record["table"]] = record
    view = RichTable(header_style="bold")
    view.add_column("table")
    for column in ("rows", "version", "MB", "quarantined"):
        view.add_column(column, justify="right")
    view.add_column("last run")
    view.add_column("status")
    for name in lake.names():
        if name.endswith("_quarantine"):
            continue
        record = last.get(name, {})
        quarantine = f"{name}_quarantine"
        view.add_row(
            name,
            f"{lake.row_count(name):,}",
            str(lake.version(name)),
            f"{lake.size_bytes(name) / 1e6:,.1f}",
            f"{lake.row_count(quarantine):,}" if lake.exists(quarantine) else "0",
            str(record.get("run_id", "")),
            str(record.get("status", "")),
        )
    return view
