"""Bad input, end to end: each fault is quarantined or left out with its reason, together with all that hangs on it."""

import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobs import cli
from jobs.context import Context
from jobs.ingest import ingest
from jobs.refine import refine
from lakehouse.io import Lake
from lakehouse.registry import registry
from lakehouse.settings import load_settings
from tests.conftest import ENGINE
from tests.raw_csv import Rows, edit, rows

SOURCE = "mimiciii"
DEPENDENTS = {"diagnoses": "DIAGNOSES_ICD", "procedures": "PROCEDURES_ICD", "medications": "PRESCRIPTIONS"}
EVENT_INPUTS = ("chartevents", "labevents", "outputevents", "procedureevents_mv")


@dataclass(frozen=True)
class Faults:
    """The people that the faults are done to; each has a stay with charted rows."""

    ends_before_it_begins: str
    registered_twice: str
    not_registered: str
    charted_in_no_stay: str


@dataclass(frozen=True)
class Case:
    """A raw folder with the faults, the lake made of it, and one made of the same files without them."""

    raw: Path
    faults: Faults
    lake: Lake
    clean: Lake

    def table(self, name: str) -> Rows:
        return rows(self.raw / f"{name}.csv.gz")

    def of(self, name: str, subject: str) -> Rows:
        return [row for row in self.table(name) if row["subject_id"] == subject]

    def quarantine(self, table: str) -> Counter[tuple[str, str]]:
        """(patient, rules broken) of the refused rows."""
        stored = self.lake.records(f"{table}_quarantine")
        patient = "patient_id" if "patient_id" in stored[0] else "subject_id"
        return Counter((str(row[patient]), " ".join(row["_rules"])) for row in stored)


def build(raw: Path, lake: Path) -> Lake:
    settings = load_settings(raw=raw, lake=lake, engine=ENGINE, cores=2)
    ingest(Context.of(settings), SOURCE)
    context = Context.of(settings)
    refine(context, SOURCE)
    return context.lake


