"""A patient who is forgotten is nowhere in the stored files, and stays out; no raw identifier leaves bronze."""

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

from jobs.cli import app
from jobs.context import Context
from jobs.featurize import featurize
from jobs.ingest import ingest
from jobs.operations.check import check
from jobs.operations.restore import restore
from jobs.privacy.forget import Erased, forget
from jobs.privacy.rotate import rotate
from jobs.reconcile import accounts
from jobs.refine import refine
from lakehouse.dates import days_of
from lakehouse.errors import ConfigError, ContractError
from lakehouse.io import Lake
from lakehouse.pseudonyms import Identifier
from lakehouse.records.audit import AUDIT
from lakehouse.records.forgotten import Forgotten
from lakehouse.records.snapshots import Snapshots
from lakehouse.registry import registry
from lakehouse.settings import load_settings
from tests.conftest import ENGINE
from tests.integration.worlds import CHALLENGE, MIMICIII, records
from tests.raw_csv import edit, rows

pytestmark = pytest.mark.usefixtures("spark")

KEY = "a key of tests"
HISTORY = "gold.mortality_risk_history"
CHART, CHART_FILE = "bronze.mimiciii_chartevents", Path(MIMICIII) / "CHARTEVENTS.csv.gz"
IDS = {"subject_id", "hadm_id", "icustay_id", "record_id", "patient_id", "admission_id", "stay_id"}
ACCOUNT_COLUMNS = {"_ingested_at", "_batch_id", "_run_id"}


class Hospital:
    """A keyed lake of two sources, its raw files, and the verbs on them."""

    def __init__(self, raw: Path, root: Path) -> None:
        self.raw, self.root = raw, root

    def context(self, key: str = KEY, new: str | None = None, weeks: int = 0) -> Context:
        given = {"pseudonym_key": key, "pseudonym_key_new": new, "shift_dates_weeks": weeks, "user": "dr-x"}
        settings = load_settings(raw=self.raw, lake=self.root, engine=ENGINE, cores=2, **given)
        return Context.of(settings, Console(file=StringIO(), width=200))

    @property
    def lake(self) -> Lake:
        return Lake(self.root)

    def run(self) -> str:
        context = self.context()
        with context.writing("run"):
            for stage in (ingest, refine, featurize):
                stage(context)
        return context.run_id

    def content(self, *layers: str) -> dict[str, list[dict[str, object]]]:
        names = [name for name in self.lake.names() if name.startswith(layers)]
        return {name: [_plain(row) for row in self.lake.records(name)] for name in names}


def _plain(row: dict[str, object]) -> dict[str, object]:
    # A sum depends in its last digits, and nought in its sign, on the order of rows, which a build need not keep.
    return {
        key: f"{value + 0.0:.9g}" if isinstance(value, float) else value
        for key, value in row.items()
        if key not in ACCOUNT_COLUMNS
    }


