"""What comes later ends in the tables of a rebuild: new, late, corrected, removed and doubled files."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from jobs.context import Context
from jobs.featurize import featurize
from jobs.ingest import ingest
from jobs.operations.check import check
from jobs.reconcile import accounts
from jobs.refine import refine
from lakehouse.building import Building
from lakehouse.commit import Scope
from lakehouse.dates import DateShift
from lakehouse.errors import RawDataError
from lakehouse.increment import Increment, Increments
from lakehouse.io import Lake
from lakehouse.records.ledger import Outcome
from lakehouse.registry import registry
from lakehouse.rules import apply_rules, is_good
from lakehouse.settings import load_settings
from lakehouse.table import Table
from lakehouse.tasks import load_task
from tests.conftest import ENGINE, same
from tests.integration.test_engines import OF_CODES, differences, sorted_rows, without_rows
from tests.integration.worlds import edit_outcomes, flip, records
from tests.raw_csv import Rows, edit

pytestmark = pytest.mark.usefixtures("spark")

CHALLENGE, MIMIC = "challenge-2012", "mimiciii-demo-1.4"
NODES = [node for node in registry().nodes if node.table.by and node.source != "mimiciv"]


@dataclass
class Site:
    """A raw folder and its lake."""

    raw: Path
    root: Path

    def context(self) -> Context:
        return Context.of(load_settings(raw=self.raw, lake=self.root, engine=ENGINE, cores=2), Console(quiet=True))

    def bring(self, *layers: Callable[[Context], list[Outcome]], accept_removed: bool = False) -> dict[str, Outcome]:
        """One run; outcomes by node of what was built."""
        context = self.context()
        with context.writing("run"):
            outcomes = ingest(context, accept_removed=accept_removed)
            for layer in layers:
                outcomes += layer(context)
        return {o.node: o for o in outcomes if o.status == "built"}

    def record(self, name: str) -> Path:
        return self.raw / CHALLENGE / "set-b" / f"{name}.txt"


@pytest.fixture(scope="module")
def base(generated_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Two sources, one set as loose records, all but two of them delivered; never written to."""
    folder = tmp_path_factory.mktemp("base")
    for source in (CHALLENGE, MIMIC):
        shutil.copytree(generated_raw / source, folder / "raw" / source)
    tar = folder / "raw" / CHALLENGE / "set-b.tar.gz"
    (folder / "raw" / CHALLENGE / "set-b").mkdir()
    (folder / "later").mkdir()
    for i, (name, text) in enumerate(sorted(records(tar).items())):
        to = folder / "later" if i < 2 else folder / "raw" / CHALLENGE / "set-b"
        (to / f"{name}.txt").write_text(text)
    tar.unlink()
    site = Site(folder / "raw", folder / "lake")
    site.bring(refine, featurize)
    return site


@pytest.fixture
def site(base: Site, tmp_path: Path) -> Site:
    return Site(Path(shutil.copytree(base.raw, tmp_path / "raw")), Path(shutil.copytree(base.root, tmp_path / "lake")))


def test_a_build_for_some_patients_gives_their_rows_of_a_build_for_all(base: Site) -> None:
    """What `by` promises, of every table that declares it."""
    context, run = base.context(), "by"
    lake, identify = context.lake, context.identify
    some = frozenset(sorted(map(str, lake.values("silver.patients", "patient_id")))[::4])
    building = Building(lake, registry(), identify, DateShift(), run)
    increments = Increments(lake, registry().tables, context.ledger, identify)
    assert len(NODES) > 14
    for node in NODES:
        if not lake.exists(node.table.name):  # it is made of what models say
            continue
        stays = increments.stays(node, {})
        increment = Increment(some, {}, {}, increments.parts(node, some, stays, {}), {}, {}, Scope())
        task = load_task(node.table.task) if node.table.task else None
        table, frame = building.frame(node, task, increment, f"{run}/{node.name}")
        good = apply_rules(frame, table).where(is_good())
        built = by_key(good.select(*table.column_names).toArrow().to_pylist(), table)
        theirs = some if table.by == "patient_id" else {stay for stay, patient in stays.items() if patient in some}
        stored = by_key(lake.records(table.name), table)
        wanted = {key: row for key, row in stored.items() if row[str(table.by)] in theirs}
        wanted = {key: row for key, row in wanted.items() if row["source"] == (node.source or row["source"])}
        assert built.keys() == wanted.keys(), node.name
        assert [key for key in built if not same(built[key], wanted[key])] == [], node.name
        assert wanted and len(wanted) < len(stored), f"{node.name}: of none or of all, it says nothing"
        lake.unstage(f"{run}/{node.name}")


def by_key(rows: list[dict[str, Any]], table: Table) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row[column] for column in table.key): row for row in rows}


