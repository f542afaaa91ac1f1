"""Feeds that change: a new column is kept and reported, a missing one stops by name, another type is quarantined."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.context import Context
from jobs.ingest import ingest
from lakehouse.errors import RawDataError
from lakehouse.records.ledger import Outcome
from tests.integration.worlds import CHALLENGE, MIMICIII, records, write_records
from tests.raw_csv import edit, rows

Make = Callable[..., Context]

PATIENTS, PATIENTS_FILE = "bronze.mimiciii_patients", f"{MIMICIII}/PATIENTS.csv.gz"
LABS, LABS_FILE = "bronze.mimiciii_labevents", f"{MIMICIII}/LABEVENTS.csv.gz"
MEASUREMENTS, SET_A = "bronze.challenge2012_measurements", f"{CHALLENGE}/set-a.tar.gz"


def warnings(context: Context, outcome: Outcome) -> Any:
    """What the record of the run says of it."""
    last = context.ledger.last_built(outcome.node)
    assert last is not None
    return json.loads(last["warnings"])


@pytest.mark.engine
def test_a_new_column_is_kept_and_reported(raw: Path, context_of: Make) -> None:
    given = rows(raw / PATIENTS_FILE)
    edit(raw / PATIENTS_FILE, lambda all_rows: [{**row, "Mother Tongue": "x"} for row in all_rows[:-1]] + all_rows[-1:])
    (outcome,) = ingest(context_of(raw), PATIENTS)
    assert (outcome.rows_out, outcome.rows_quarantined) == (len(given), 0)
    assert outcome.note == "new column, kept in _extra: mother_tongue"
    context = context_of(raw)
    assert warnings(context, outcome) == {"known_columns": len(given) - 1}
    kept = context.lake.read_arrow(PATIENTS, ["subject_id", "_extra"]).to_pylist()
    assert {str(row["subject_id"]): row["_extra"] for row in kept} == {
        row["subject_id"]: '{"mother_tongue": "x"}' if row != given[-1] else None for row in given
    }


def test_a_new_column_of_records_is_kept_and_reported(raw: Path, context_of: Make) -> None:
    given = records(raw / SET_A)
    changed, *others = given
    lines = given[changed].splitlines()
    wider = [f"Unit,{lines[0]}", *(f"u{i},{line}" for i, line in enumerate(lines[1:], 1)), ""]
    write_records(raw / SET_A, {changed: "\n".join(wider), **{name: given[name] for name in others}})
    (outcome,) = ingest(context_of(raw), MEASUREMENTS)
    assert outcome.note == "new column, kept in _extra: unit"
    assert outcome.warnings == {"known_columns": len(lines) - 1}
    stored = context_of(raw).lake.read_arrow(MEASUREMENTS, ["record_id", "_source_row", "time", "_extra"]).to_pylist()
    of_changed = sorted((row["_source_row"], row["time"], row["_extra"]) for row in stored if row["_extra"])
    assert of_changed == [(i, line[:5], f'{{"unit": "u{i}"}}') for i, line in enumerate(lines[1:], 1)]
    assert {str(row["record_id"]) for row in stored if row["_extra"]} == {changed}


def test_a_missing_column_stops_with_file_column_and_table_before_anything_is_read(raw: Path, context_of: Make) -> None:
    edit(raw / PATIENTS_FILE, lambda all_rows: [{k: v for k, v in row.items() if k != "dob"} for row in all_rows])
    with pytest.raises(RawDataError, match=rf"^{PATIENTS_FILE} lacks the column dob, which {PATIENTS} needs\.$"):
        ingest(context_of(raw), "mimiciii")
    assert context_of(raw).lake.names() == []


@pytest.mark.engine
def test_another_type_is_quarantined_row_by_row_and_said_when_half_of_a_file_has_it(
    raw: Path, context_of: Make
) -> None:
    given = rows(raw / LABS_FILE)
    half = len(given) // 2 + 1
    european = [{**row, "charttime": "03/04/2101 10:00"} if i < half else row for i, row in enumerate(given)]
    edit(raw / LABS_FILE, lambda _: european)
    (outcome,) = ingest(context_of(raw), LABS)
    assert (outcome.rows_out, outcome.rows_quarantined) == (len(given) - half, half)
    assert outcome.note == (
        f"charttime seems to have changed type: {half:,} of {len(given):,} rows of {LABS_FILE} are no TIMESTAMP"
    )
    context = context_of(raw)
    assert warnings(context, outcome) == {"changed_type": half}
    refused = context.lake.read_arrow(f"{LABS}_quarantine", ["_rules", "_source_row"]).to_pylist()
    assert sorted(row["_source_row"] for row in refused) == list(range(1, half + 1))
    assert {tuple(row["_rules"]) for row in refused} == {("parsed", "charttime_is_timestamp")}


def test_fewer_than_half_are_quarantined_without_a_word_on_the_type(raw: Path, context_of: Make) -> None:
    given = rows(raw / LABS_FILE)
    edit(raw / LABS_FILE, lambda all_rows: [{**all_rows[0], "valuenum": "high"}, *all_rows[1:]])
    (outcome,) = ingest(context_of(raw), LABS)
    assert (outcome.rows_out, outcome.rows_quarantined, outcome.note) == (len(given) - 1, 1, "")
