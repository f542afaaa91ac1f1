"""Takes one patient's rows out of stored tables, and keeps the ledger's accounts of raw rows true."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from pyspark.sql import functions as F

from jobs.context import Context
from jobs.privacy.patients import patients_of
from lakehouse.dates import PATIENT, STAY
from lakehouse.ddl import literal
from lakehouse.errors import ConfigError
from lakehouse.records.forgotten import FORGET, NAMELESS, REASON, mentions
from lakehouse.records.ledger import FILES, RECONCILIATION, RUNS, Outcome
from lakehouse.table import RAW_TEXT, SOURCE_FILE, Table

ADMISSION = "admission_id"
RAW_FILES = "raw files"
"""The input under which the rows of many files are accounted for together: see `lakehouse.ingestion`."""


@dataclass(frozen=True)
class Person:
    """A patient of a source: `value` as the raw files have it, `patient_id` as silver and gold do."""

    source: str
    value: str
    patient_id: str
    digest: str

    @property
    def nameless(self) -> str:
        """What stands in the ledger for a raw file that was called after this patient."""
        return f"{NAMELESS}{self.digest[:8]}"

    def has_file(self, name: str) -> bool:
        return PurePosixPath(name).name.split(".")[0] == self.value


def of_derived(context: Context, person: Person) -> dict[str, int]:
    """Deletes the patient's rows of silver and gold and their quarantines; how many by table.

    Tables that lead from the patient to admissions and stays come last, so that a killed deletion can be repeated.
    """
    lake = context.lake
    columns = {
        name: ids
        for name in lake.names()
        if name.startswith(("silver.", "gold.")) and (ids := {PATIENT, ADMISSION, STAY} & _columns(context, name))
    }
    known: dict[str, set[str]] = {PATIENT: {person.patient_id}, ADMISSION: set(), STAY: set()}
    for name in (n for n, ids in columns.items() if PATIENT in ids and n.split(".")[1] not in ("medications", "notes")):
        others = sorted(columns[name] - {PATIENT})
        rows = lake.read(name).where(F.col(PATIENT) == F.lit(person.patient_id)).select(*others).distinct()
        for row in rows.collect() if others else []:
            for column in others:
                known[column] |= {str(row[column])} if row[column] is not None else set()
    done = {}
    for name, ids in sorted(columns.items(), key=lambda item: PATIENT in item[1]):
        where = " OR ".join(_is_in(column, known[column]) for column in sorted(ids) if known[column])
        done[name] = lake.delete(name, where) if where else 0
    return done


def of_raw(context: Context, table: Table, person: Person, known: set[str], started: datetime) -> int:
    """Deletes the patient's rows of a bronze table and its quarantine, with all history; how many.

    The ledger gets a build that accounts anew for the files that held them: what is still there, and what was
    forgotten. `known` are the inputs that were accounted for one by one.
    """
    assert table.raw is not None and table.raw.patient is not None
    lake = context.lake
    is_theirs = _equals(table, table.raw.patient, person.value)
    unread = f"{table.raw.patient} IS NULL AND {mentions(RAW_TEXT, [person.value])}"
    refused = f"({is_theirs}) OR ({unread})"
    counts: dict[tuple[str, str, str], int] = {}
    # Most tables know nothing of the patient, and to learn that by a query takes JVM Spark a second each.
    holds = {table.name: person.value in patients_of(context, [table]), table.quarantine: lake.exists(table.quarantine)}
    for name, outcome, where in ((table.name, "written", is_theirs), (table.quarantine, "quarantined", refused)):
        if holds[name]:
            for file, theirs, others in _by_file(context, name, where):
                of = person.nameless if person.has_file(file) else file
                account = of if file in known or of in known else RAW_FILES
                for key, n in (((account, outcome, ""), others), ((account, "left_out", REASON), theirs)):
                    counts[key] = counts.get(key, 0) + n
    gone = sum(n for (_, outcome, _), n in counts.items() if outcome == "left_out")
    touched = {account for (account, outcome, _), n in counts.items() if outcome == "left_out" and n}
    outcome_of = Outcome(table.name, table.name, "built")
    for name, where in ((table.name, is_theirs), (table.quarantine, refused)):
        if lake.exists(name):
            if gone:
                lake.delete(name, where)
            lake.erase_history(name)
    counts = {account: n for account, n in counts.items() if account[0] in touched and n}
    outcome_of.count(counts)
    outcome_of.version = lake.data_version(table.name)
    outcome_of.quarantine_version = lake.data_version(table.quarantine)
    context.ledger.record_run(
        context.run_id, outcome_of, started, code=FORGET, fingerprint="", input_versions={}, counts=counts
    )
    return gone


def _by_file(context: Context, name: str, where: str) -> list[tuple[str, int, int]]:
    """Each file's rows for which the condition holds, and its other ones."""
    theirs = F.expr(f"coalesce(({where}), false)")
    counted = context.lake.read(name).groupBy(SOURCE_FILE).agg(F.count_if(theirs), F.count_if(~theirs))
    return [(str(row[0]), int(row[1]), int(row[2])) for row in counted.collect()]


def of_names(context: Context, person: Person) -> bool:
    """Takes the names (and digests) of files that were called after the patient out of the ledger; whether any was."""
    lake, changed = context.lake, False
    token = re.compile(rf"[\w./-]*(?<![0-9A-Za-z]){re.escape(person.value)}\.[\w.]*")

    def nameless(name: str, record: dict[str, Any]) -> dict[str, Any]:
        if name == FILES.name and person.has_file(record["file"]):
            return {**record, "file": person.nameless, "sha256": person.nameless, "size": None, "modified_ns": None}
        if name == RECONCILIATION.name and person.has_file(record["input"]):
            return {**record, "input": person.nameless}
        if name == RUNS.name:
            inputs = json.loads(record["input_versions"] or "{}")
            theirs = [key for key in inputs if person.has_file(key)]
            clean = {key: value for key, value in inputs.items() if key not in theirs}
            clean |= dict.fromkeys(theirs and [person.nameless], person.nameless)
            error = token.sub(person.nameless, record["error"]) if record["error"] else record["error"]
            return {**record, "input_versions": json.dumps(clean, sort_keys=True), "error": error}
        return record

    for name in (FILES.name, RECONCILIATION.name, RUNS.name):
        before = lake.records(name)
        after = [nameless(name, record) for record in before]
        if [str(r) for r in before] != [str(r) for r in after]:
            lake.overwrite_records(name, after)
            changed = True
    return changed


def _columns(context: Context, name: str) -> set[str]:
    version = context.lake.version(name)
    return {column.name for column in context.lake.columns(name, version or 0)}


def _equals(table: Table, column: str, value: str) -> str:
    kind = next(c.type for c in table.columns if c.name == column)
    if kind.upper() in ("BIGINT", "INT"):
        if not value.isdigit():
            raise ConfigError(f"patients of {table.name} are numbers, not {value!r}.")
        return f"{column} = {int(value)}"
    return _is_in(column, {value})


def _is_in(column: str, values: set[str]) -> str:
    return f"{column} IN ({', '.join(literal(v) for v in sorted(values))})"