def test_whatever_comes_later_ends_in_the_tables_of_a_rebuild(base: Site, site: Site, tmp_path: Path) -> None:
    known = sorted(path.stem for path in (site.raw / CHALLENGE / "set-b").iterdir())
    # New: two records, of whom the outcomes were there already.
    for path in sorted((base.raw.parent / "later").iterdir()):
        shutil.copy(path, site.raw / CHALLENGE / "set-b" / path.name)
    built = site.bring(refine)
    assert built["bronze.challenge2012_measurements"].note == ""
    assert {o.note for name, o in built.items() if name.startswith("silver.")} == {"rows of 2 patients anew"}
    assert {name for name in built if name.startswith("silver.")} == {
        f"silver.{table}[challenge2012]" for table in ("patients", "admissions", "stays", "events")
    }

    # Late: a row of a known record, and one of a known patient of the other source.
    with site.record(known[0]).open("a") as file:
        file.write("47:59,HR,101\n")
    edit(site.raw / MIMIC / "CHARTEVENTS.csv.gz", lambda rows: [*rows, {**rows[0], "row_id": "99999999"}])
    built = site.bring(refine)
    assert {built[f"silver.events[{source}]"].note for source in ("challenge2012", "mimiciii")} == {
        "rows of 1 patients anew"
    }

    # Corrected: a value amid a file, an outcome, a gender; removed: one record.
    edit(site.raw / MIMIC / "LABEVENTS.csv.gz", correct)
    outcomes = site.raw / CHALLENGE / "Outcomes-b.txt"
    edit_outcomes(outcomes, lambda outcome: flip(outcome) if outcome[0] == int(known[1]) else outcome)
    site.record(known[2]).write_text(site.record(known[2]).read_text().replace("Gender,0", "Gender,1"))
    site.record(known[3]).unlink()
    built = site.bring(refine)
    note = built["bronze.challenge2012_measurements"].note
    assert f"1 no longer there, rows taken out: {CHALLENGE}/set-b/{known[3]}.txt" in note
    assert built["silver.events[mimiciii]"].note == "rows of 1 patients anew"
    stays = {row["stay_id"] for row in site.context().lake.records("silver.stays")}
    assert f"challenge2012-{known[3]}" not in stays

    # Doubled: a tarball under another letter, one in another folder, a table in another folder.
    before = Lake(site.root).states()
    for source, copy in (
        (f"{CHALLENGE}/set-a.tar.gz", "set-d.tar.gz"),
        (f"{CHALLENGE}/Outcomes-a.txt", "zzz/Outcomes-a.txt"),
        (f"{MIMIC}/NOTEEVENTS.csv.gz", "zzz/NOTEEVENTS.csv.gz"),
    ):
        (site.raw / copy).parent.mkdir(exist_ok=True)
        shutil.copy(site.raw / source, site.raw / copy)
    site.bring(refine)
    changed = {name for name, state in Lake(site.root).states().items() if before.get(name) != state}
    assert [name for name in changed if not name.startswith("ops.")] == []

    built = site.bring(refine, featurize)
    assert "patients anew" in built["gold.mortality_features"].note
    assert check(site.context()).findings == []
    anew = Site(site.raw, tmp_path / "anew")
    anew.bring(refine, featurize)
    assert same_tables(site, anew)


def same_tables(one: Site, other: Site) -> bool:
    lakes = Lake(one.root), Lake(other.root)
    names = [name for name in lakes[1].names() if not name.startswith("ops.")]
    assert [name for name in lakes[0].names() if not name.startswith("ops.") and name not in names] == []
    assert without_rows(lakes[0], names) <= OF_CODES
    for name in names:
        assert differences(*(sorted_rows(lake, name) for lake in lakes)) == [], name
    assert accounts(one.context()) == accounts(other.context())
    return True


def test_a_folder_of_many_files_is_accounted_for_as_a_whole(tmp_path: Path) -> None:
    def write(record: int, age: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        text = f"Time,Parameter,Value\n00:00,RecordID,{record}\n00:00,Age,{age}\n"
        (folder / f"{record}.txt").write_text(text)

    folder = tmp_path / "raw" / "set-a"
    for record in range(1, 100):
        write(record, record)
    site, table = Site(tmp_path / "raw", tmp_path / "lake"), "bronze.challenge2012_measurements"
    site.bring()
    assert len(accounts(site.context())) == 99, "file by file"
    for record in range(100, 105):
        write(record, "old" if record == 104 else record)
    built = site.bring()
    assert (built[table].rows_out, built[table].rows_quarantined) == (207, 1)
    write(1, "young")
    (folder / "2.txt").unlink()
    built = site.bring()
    assert (built[table].rows_out, built[table].rows_quarantined) == (204, 2)
    assert check(site.context()).findings == []
    anew = Site(site.raw, tmp_path / "anew")
    anew.bring()
    (one,) = accounts(site.context())
    assert [one] == accounts(anew.context())
    assert (one.input, one.rows["written"], one.rows["quarantined"]) == ("raw files", 204, 2)
    for record in range(3, 8):
        (folder / f"{record}.txt").unlink()
    site.bring()
    assert len(accounts(site.context())) == 98, "file by file again"
    assert check(site.context()).findings == []


def test_most_files_gone_stop_a_run_unless_that_is_accepted(site: Site) -> None:
    for path in (site.raw / CHALLENGE / "set-b").iterdir():
        path.unlink()
    with pytest.raises(RawDataError, match=r"28 of 29 raw files of bronze.challenge2012_measurements are no longer"):
        site.bring()
    site.bring(accept_removed=True)
    left = site.context().lake.values("bronze.challenge2012_measurements", "_source_file")
    assert left == {f"{CHALLENGE}/set-a.tar.gz"}
    assert site.bring(accept_removed=True) == {}
    assert check(site.context(), "bronze.challenge2012_measurements").findings == []


def correct(rows: Rows) -> Rows:
    i = next(i for i, row in enumerate(rows) if i > 20 and row["valuenum"])
    value = f"{float(rows[i]['valuenum']) + 1:g}"
    return [*rows[:i], {**rows[i], "value": value, "valuenum": value}, *rows[i + 1 :]]