@pytest.fixture(scope="module")
def case(spark: object, generated_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:  # noqa: ARG001
    folder = tmp_path_factory.mktemp("bad")
    raw = Path(shutil.copytree(generated_raw / "mimiciii-demo-1.4", folder / "raw" / "mimiciii"))
    charted = Counter(row["subject_id"] for row in rows(raw / "CHARTEVENTS.csv.gz"))
    clean = build(folder / "raw", folder / "clean")
    faults = Faults(*(subject for subject, _ in charted.most_common(4)))
    edit(raw / "ICUSTAYS.csv.gz", lambda all_rows: [_reversed(row, faults) for row in all_rows])
    edit(raw / "PATIENTS.csv.gz", lambda all_rows: _registered(all_rows, faults))
    edit(raw / "CHARTEVENTS.csv.gz", lambda all_rows: [_misplaced(row, faults) for row in all_rows])
    return Case(raw, faults, build(folder / "raw", folder / "lake"), clean)


def _reversed(row: dict[str, str], faults: Faults) -> dict[str, str]:
    if row["subject_id"] != faults.ends_before_it_begins:
        return row
    return {**row, "intime": row["outtime"], "outtime": row["intime"]}


def _registered(patients: Rows, faults: Faults) -> Rows:
    kept = [row for row in patients if row["subject_id"] != faults.not_registered]
    twin = next(row for row in kept if row["subject_id"] == faults.registered_twice)
    return [*kept, {**twin, "row_id": "999999", "gender": "F" if twin["gender"] == "M" else "M"}]


def _misplaced(row: dict[str, str], faults: Faults) -> dict[str, str]:
    return {**row, "icustay_id": "999999"} if row["subject_id"] == faults.charted_in_no_stay else row


def patients_of(lake: Lake, table: str) -> set[str]:
    return set(lake.read_arrow(table, ["patient_id"]).column("patient_id").to_pylist())


def test_a_stay_that_ends_before_it_begins_is_quarantined_with_the_reason(case: Case) -> None:
    subject = case.faults.ends_before_it_begins
    refused = case.quarantine("silver.stays")
    assert refused[f"{SOURCE}-{subject}", "ends_after_it_begins"] == len(case.of("ICUSTAYS", subject)) > 0
    assert f"{SOURCE}-{subject}" not in patients_of(case.lake, "silver.stays")
    assert f"{SOURCE}-{subject}" in patients_of(case.lake, "silver.admissions"), "the admission is none the worse"


def test_two_patients_with_one_id_are_both_refused_and_so_is_what_hangs_on_them(case: Case) -> None:
    subject = case.faults.registered_twice
    assert case.quarantine("bronze.mimiciii_patients") == {(subject, "duplicate_key"): 2}
    refused = case.quarantine("silver.admissions")
    assert refused[f"{SOURCE}-{subject}", "known_patient"] == len(case.of("ADMISSIONS", subject)) > 0
    assert case.quarantine("silver.stays")[f"{SOURCE}-{subject}", "known_admission"] == len(
        case.of("ICUSTAYS", subject)
    )


def test_an_admission_without_a_patient_is_refused_and_so_is_what_hangs_on_it(case: Case) -> None:
    subject = case.faults.not_registered
    assert not case.of("PATIENTS", subject)
    admissions, stays = case.of("ADMISSIONS", subject), case.of("ICUSTAYS", subject)
    assert case.quarantine("silver.admissions")[f"{SOURCE}-{subject}", "known_patient"] == len(admissions) > 0
    assert case.quarantine("silver.stays")[f"{SOURCE}-{subject}", "known_admission"] == len(stays) > 0


@pytest.mark.parametrize("table", DEPENDENTS)
def test_codes_and_prescriptions_of_refused_admissions_are_refused(case: Case, table: str) -> None:
    subjects = (case.faults.registered_twice, case.faults.not_registered)
    expected = {f"{SOURCE}-{s}": len(case.of(DEPENDENTS[table], s)) for s in subjects}
    refused = case.quarantine(f"silver.{table}")
    assert sum(expected.values()) > 0
    assert refused == {(patient, "known_admission"): n for patient, n in expected.items() if n}


def test_rows_of_an_unknown_stay_are_left_out_and_all_rows_of_other_stays_are_as_before(case: Case) -> None:
    gone = {f"{SOURCE}-{subject}" for subject in vars(case.faults).values()}
    stay_of = {row["stay_id"]: row["patient_id"] for row in case.clean.records("silver.stays")}
    before = [row for row in case.clean.records("silver.events") if stay_of[row["stay_id"]] not in gone]
    after = [row for row in case.lake.records("silver.events") if stay_of[row["stay_id"]] not in gone]

    def ordered(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        return sorted((tuple(row.values()) for row in events), key=repr)

    assert ordered(after) == ordered(before) != []
    events = case.lake.records("silver.events")
    of_no_stay = [r for r in events if stay_of[r["stay_id"]] == f"{SOURCE}-{case.faults.charted_in_no_stay}"]
    assert {row["source_table"] for row in of_no_stay} <= {"labevents", "outputevents", "procedureevents_mv", "derived"}
    left = {stay_of[row["stay_id"]] for row in events} & gone
    assert left <= {f"{SOURCE}-{case.faults.charted_in_no_stay}"}, "stays that were refused have no events"


def test_every_row_of_every_input_is_accounted_for(case: Case) -> None:
    found = Counter[str]()
    no_stay = Counter[str]()
    for record in case.lake.records("ops.reconciliation"):
        if record["node"].startswith("silver."):
            found[record["input"]] += record["rows"]
        if record["reason"] == "no_stay":
            no_stay[record["input"]] += record["rows"]
    inputs = [f"bronze.mimiciii_{name}" for name in (*EVENT_INPUTS, "patients", "admissions", "icustays")]
    assert {name: found[name] for name in inputs} == {name: case.lake.row_count(name) for name in inputs}
    assert len(case.table("PATIENTS")) - case.lake.row_count("bronze.mimiciii_patients") == 2
    gone = vars(case.faults).values()
    unmarked = [row for row in case.table("CHARTEVENTS") if row["subject_id"] in gone and row["error"] != "1"]
    assert no_stay["bronze.mimiciii_chartevents"] == len(unmarked) > 0


# The command line: one sentence and an exit code that a scheduler can act on.


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `ehr <arguments>` in this process."""
    monkeypatch.setattr(sys, "argv", ["ehr", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("ingest", "--raw", "missing"), 3, "the raw folder missing does not exist."),
        (("ingest", "--raw", ".", "--only", "mimicii"), 2, "nothing of that name; did you mean mimiciii?"),
        (("refine", "--only", "silver.evnts"), 2, "did you mean silver.events?"),
        (("refine",), 4, "has no raw table to build from: run ehr ingest first."),
        (("featurize", "--only", "mortality_feature"), 2, "did you mean mortality_features?"),
        (("featurize",), 4, "gold.mortality_cohort needs silver.stays, which the lake lacks"),
        (("train",), 4, "gold.mortality_cohort has no rows"),
        (("train", "--task", "mortalty"), 2, "no task 'mortalty': conf/tasks holds mortality"),
        (("reconcile",), 4, "no finished run to reconcile"),
        (("tables",), 4, "has no table yet: start with ehr run."),
        (("tables", "--env", "prod"), 2, "environment prod needs EHR_PSEUDONYM_KEY"),
        (("tables", "--env", "test"), 2, "env: Input should be 'local', 'dev', 'staging' or 'prod'"),
        (("tables", "--engine", "spark"), 2, "No such option: --engine"),
        (("sql", "select 1", "--output", "xml"), 2, "output 'xml' is none of table, csv, json, parquet."),
        (("sql", "select 1", "--output", "parquet"), 2, "parquet output needs --out FILE."),
        (("sql", "selec 1"), 2, 'the query does not run: Parser Error: syntax error at or near "selec"'),
        (("sql", "select * from stays"), 2, "the query does not run: Catalog Error: Table with name stays"),
        (("sql", "select * from gold.cohort"), 2, "has no table gold.cohort; it has none yet."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_an_error_is_one_sentence_and_an_exit_code(
    arguments: tuple[str, ...],
    code: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EHR_LAKE", str(tmp_path / "lake"))
    got, _, error = call(monkeypatch, capsys, *arguments)
    assert got == code, error
    assert says in " ".join(error.split())
    assert "Traceback" not in error
    assert not (tmp_path / "lake" / "silver").exists()


def test_an_unknown_variable_names_the_nearest_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EHR_LAEK", "x")
    assert call(monkeypatch, capsys, "tables")[0::2] == (
        2,
        "error the environment (as EHR_*) has no setting 'laek'; did you mean 'lake'?\n",
    )


def test_scoring_without_a_model_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = Lake(tmp_path / "lake")
    for name in ("gold.mortality_cohort", "gold.mortality_features"):
        columns = registry().tables[name].columns
        row = {c.name: 1 if c.type in ("INT", "DOUBLE") else "made up" for c in columns}
        lake.append_records(name, columns, [row])
    got, _, error = call(monkeypatch, capsys, "score", "--lake", str(lake.root))
    assert got == 5
    assert "no model 'mortality' champion" in error and "train one first." in error
    assert not lake.exists("gold.mortality_predictions")


@pytest.mark.parametrize("debug", [False, True])
def test_an_unexpected_error_is_a_sentence_too_and_its_trace_is_there_for_who_asks(
    debug: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_down(*_: object) -> None:
        raise ZeroDivisionError("made up\nat frame 1\nat frame 2")

    monkeypatch.setattr("jobs.tables.tables", break_down)
    if debug:
        monkeypatch.setenv("EHR_DEBUG", "true")
    got, _, error = call(monkeypatch, capsys, "tables", "--lake", str(tmp_path))
    assert got == 1
    assert error.endswith("error unexpected ZeroDivisionError: made up (EHR_DEBUG=true shows where)\n")
    assert ("Traceback" in error) == debug


def test_a_process_ends_with_the_code_and_says_nothing_on_standard_output(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.cli", "ingest", "--raw", str(tmp_path / "missing"), "--lake", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"error the raw folder {tmp_path / 'missing'} does not exist.\n"
