"""Where every input row went: the ledger's reconciliation, one row an input and outcome."""

from collections import defaultdict
from typing import Any

from rich.table import Table as RichTable

from jobs.console import results
from jobs.context import Context
from lakehouse.errors import ContractError
from lakehouse.ledger import RECONCILIATION, RUNS

_HEADERS = ("table", "input", "input rows", "written", "merged", "left out", "quarantined", "why")


def reconciliation(context: Context) -> list[tuple[str, ...]]:
    """One row a (node, input) of the last time each node was built; ContractError before anything was."""
    runs = sorted(context.lake.records(RUNS.name), key=lambda r: r["started_at"])
    last = {r["node"]: r["run_id"] for r in runs if r["status"] == "built"}
    if not last:
        raise ContractError(f"the lake {context.settings.lake} has no finished run to reconcile: start with ehr run.")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for record in context.lake.records(RECONCILIATION.name):
        if last.get(record["node"]) == record["run_id"]:
            groups[record["node"], record["input"]].append(record)
    order = {node: i for i, node in enumerate(last)}
    return [_row(node, name, groups[node, name]) for node, name in sorted(groups, key=lambda k: (order[k[0]], k[1]))]


def _row(node: str, name: str, records: list[dict[str, Any]]) -> tuple[str, ...]:
    by_outcome: dict[str, int] = defaultdict(int)
    for record in records:
        by_outcome[record["outcome"]] += record["rows"]
    why = [
        f"{r['reason']} {r['rows']:,}" for r in sorted(records, key=lambda r: -r["rows"]) if r["outcome"] != "written"
    ]
    counts = (sum(by_outcome.values()), *(by_outcome[o] for o in ("written", "merged", "left_out", "quarantined")))
    return (node, name, *(f"{n:,}" for n in counts), ", ".join(why))


def reconcile(context: Context, markdown: bool = False) -> None:
    """Prints the reconciliation as a table, or as Markdown for the docs."""
    rows = reconciliation(context)
    if markdown:
        print("| " + " | ".join(_HEADERS) + " |")
        print("|---|---|" + "---:|" * 5 + "---|")
        for row in rows:
            print("| " + " | ".join(row) + " |")
        return
    view = RichTable(header_style="bold")
    for i, header in enumerate(_HEADERS):
        view.add_column(header, justify="right" if 2 <= i <= 6 else "left", overflow="fold")
    for row in rows:
        view.add_row(*(cell.replace("[", "\\[") for cell in row))
    results().print(view)
