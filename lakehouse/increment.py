"""A node's work for those patients alone whose rows changed since its last build, where its contract says `by`.

Whose rows changed is told by the files that came and went in its inputs since then. What cannot be told, or would be no
less work than all of it, is an `UnfitError`: the node is then built whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lakehouse.commit import Committed, Scope, UnfitError
from lakehouse.dates import PATIENT, STAY
from lakehouse.errors import ContractError
from lakehouse.io import Lake
from lakehouse.part import Part, Value
from lakehouse.pseudonyms import Identifier
from lakehouse.records.ledger import Counts, Ledger
from lakehouse.registry import Node
from lakehouse.table import NODE, Table

K = TypeVar("K")
MOST = 1 / 3
"""Share of the patients above which a table is built whole: those who had rows before are counted twice."""


@dataclass(frozen=True)
class Increment:
    """The patients, where their rows are in each input now and were at the last build, and which rows they replace."""

    patients: frozenset[str]
    last: Mapping[str, Any]
    counts: Counts
    now: Mapping[str, Part]
    before: Mapping[str, Part]
    """Empty where none of the inputs had a row of theirs."""
    versions_before: Mapping[str, int]
    scope: Scope

    def carried(self, column: str, old: int, new: int) -> int:
        """What the last build counted in `ops.runs`, less what its rows of these patients were, and what they are."""
        return int(self.last[column] or 0) - old + new

    @property
    def all_written(self) -> tuple[str, str, str] | None:
        """The one account of a last build that wrote every row as given: the stored rows tell what it counted."""
        told = self.last["rows_given"] == self.last["rows_out"] and not json.loads(self.last["warnings"] or "{}")
        accounts = list(self.counts)
        return accounts[0] if told and len(accounts) == 1 and accounts[0][1] == "written" else None

    def warnings(self, old: Committed, new: Committed) -> dict[str, int]:
        return _carried(json.loads(self.last["warnings"] or "{}"), old.warnings, new.warnings)

    def reconciliation(self, old: Committed, new: Committed) -> Counts:
        return _carried(self.counts, old.reconciliation, new.reconciliation)


def _carried(last: Mapping[K, int], old: Mapping[K, int], new: Mapping[K, int]) -> dict[K, int]:
    total = {key: last.get(key, 0) - old.get(key, 0) + new.get(key, 0) for key in {*last, *old, *new}}
    if any(n < 0 for n in total.values()):
        raise UnfitError("the last build counted fewer rows than it gave.")
    return {key: n for key, n in total.items() if n}


@dataclass
class Increments:
    """Plans increments; `tables` are the contracts by name."""

    lake: Lake
    tables: Mapping[str, Table]
    ledger: Ledger
    identify: Identifier
    _ids: dict[tuple[str, Value], str] = field(default_factory=dict)

    def plan(self, node: Node, last: Mapping[str, Any], versions: Mapping[str, Any]) -> Increment:
        """UnfitError where the node is to be built whole."""
        table, before = node.table, json.loads(last["input_versions"])
        if table.by is None or table.mode != "overwrite":
            raise UnfitError(f"{table.name} does not say that its rows are of one patient each.")
        self._check_as_left(table.name, last["version"], "version", table)
        self._check_as_left(table.quarantine, last["quarantine_version"], "quarantine_version", table)
        stays = self.stays(node, before)
        patients: set[str] = set()
        for name in node.table_inputs:
            if before[name] != versions[name]:
                patients |= self._changed(node, name, before[name], versions[name], stays)
        now, then = self.parts(node, patients, stays, {}), self.parts(node, patients, stays, before)
        known = any(self._holds(name, before[name], part) for name, part in then.items())
        if len(patients) > MOST * self._count(now, stays):
            raise UnfitError(f"rows of {len(patients)} patients changed: that is no less work than all.")
        mine = self._theirs(table.by, patients, stays)
        scope = Scope(Part(table.by, mine, within(node, table)), Part(table.by, mine, {NODE: node.name}))
        counts = self.ledger.reconciled(node.name, last["run_id"])
        return Increment(frozenset(patients), last, counts, now, then if known else {}, before, scope)

    def _check_as_left(self, name: str, version: int | None, column: str, table: Table) -> None:
        """A run that was killed may have written rows of which no build is recorded."""
        if not self.lake.exists(name):
            return
        brought = self.lake.versions_of_rows(name, version or 0)
        if brought is None or not brought <= self.ledger.written(table.name, column):
            raise UnfitError(f"{name} is not as the last build left it.")

    def _changed(
        self, node: Node, name: str, before: int | None, after: int | None, stays: Mapping[str, str]
    ) -> set[str]:
        """Patients whose rows of an input differ."""
        table = self.tables[name]
        if before is None or after is None:
            raise UnfitError(f"{name} was not there at the last build.")
        if not self.lake.is_whole(name, after):  # since compacted, so that the version now has the same rows
            after = self.lake.version(name) or 0
        column = whose(table)
        try:
            found = self.lake.changed(name, column or table.key[0], before, after, within(node, table))
        except ContractError as error:
            raise UnfitError(str(error)) from error
        if found and column is None:
            raise UnfitError(f"{name} has rows of no patient, and they changed.")
        if None in found:
            raise UnfitError(f"{name} has changed rows whose {column} is not known.")
        return set(self._patients(table, found, stays))

    def _patients(self, table: Table, values: Iterable[Value], stays: Mapping[str, str]) -> Iterable[str]:
        column = whose(table)
        if table.raw:
            return (self._id(table.raw.source, value) for value in values)
        if column == STAY:  # a stay that no input knows gives no row either
            return (stays[str(value)] for value in values if value in stays)
        return (str(value) for value in values)

    def _id(self, source: str, value: Value) -> str:
        if (source, value) not in self._ids:
            self._ids[source, value] = self.identify.of(source, str(value))
        return self._ids[source, value]

    def stays(self, node: Node, before: Mapping[str, int]) -> dict[str, str]:
        """The patient of each stay that an input knows, or knew in the version `before`."""
        found: dict[str, str] = {}
        for name in node.table_inputs:
            table = self.tables[name]
            if table.key == (STAY,) and PATIENT in table.column_names:
                for version in {before.get(name), self.lake.version(name)}:
                    try:
                        found |= self.lake.pairs(name, STAY, PATIENT, version)
                    except ContractError as error:
                        raise UnfitError(str(error)) from error
        return found

    def _theirs(self, column: str, patients: Set[str], stays: Mapping[str, str]) -> frozenset[Value]:
        return frozenset(patients if column == PATIENT else (s for s, patient in stays.items() if patient in patients))

    def parts(
        self, node: Node, patients: Set[str], stays: Mapping[str, str], versions: Mapping[str, int]
    ) -> dict[str, Part]:
        """Where the patients' rows are in each input that has rows of patients: in these versions, else now."""
        found = {name: self._part(node, name, versions.get(name), patients, stays) for name in node.table_inputs}
        return {name: part for name, part in found.items() if part}

    def _part(
        self, node: Node, name: str, version: int | None, patients: Set[str], stays: Mapping[str, str]
    ) -> Part | None:
        table, column = self.tables[name], whose(self.tables[name])
        if column is None:
            return None
        inside = within(node, table)
        if table.raw is None:
            return Part(column, self._theirs(column, patients, stays), inside)
        values = self.lake.values(name, column, version, Part(within=inside)) if patients else frozenset()
        return Part(column, frozenset(v for v in values if self._id(table.raw.source, v) in patients), inside)

    def _holds(self, name: str, version: int, part: Part) -> bool:
        return bool(part.values) and not part.values.isdisjoint(
            self.lake.values(name, str(part.column), version, Part(within=part.within))
        )

    def _count(self, parts: Mapping[str, Part], stays: Mapping[str, str]) -> int:
        """How many patients the input with most patients has."""
        seen = [len(set(stays.values()))]
        for name, part in parts.items():
            if part.column != STAY:
                seen.append(len(self.lake.values(name, str(part.column), None, Part(within=part.within))))
        return max(seen)


def within(node: Node, table: Table | None) -> dict[str, str]:
    """The one source that a node builds, where it reads (or writes) of a table that is kept by source too.

    Nothing of one source refers to another's rows, so what another source brings leaves this part up to date.
    """
    return {"source": node.source} if node.source is not None and table and "source" in table.partition_by else {}


def whose(table: Table) -> str | None:
    """The column that tells whose a row is; None where a table holds no patient's rows."""
    if table.raw:
        return table.raw.patient
    return next((column for column in (PATIENT, STAY) if column in table.column_names), None)
