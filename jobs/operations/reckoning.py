"""Whether the stored rows are those that `ops` accounts for: every row has a known origin, and as many are there."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.context import Context
from jobs.operations.findings import Finding
from lakehouse.ingestion import RAW_FILES
from lakehouse.records.forgotten import FORGET
from lakehouse.records.ledger import FILES, RECONCILIATION
from lakehouse.registry import CONF_PREFIX, registry
from lakehouse.table import BATCH_ID, NODE, RUN_ID, SOURCE_FILE, Table

Record = dict[str, Any]
Rows = dict[tuple[str, str], int]
"""Rows by file (or node) and by the run that wrote them."""


class Reckoning:
    """What `ops` says is in the tables, of what was recorded up to `until` and is in force.

    `disturbed` are tables that somebody changed behind the lake's back. `notes` names those whose version no build
    left, such as one whose run was killed before it could say what it wrote: rows of these are not counted.
    """

    def __init__(
        self, context: Context, versions: Mapping[str, int], until: datetime | None, disturbed: Collection[str]
    ) -> None:
        self._lake, self._versions, self._disturbed = context.lake, versions, disturbed
        self.notes: list[str] = []
        self._last: dict[str, dict[str, Record]] = defaultdict(dict)
        self._files: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
        self._counted: dict[tuple[str, str], list[Record]] = defaultdict(list)
        self._builds: dict[str, list[Record]] = defaultdict(list)
        end = until or datetime.max.replace(tzinfo=UTC)
        for record in context.ledger.runs():
            if record["status"] == "built" and record["started_at"] <= end:
                self._last[record["table"]][record["node"]] = record
                self._builds[record["node"]].append(record)
        for record in context.ledger.in_force(self._lake.records(FILES.name), "ingested_at"):
            if record["ingested_at"] <= end:
                self._files[record["table"]][record["file"]].append(record)
                if record["sha256"] is None:  # it was gone, and its rows with it
                    del self._files[record["table"]][record["file"]]
        for record in self._lake.records(RECONCILIATION.name):
            self._counted[record["node"], record["run_id"]].append(record)
        self._consumes = {node.name: node.consumes for node in registry().nodes}

    def of(self, contract: Table) -> Iterator[Finding]:
        """Broken promises of one table and its quarantine."""
        last = self._last.get(contract.name, {})
        for record in last.values():
            yield from self._of_build(contract, record)
            yield from self._of_inputs(contract, record)
        if contract.raw is not None and self._is_told(contract, last):
            yield from self._of_raw_rows(contract)
        elif contract.mode == "overwrite" and last and self._is_told(contract, last):
            yield from self._of_built_rows(contract, last)

    def _is_told(self, contract: Table, last: Mapping[str, Record]) -> bool:
        """Whether the stored rows, and the refused ones, are those of the last build that is recorded, or should be."""
        for name, version in ((contract.name, "version"), (contract.quarantine, "quarantine_version")):
            # Not the last one alone: a build that found nothing to change in its part left the version that it found.
            told = {record[version] for record in last.values()} or {None}
            there = self._lake.data_version(name, self._versions[name]) if name in self._versions else None
            if name not in self._disturbed and there not in told:
                self.notes.append(f"{name} is at a version that no build in ops.runs left: its rows are not counted")
                return False
        return True

    def _of_build(self, contract: Table, record: Record) -> Iterator[Finding]:
        """The sums of one build, by its own record."""
        node, name = record["node"], contract.name
        given, out = record["rows_given"] or 0, record["rows_out"] or 0
        parts = out + (record["rows_quarantined"] or 0) + (record["rows_left_out"] or 0)
        if given != parts:
            yield Finding(name, "reconciliation", f"{node}: {given:,} rows were given, {parts:,} are accounted for")
        counted = self._counted.get((node, record["run_id"]))
        if not counted:
            return
        written = sum(r["rows"] for r in counted if r["outcome"] == "written")
        if written != out:
            yield Finding(name, "reconciliation", f"{node}: {out:,} rows were written, {written:,} are reconciled")
        inputs = self._consumes.get(node)
        found = sum(r["rows"] for r in counted if contract.raw or r["input"] in (inputs or ()))
        if (contract.raw or inputs) and found != record["rows_in"]:
            there = f"{record['rows_in']:,} rows of its inputs"
            yield Finding(name, "reconciliation", f"{node}: {found:,} of {there} are accounted for")

    def _of_inputs(self, contract: Table, record: Record) -> Iterator[Finding]:
        """The inputs of one build are there: versions of tables, contents of files."""
        for name, used in json.loads(record["input_versions"] or "{}").items():
            if contract.raw is not None:
                contents = {r["sha256"] for r in self._files[contract.name].get(name, [])}
                if used not in contents:
                    yield Finding(contract.name, "lineage", f"{name} was read with a content that ops.files lacks")
            elif not name.startswith((CONF_PREFIX, "models.")):
                newest = self._versions.get(name)
                if newest is None:
                    yield Finding(contract.name, "lineage", f"{record['node']} was made from {name}, which is gone")
                elif used is not None and used > newest:
                    text = f"{record['node']} was made from {name} version {used}, which has {newest} at most"
                    yield Finding(contract.name, "lineage", text)

    def _of_built_rows(self, contract: Table, last: dict[str, Record]) -> Iterator[Finding]:
        """As many rows are stored of each node as its last build wrote."""
        by_source = any("[" in node for node in last)
        there = self._counts(contract.name, "source" if by_source else None)
        refused = self._counts(contract.quarantine, NODE)
        for node, record in last.items():
            part = node.partition("[")[2].removesuffix("]")
            for what, stored, wanted in (
                ("rows", there.get((part, ""), 0), record["rows_out"]),
                ("quarantined rows", refused.get((node, ""), 0), record["rows_quarantined"]),
            ):
                if stored != wanted:
                    text = f"{node}: {wanted or 0:,} {what} were written, {stored:,} are stored"
                    yield Finding(contract.name, "reconciliation", text)

    def _of_raw_rows(self, contract: Table) -> Iterator[Finding]:
        """Each stored row is of a known file and read by a known run; of each file as many as were read are there."""
        stored = self._counts(contract.name, SOURCE_FILE, BATCH_ID)
        refused = self._counts(contract.quarantine, SOURCE_FILE, RUN_ID)
        known = self._files[contract.name]
        for (file, run), n in sorted((stored | refused).items()):
            if file not in known:
                yield Finding(contract.name, "lineage", f"{n:,} rows are of {file}, which ops.files does not know")
            elif run not in {r["batch_id"] for r in known[file]}:
                yield Finding(
                    contract.name, "lineage", f"{n:,} rows of {file} were read by {run}, which ops.files lacks"
                )
        for outcome, there in (("written", stored), ("quarantined", refused)):
            for text in self._of_counts(contract.name, outcome, there):
                yield Finding(contract.name, "reconciliation", text)

    def _of_counts(self, name: str, outcome: str, there: Rows) -> Iterator[str]:
        """What was counted file by file holds for the last time that each was read; what was counted of many files
        together, for all that were not counted one by one since."""
        by_file: dict[str, int] = {}
        together: int | None = None
        for build in self._builds[name]:
            anew: dict[str, int] = {}
            of_many: int | None = None
            for record in self._counted.get((name, build["run_id"]), []):
                n = record["rows"] if record["outcome"] == outcome else 0
                if record["input"] == RAW_FILES:
                    of_many = (of_many or 0) + n
                else:
                    anew[record["input"]] = anew.get(record["input"], 0) + n
            if of_many is None:  # a file that gave no row left no count
                anew = dict.fromkeys(json.loads(build["input_versions"] or "{}"), 0) | anew
            elif build["code"] != FORGET:
                by_file.clear()
            by_file |= anew
            together = of_many if of_many is not None or (anew and build["code"] != FORGET) else together
        stored: dict[str, int] = defaultdict(int)
        for (file, _), n in there.items():
            stored[file] += n
        for file, wanted in sorted(by_file.items()):
            if file in self._files[name] and stored[file] != wanted:
                yield f"{wanted:,} rows of {file} were {outcome}, {stored[file]:,} are stored"
        rest = sum(n for file, n in stored.items() if file not in by_file)
        if together is not None and rest != together:
            yield f"{together:,} rows were {outcome} of all files together, {rest:,} are stored"

    def _counts(self, name: str, *by: str | None) -> Rows:
        """Stored rows by one or two columns, none where there is no such table."""
        if name not in self._versions:
            return {}
        rows: DataFrame = self._lake.read(name, self._versions[name])
        columns = [F.coalesce(F.col(c), F.lit("")) if c else F.lit("") for c in (*by, None)[:2]]
        grouped = rows.groupBy(columns[0].alias("a"), columns[1].alias("b")).agg(F.count(F.lit(1)).alias("n"))
        return {(row["a"], row["b"]): row["n"] for row in grouped.collect()}
