"""Forgets a patient: out of every table, its history, quarantine and the records; models that saw them are marked.

What stays is a keyed digest in `ops.forgotten`, by which ingestion leaves the patient out should the raw files bring
them again. The raw files themselves are not the lake's to change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.table import Table as RichTable

from jobs.context import Context
from jobs.privacy.erasure import Person, of_derived, of_names, of_raw
from jobs.privacy.models import registered
from jobs.privacy.patients import check_key, patients_of, raw_tables
from lakehouse.errors import ConfigError
from lakehouse.records.forgotten import Forgotten
from lakehouse.records.ledger import FILES, RECONCILIATION, RUNS
from lakehouse.registry import registry
from lakehouse.table import Table
from models.provenance import patient_digest


@dataclass
class Erased:
    """Rows deleted by table, and the versions of models that were trained on a patient who is forgotten."""

    rows: dict[str, int] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)

    def add(self, table: str, rows: int) -> None:
        if rows:
            self.rows[table] = self.rows.get(table, 0) + rows


def forget(context: Context, patient: str | None = None) -> Erased:
    """`patient` is `<source>-<id>` as the raw files have it, or a patient_id of silver; None finishes what was begun.

    ConfigError where no row of the lake is of such a patient, and none was forgotten under that name.
    """
    lake = context.lake
    with context.writing("forget"):
        for source, tables in raw_tables(context).items():
            check_key(context, source, tables)
        forgotten = Forgotten.of(lake, context.settings.pseudonym_key)
        people = _named(context, forgotten, patient) if patient else _begun(context, forgotten)
        done = Erased()
        begun = dict(forgotten.unfinished)
        for person in people:
            if person.digest not in forgotten.digests:
                forgotten.record(lake, person.digest, person.source, "begun", context.run_id)
                begun[person.digest] = person.source
            done.models += _mark_models(context, person)
            _delete(context, person, done)
        if people or begun:
            _erase_history(context)
        for digest, source in sorted(begun.items()):
            forgotten.record(lake, digest, source, "finished", context.run_id)
    return done


def _person(context: Context, forgotten: Forgotten, source: str, value: str) -> Person:
    return Person(source, value, context.identify.of(source, value), forgotten.digest(source, value))


def _named(context: Context, forgotten: Forgotten, patient: str) -> list[Person]:
    tables = raw_tables(context)
    for source in sorted(tables):
        if not patient.startswith(f"{source}-"):
            continue
        value = patient.removeprefix(f"{source}-")
        if forgotten.holds(source, value):
            return [_person(context, forgotten, source, value)]
        for known in patients_of(context, tables[source]):
            if patient in (f"{source}-{known}", context.identify.of(source, known)):
                return [_person(context, forgotten, source, known)]
    sources = ", ".join(sorted(tables)) or "none"
    raise ConfigError(
        f"no row of the lake {context.lake.root} is of a patient of that name; it is <source>-<id> of one of its "
        f"sources ({sources}), or a patient_id of silver.patients."
    )


def _begun(context: Context, forgotten: Forgotten) -> list[Person]:
    """Those of whom rows are still there, though they are forgotten or were to be."""
    return [
        _person(context, forgotten, source, value)
        for source, tables in raw_tables(context).items()
        for value in sorted(patients_of(context, tables))
        if forgotten.holds(source, value)
    ]


def _delete(context: Context, person: Person, done: Erased) -> None:
    started = datetime.now(UTC)
    for name, rows in of_derived(context, person).items():
        done.add(name, rows)
    of_names(context, person)
    known = defaultdict(set)
    for record in context.lake.records(RECONCILIATION.name):
        known[record["node"]].add(record["input"])
    for table in _register_last(raw_tables(context)[person.source]):
        done.add(table.name, of_raw(context, table, person, known[table.name], started))


def _register_last(tables: Sequence[Table]) -> list[Table]:
    """A forgetting that was killed finds the patient by the table that is keyed by patients, so that one goes last."""
    return sorted(tables, key=lambda t: t.raw is not None and t.key == (t.raw.patient,))


def _erase_history(context: Context) -> None:
    """Of every table that can have held a patient's rows or the name of their file; withdrawn tables go altogether."""
    lake = context.lake
    contracts = {t.name: t for t in registry().raw_tables()}
    for name in lake.names():
        contract = contracts.get(name.removesuffix("_quarantine"))
        if name.startswith(("silver.", "gold.")) or name in (FILES.name, RECONCILIATION.name, RUNS.name):
            lake.erase_history(name)
        elif name.startswith("bronze.") and contract is None:
            lake.erase_history(name)  # a table that no contract knows: nobody can say whose rows it held
    lake.forget_withdrawn(0)


def _mark_models(context: Context, person: Person) -> list[str]:
    """Tags each registered version that was trained on the patient with when they were forgotten."""
    marked, digest = [], patient_digest(person.patient_id)
    for models, version, seen in registered(context):
        # One that does not say whom it was trained on may have been trained on this patient.
        if seen is None or digest in seen:
            models.tag(version.name, version.version, "trained_on_forgotten", f"{datetime.now(UTC):%Y-%m-%d}")
            marked.append(f"{version.name} version {version.version}")
    return marked


def as_table(done: Erased) -> RichTable:
    """A row a table of which rows were deleted."""
    view = RichTable("table", header_style="bold")
    view.add_column("rows deleted", justify="right")
    for name, rows in sorted(done.rows.items()):
        view.add_row(name, f"{rows:,}")
    view.add_section()
    view.add_row("all", f"{sum(done.rows.values()):,}")
    return view
