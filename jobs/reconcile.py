"""Where every input row went: the ledger's reconciliation, one row an input, as a table or as a page of `docs/`."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table as RichTable

from jobs.console import results
from jobs.context import Context
from lakehouse.errors import ContractError
from lakehouse.ingestion import ACCOUNTED_FILES, RAW_FILES
from lakehouse.records.ledger import RECONCILIATION
from lakehouse.registry import registry

_OUTCOMES = ("written", "merged", "left_out", "quarantined")
_HEADERS = ("table", "input", "input rows", "written", "merged", "left out", "quarantined", "why")


@dataclass(frozen=True)
class Account:
    """What became of the rows of one input in one node: rows by outcome, and by outcome and reason."""

    node: str
    input: str
    rows: dict[str, int]
    reasons: dict[tuple[str, str], int]

    @property
    def total(self) -> int:
        return sum(self.rows.values())

    @property
    def input_named(self) -> str:
        """A node that accounts for no input row by row has one account under its own name."""
        return {self.node: "(all inputs together)", "derived": "(derived here)"}.get(self.input, self.input)

    @property
    def layer(self) -> str:
        return self.node.split(".")[0]


def accounts(context: Context) -> list[Account]:
    """In the order in which tables are built, of the last time that each was; of a raw file that is still there, of the
    last time that it was read. ContractError before anything was built."""
    runs = context.ledger.runs()
    started = {(r["node"], r["run_id"]): i for i, r in enumerate(runs) if r["status"] == "built"}
    if not started:
        raise ContractError(f"the lake {context.settings.lake} has no finished run to reconcile: start with ehr run.")
    groups: dict[tuple[str, str], dict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    last: dict[str, int] = {}
    for record in context.lake.records(RECONCILIATION.name):
        node = record["node"]
        if (place := started.get((node, record["run_id"]))) is not None:
            groups[node, record["input"]][place].append(record)
            last[node] = max(last.get(node, 0), place)
    files = _files(context)
    one_by_one = {table for table, _ in files}
    without_rows = {one for one in files if one not in groups}
    order = {name: i for i, name in enumerate([*registry().tables, *(node.name for node in registry().nodes)])}
    found = [
        _account(node, name, by_run[max(by_run)])
        for (node, name), by_run in groups.items()
        # What a later run did not account for again is gone, but for files: each is read once.
        if (node, name) in files or (name == RAW_FILES and node not in one_by_one) or _is_last(node, by_run, last)
    ]
    found += [_account(table, file, []) for table, file in without_rows]
    return sorted(found, key=lambda a: (order.get(a.node, len(order)), a.node, a.input == "derived", a.input))


def _is_last(node: str, by_run: Mapping[int, object], last: Mapping[str, int]) -> bool:
    return not node.startswith("bronze.") and max(by_run) == last[node]


def _files(context: Context) -> set[tuple[str, str]]:
    """(table, file) of the files that are accounted for one by one: one without rows left no record."""
    of_tables = {table.name: context.ledger.files(table.name) for table in registry().raw_tables()}
    return {(table, file) for table, names in of_tables.items() if len(names) <= ACCOUNTED_FILES for file in names}


def _account(node: str, name: str, records: list[dict[str, Any]]) -> Account:
    rows = dict.fromkeys(_OUTCOMES, 0)
    reasons: dict[tuple[str, str], int] = {}
    for record in sorted(records, key=lambda r: (-r["rows"], r["reason"])):
        rows[record["outcome"]] += record["rows"]
        if record["outcome"] != "written":
            reasons[record["outcome"], record["reason"]] = record["rows"]
    return Account(node, name, rows, reasons)


def reconcile(context: Context, markdown: bool = False) -> None:
    """Prints the reconciliation as a table, or the page `docs/reconciliation.md`."""
    if markdown:
        print(page(accounts(context)), end="")
        return
    view = RichTable(header_style="bold")
    for i, header in enumerate(_HEADERS):
        view.add_column(header, justify="right" if 2 <= i <= 6 else "left", overflow="fold")
    for a in accounts(context):
        why = ", ".join(f"{reason} {n:,}" for (_, reason), n in a.reasons.items())
        cells = (a.node, a.input_named, *_counts(a), why)
        view.add_row(*(cell.replace("[", "\\[") for cell in cells))
    results().print(view)


def _counts(account: Account) -> list[str]:
    return [f"{n:,}" for n in (account.total, *(account.rows[outcome] for outcome in _OUTCOMES))]


def page(found: list[Account]) -> str:
    """The reconciliation in Markdown: each raw file, each input of silver and gold, each reason."""
    bronze = [a for a in found if a.layer == "bronze"]
    later = [a for a in found if a.layer != "bronze"]
    parts = [
        "# Where every row went",
        "Printed by `ehr reconcile --markdown` for a lake made of the open data: Challenge 2012 sets a and b, the "
        "demos of MIMIC-III 1.4 and MIMIC-IV 2.2. `tests/real/test_real_lake.py` builds that lake anew, counts the "
        "files' own rows and compares this page.",
        "The runner checks on every run, before it writes, that for each input\n\n"
        "    input rows = written + merged + left out + quarantined",
        f"## Bronze: {sum(a.total for a in bronze):,} rows of {len(bronze):,} files",
        _markdown(
            ("file", "table", "rows of the file", "written", "quarantined"),
            [
                (a.input, a.node, *(f"{n:,}" for n in (a.total, a.rows["written"], a.rows["quarantined"])))
                for a in bronze
            ],
        ),
        "## Silver and gold",
        _markdown(_HEADERS[:-1], [(a.node, a.input_named, *_counts(a)) for a in later]),
        "## Why",
        "Rows of the table above that were not written as they came: merged into another row, left out on purpose, or "
        "quarantined by a rule of the table ([data dictionary](data-dictionary.md)).",
        _markdown(
            ("table", "input", "outcome", "reason", "rows"),
            [
                (a.node, a.input_named, outcome.replace("_", " "), f"`{reason}`", f"{n:,}")
                for a in found
                for (outcome, reason), n in a.reasons.items()
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _markdown(headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table; columns after the first whose cells are all numbers are set to the right."""
    numbers = [bool(rows) and all(row[i].replace(",", "").isdigit() for row in rows) for i in range(len(headers))]
    rule = "|".join("---:" if number else "---" for number in numbers)
    lines = (f"| {' | '.join(row)} |" for row in (headers, *rows))
    first, *rest = lines
    return "\n".join([first, f"|{rule}|", *rest])