@pytest.fixture(scope="module")
def built(generated_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    """Challenge records of set a as text files, those of set b in a tarball, and MIMIC-III; never written to."""
    folder = tmp_path_factory.mktemp("hospital")
    raw = Path(shutil.copytree(generated_raw, folder / "raw"))
    shutil.rmtree(raw / "mimiciv-demo-2.2")
    texts = records(raw / CHALLENGE / "set-a.tar.gz")
    (raw / CHALLENGE / "set-a.tar.gz").unlink()
    (raw / CHALLENGE / "set-a").mkdir()
    for record, text in texts.items():
        (raw / CHALLENGE / "set-a" / f"{record}.txt").write_text(text)
    # A row that does not parse keeps its text: the patient is in there as well.
    who = _who(raw)
    edit(raw / CHART_FILE, lambda all_rows: [*all_rows, {**all_rows[-1], "subject_id": who, "valuenum": "twelve"}])
    hospital = Hospital(raw, folder / "lake")
    context = hospital.context()
    with context.writing("run"):
        for stage in (ingest, refine, featurize):
            stage(context)
        put_risks(context.lake)
    return hospital


def _who(raw: Path) -> str:
    """The patient with most stays."""
    stays = [row["subject_id"] for row in rows(raw / MIMICIII / "ICUSTAYS.csv.gz")]
    return max(sorted(set(stays)), key=stays.count)


def put_risks(lake: Lake) -> None:
    """What a scorer would have said of every stay."""
    stays = lake.read_arrow("gold.mortality_cohort", ["stay_id", "source", "split"])
    contract = registry().tables[HISTORY]
    known = {"scored_at": datetime(2026, 1, 1, tzinfo=UTC), "risk": 0.5, "flagged": True, "threshold": 0.5}
    known |= {"model_name": "mortality", "model_version": 1, "input_digest": "x"}
    lake.append_records(HISTORY, contract.columns, [{**row, **known} for row in stays.to_pylist()])


@pytest.fixture
def hospital(built: Hospital, tmp_path: Path) -> Hospital:
    copied = Path(shutil.copytree(built.raw, tmp_path / "raw"))
    return Hospital(copied, Path(shutil.copytree(built.root, tmp_path / "lake")))


def identifiers(raw: Path, patient: str) -> set[str]:
    """The patient, admissions and stays of a MIMIC-III patient, as in the raw files and as pseudonyms."""
    found = {patient}
    for table, column in (("ADMISSIONS", "hadm_id"), ("ICUSTAYS", "icustay_id")):
        found |= {r[column] for r in rows(raw / MIMICIII / f"{table}.csv.gz") if r["subject_id"] == patient}
    identify = Identifier(load_settings(pseudonym_key=KEY).pseudonym_key)
    return found | {identify.of("mimiciii", one) for one in found}


def found_in(root: Path, wanted: set[str]) -> list[str]:
    """Files below the folder that hold one of the identifiers, in a value of Parquet, in a log or in any other text."""
    token = re.compile(rf"(?<![0-9A-Za-z])({'|'.join(map(re.escape, sorted(wanted)))})(?![0-9A-Za-z])")
    return [
        f"{path.relative_to(root)}: {text[:200]}"
        for path in sorted(p for p in root.rglob("*") if p.is_file())
        for text in ([str(path.relative_to(root)), *_texts(path)])
        if token.search(text)
    ]


def _texts(path: Path) -> Iterator[str]:
    if path.suffix != ".parquet":
        # Sizes and counts are numbers like any other.
        yield re.sub(r'"(size|num\w*|\w*[tT]ime\w*|version)":"?\d+', "", path.read_bytes().decode(errors="replace"))
        return
    table = pq.read_table(path, partitioning=None)
    for field in table.schema:
        if not (field.name in IDS or str(field.type).startswith(("string", "large_string", "struct", "list", "map"))):
            continue
        yield from set(map(str, table[field.name].to_pylist()))


def test_a_forgotten_patient_is_nowhere_and_stays_out(hospital: Hospital) -> None:
    first, who = Snapshots(hospital.lake).find("last").run_id, _who(hospital.raw)
    wanted = identifiers(hospital.raw, who)
    assert len(wanted) >= 6 and len({line.split("/")[0] for line in found_in(hospital.root, wanted)}) >= 3
    before = hospital.content("silver", "gold")
    charted = hospital.lake.row_count(CHART)

    done = forget(hospital.context(), f"mimiciii-{who}")
    of_patient = len([r for r in rows(hospital.raw / CHART_FILE) if r["subject_id"] == who])
    assert done.rows[CHART] == of_patient
    assert hospital.lake.row_count(CHART) == charted - of_patient + 1, "one of them was in quarantine"
    assert found_in(hospital.root, wanted) == []
    assert check(hospital.context()).findings == []
    kept = {n: [r for r in found if not wanted & set(map(str, r.values()))] for n, found in before.items()}
    assert _differ(hospital.content("silver", "gold"), kept) == {}
    account = {(a.node, a.input): a for a in accounts(hospital.context())}[CHART, CHART_FILE.as_posix()]
    assert account.total == len(rows(hospital.raw / CHART_FILE))
    assert account.reasons == {("left_out", "forgotten"): of_patient}
    with pytest.raises(ContractError, match="nothing was restored"):
        restore(hospital.context(), first)

    # What is built anew from the rows that are left is the same; the patient comes again and is left out again.
    edit(hospital.raw / CHART_FILE, lambda all_rows: all_rows[:-1] + all_rows[-1:] * 2)
    hospital.run()
    assert found_in(hospital.root, wanted) == []
    assert _differ(hospital.content("silver", "gold"), kept) == {}
    account = {(a.node, a.input): a for a in accounts(hospital.context())}[CHART, CHART_FILE.as_posix()]
    assert account.total == len(rows(hospital.raw / CHART_FILE))
    assert account.reasons == {("left_out", "forgotten"): of_patient + 1}
    assert check(hospital.context()).findings == []


def _differ(one: dict[str, list[dict[str, object]]], other: dict[str, list[dict[str, object]]]) -> dict[str, list[str]]:
    """By table, rows that one of two contents has more often than the other."""
    found = {}
    for name in {*one, *other}:
        a, b = (Counter(map(repr, content.get(name, []))) for content in (one, other))
        found[name] = [*(a - b), *(b - a)]
    return {name: lines for name, lines in found.items() if lines}


def test_a_patient_whose_file_bears_their_name(hospital: Hospital) -> None:
    record = min(path.stem for path in (hospital.raw / CHALLENGE / "set-a").iterdir())
    identify = Identifier(load_settings(pseudonym_key=KEY).pseudonym_key)
    wanted = {record, identify.of("challenge2012", record)}
    assert any(line.startswith("ops/files") for line in found_in(hospital.root, wanted))
    forget(hospital.context(), identify.of("challenge2012", record))
    assert found_in(hospital.root, wanted) == []
    assert check(hospital.context()).findings == []
    # The file is not opened again, though the ledger does not know it any more.
    context = hospital.context()
    with context.writing("ingest"):
        assert {outcome.status for outcome in ingest(context)} == {"unchanged"}
    assert found_in(hospital.root, wanted) == []
    assert check(hospital.context()).findings == []


def test_a_forgetting_that_was_killed_is_finished_without_a_name(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = _who(hospital.raw)
    delete = Lake.delete

    def break_down(lake: Lake, name: str, where: str) -> int:
        if name == "bronze.mimiciii_labevents":
            raise OSError("disk full")
        return delete(lake, name, where)

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "delete", break_down)
        with pytest.raises(OSError, match="disk full"):
            forget(hospital.context(), f"mimiciii-{who}")
    with pytest.raises(ContractError, match="only half forgotten: run ehr forget again"):
        hospital.run()
    assert forget(hospital.context()).rows["bronze.mimiciii_labevents"] > 0
    assert found_in(hospital.root, identifiers(hospital.raw, who)) == []
    assert forget(hospital.context()) == Erased()
    assert check(hospital.context()).findings == []


def test_who_is_unknown_or_asked_for_with_another_key_is_not_forgotten(hospital: Hospital) -> None:
    states = hospital.lake.states()
    for patient in ("mimiciii-1", "elsewhere-7", "mimiciii-x' OR '1'='1"):
        with pytest.raises(ConfigError, match="no row of the lake"):
            forget(hospital.context(), patient)
    with pytest.raises(ConfigError, match="set it to the key that silver was built with"):
        forget(hospital.context("another key"), f"mimiciii-{_who(hospital.raw)}")
    now = {name: state for name, state in hospital.lake.states().items() if not name.startswith("ops.")}
    assert now == {name: state for name, state in states.items() if not name.startswith("ops.")}


def all_identifiers(lake: Lake) -> set[str]:
    """Every raw identifier of a patient, an admission or a stay in bronze."""
    found: set[str] = set()
    for name in lake.names():
        if name.startswith("bronze."):
            rows = lake.read_arrow(name)
            found |= {
                str(v) for c in IDS & set(rows.column_names) for v in rows[c].unique().to_pylist() if v is not None
            }
    return found


def test_no_raw_identifier_leaves_bronze(built: Hospital) -> None:
    wanted = all_identifiers(built.lake)
    assert len(wanted) > 100 and found_in(built.root / "bronze", wanted)
    for layer in ("silver", "gold"):
        assert found_in(built.root / layer, wanted) == []


def test_a_local_lake_is_for_its_owner_alone(built: Hospital) -> None:
    modes = {path.relative_to(built.root): path.stat().st_mode & 0o777 for path in [built.root, *built.root.rglob("*")]}
    folders = {path for path in modes if (built.root / path).is_dir()}
    assert {path: oct(mode) for path, mode in modes.items() if mode != (0o700 if path in folders else 0o600)} == {}


def test_who_read_and_wrote_what_is_told(hospital: Hospital) -> None:
    run = Snapshots(hospital.lake).find("last").run_id
    written = hospital.lake.records(AUDIT.name)
    assert {(r["run_id"], r["who"], r["verb"]) for r in written} == {(run, "dr-x", "run")}
    told = {(r["table"], r["access"], r["version"]) for r in written}
    assert {("silver.stays", "read", 2), (CHART, "write", 1), ("silver.stays", "write", 1)} <= told
    tables = {name for name in hospital.lake.names() if not name.startswith("ops.")}
    assert {table for table, access, _ in told if access == "write"} >= {t for t in tables if hospital.lake.version(t)}
    version = hospital.lake.version(AUDIT.name)
    assert version == 1, "one entry a run"

    said = CliRunner().invoke(
        app,
        ["sql", "select count(*) from silver.stays s join silver.patients using (patient_id)"],
        env={"EHR_LAKE": str(hospital.root), "EHR_USER": "dr-y"},
    )
    assert said.exit_code == 0, said.output
    reads = [r for r in hospital.lake.records(AUDIT.name) if r["verb"] == "sql"]
    states = hospital.lake.states()
    assert [(r["who"], r["access"], r["table"], r["version"]) for r in sorted(reads, key=lambda r: r["table"])] == [
        ("dr-y", "read", name, states[name].version) for name in ("silver.patients", "silver.stays")
    ]
    assert check(hospital.context(), "silver.stays").findings == [], "a reader's entry is nobody's run"


def test_another_key(hospital: Hospital) -> None:
    forget(hospital.context(), f"mimiciii-{_who(hospital.raw)}")
    before = hospital.content("silver", "gold")
    old = {str(row["patient_id"]) for row in before["silver.patients"]}
    old |= {str(row["stay_id"]) for row in before["silver.stays"]}
    with pytest.raises(ConfigError, match="needs the new key in EHR_PSEUDONYM_KEY_NEW"):
        rotate(hospital.context())
    rotate(hospital.context(new="a newer key"))
    assert found_in(hospital.root, old) == []
    after = hospital.content("silver", "gold")
    assert {name: len(after[name]) for name in before} == {name: len(found) for name, found in before.items()}
    identify = Identifier(load_settings(pseudonym_key="a newer key").pseudonym_key)
    raw = {("challenge2012", r["record_id"]) for r in hospital.lake.records("bronze.challenge2012_outcomes")}
    raw |= {("mimiciii", r["subject_id"]) for r in hospital.lake.records("bronze.mimiciii_patients")}
    assert {row["patient_id"] for row in after["silver.patients"]} == {identify.of(s, str(v)) for s, v in raw}
    stays = {row["stay_id"] for row in after["gold.mortality_cohort"]}
    assert {row["stay_id"] for row in after[HISTORY]} == stays
    # Who was forgotten is known under the new key, and no more under the old one.
    with pytest.raises(ConfigError, match="forgotten under another pseudonym key"):
        Forgotten.of(hospital.lake, hospital.context().settings.pseudonym_key)
    edit(hospital.raw / CHART_FILE, lambda all_rows: all_rows[:-1])
    context = hospital.context("a newer key")
    with context.writing("ingest"):
        (read,) = [outcome for outcome in ingest(context) if outcome.status == "built"]
    assert (read.node, read.rows_left_out > 0) == (CHART, True)
    assert check(hospital.context("a newer key"), CHART).findings == []


def test_dates_are_moved_by_patient_and_windows_stay(hospital: Hospital) -> None:
    before = hospital.content("silver", "gold")
    context = hospital.context(weeks=520)
    with context.writing("run"):
        refine(context)
        featurize(context)
    after = hospital.content("silver", "gold")
    gold = [name for name in before if name.startswith("gold.")]
    assert _differ({name: after[name] for name in gold}, {name: before[name] for name in gold}) == {}
    moved: dict[object, set[timedelta]] = {}
    whose = {row["stay_id"]: row["patient_id"] for row in before["silver.stays"]}
    for name in sorted(before.keys() & registry().tables.keys() - set(gold)):
        keys = registry().tables[name].key
        old, new = ({tuple(row[k] for k in keys): row for row in content[name]} for content in (before, after))
        assert old.keys() == new.keys()
        for key, row in old.items():
            times = {column: value for column, value in row.items() if isinstance(value, date)}
            assert {c: v for c, v in row.items() if c not in times} == {c: new[key][c] for c in row if c not in times}
            patient = row.get("patient_id") or whose[row["stay_id"]]
            moved.setdefault(patient, set()).update(value - new[key][column] for column, value in times.items())
    days = {str(patient): by for patient, by in moved.items() if by}
    assert days == {p: {timedelta(days=days_of(KEY.encode(), p, 520))} for p in days}, "one distance a patient"
    assert len(days) >= 5 and len({by for found in days.values() for by in found}) > 1
    assert all(by % timedelta(days=7) == timedelta(0) < by for found in days.values() for by in found)
