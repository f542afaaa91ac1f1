"""Operating a lake: what changed between runs, back to one of them, and whether every promise holds as stored."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from jobs.context import Context
from jobs.featurize import featurize
from jobs.ingest import ingest
from jobs.operations import maintain as upkeep
from jobs.operations.check import Checked, check
from jobs.operations.diff import Difference, by_engine, compared, diff, rows_of
from jobs.operations.restore import restore
from jobs.operations.runs import runs
from jobs.refine import refine
from jobs.sql import query_duckdb
from lakehouse.errors import ConfigError, ContractError
from lakehouse.io import Lake
from lakehouse.local.lock import FILE, Holder
from lakehouse.records.snapshots import Snapshots
from tests.integration.conftest import quiet_context
from tests.raw_csv import Rows, edit

pytestmark = pytest.mark.usefixtures("spark")

CHART, CHART_FILE = "bronze.mimiciii_chartevents", Path("mimiciii-demo-1.4") / "CHARTEVENTS.csv.gz"
HEART_RATE = ("211", "220045")
COHORT = "gold.mortality_cohort"


class Site:
    """A lake, its raw files, and the verbs on them, each an invocation of its own."""

    def __init__(self, raw: Path, lake: Path, context_of: Callable[..., Context]) -> None:
        self.raw, self.root, self._context_of = raw, lake, context_of

    def context(self) -> Context:
        return self._context_of(self.raw, self.root)

    @property
    def lake(self) -> Lake:
        return self.context().lake

    @property
    def last(self) -> str:
        return Snapshots(self.lake).find("last").run_id

    def refresh(self, *questions: str) -> str:
        """Raw files to silver (and these tables of gold) in one run; its id."""
        context = self.context()
        with context.writing("run"):
            ingest(context, "mimiciii")
            refine(context, "mimiciii")
            for name in questions:
                featurize(context, name)
        return context.run_id

    def check(self, only: str | None = None) -> Checked:
        return check(self.context(), only)

    def broken(self, only: str | None = None) -> dict[str, set[str]]:
        """Names of the broken promises by table."""
        found: dict[str, set[str]] = {}
        for one in self.check(only).findings:
            found.setdefault(one.table, set()).add(one.promise)
        return found

    def diff(self, one: str, other: str) -> dict[str, tuple[int, int, int]]:
        """Rows added, changed and gone, of tables in which any are."""
        found: list[Difference] = diff(self.context(), one, other)
        return {d.table: (d.added, d.changed, d.gone) for d in found if d.added or d.changed or d.gone}

    def content(self) -> dict[str, list[str]]:
        """Every row of every table but the lake's own, in an order of their own."""
        lake = self.lake
        names = [name for name in lake.names() if not name.startswith("ops.")]
        return {name: sorted(map(repr, lake.read_arrow(name).to_pylist())) for name in names}


@pytest.fixture(scope="module")
def recorded_lake(generated_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bronze and silver of one source, by one run; never written to."""
    lake = tmp_path_factory.mktemp("recorded") / "lake"
    Site(generated_raw, lake, quiet_context).refresh()
    return lake


@pytest.fixture
def site(raw: Path, recorded_lake: Path, tmp_path: Path, context_of: Callable[..., Context]) -> Site:
    """A copy of that lake and of its raw files."""
    return Site(raw, Path(shutil.copytree(recorded_lake, tmp_path / "lake")), context_of)


def correct(rows: Rows) -> Rows:
    """One heart rate is another one, and two are gone."""
    changed, *_, second, last = (i for i, row in enumerate(rows) if row["itemid"] in HEART_RATE and row["valuenum"])
    value = f"{float(rows[changed]['valuenum']) + 1:g}"
    rows[changed] = rows[changed] | {"value": value, "valuenum": value}
    return [row for i, row in enumerate(rows) if i not in (second, last)]


def test_a_correction_is_told_taken_back_and_made_again(site: Site) -> None:
    first = site.last
    before, original = site.content(), (site.raw / CHART_FILE).read_bytes()
    edit(site.raw / CHART_FILE, correct)
    second = site.refresh()
    corrected = (site.raw / CHART_FILE).read_bytes()
    assert site.diff(first, second) == {CHART: (1, 0, 3), "silver.events": (0, 1, 2)}
    assert site.diff(second, first) == {CHART: (3, 0, 1), "silver.events": (2, 1, 0)}
    assert site.diff(first, first) == {}
    # By the engine, as where nobody else may open the files: the same.
    for name, counts in ((CHART, (1, 0, 3)), ("silver.events", (0, 1, 2))):
        states = [Snapshots(site.lake).find(run).tables[name] for run in (first, second)]
        assert by_engine(site.lake, name, *compared(name), *states) == counts
    assert site.broken() == {}

    restore(site.context(), first)
    assert site.content() == before
    assert site.diff(first, "last") == {}
    assert site.broken() == {}
    assert site.context().ledger.last_built(CHART)["run_id"] != second  # type: ignore[index]

    # The raw files of the state that was brought back: there is nothing to do. Those of the second: it comes again.
    (site.raw / CHART_FILE).write_bytes(original)
    versions = {n: v for n, v in site.lake.states().items() if not n.startswith("ops.")}
    site.refresh()
    assert {n: v for n, v in site.lake.states().items() if not n.startswith("ops.")} == versions
    (site.raw / CHART_FILE).write_bytes(corrected)
    again = site.refresh()
    assert site.diff(second, again) == {}
    assert site.diff(first, again)[CHART] == (1, 0, 3)
    assert site.broken(CHART) == site.broken("silver.events") == {}
    built = [r["table"] for r in site.lake.records("ops.runs") if r["run_id"] == again]
    assert sorted(built) == [CHART, "silver.events"]
    told = {run.run_id: (run.verb, run.status, run.built) for run in runs(site.context())}
    assert (told[first], told[second], told[again]) == (
        ("run", "finished", 34),
        ("run", "finished", 2),
        ("run", "finished", 2),
    )
    assert ("restore", "finished", 0) in told.values()


def test_the_rows_that_differ_are_shown_with_old_and_new_values(site: Site) -> None:
    first = site.last
    edit(site.raw / CHART_FILE, correct)
    second = site.refresh()

    def shown(table: str) -> dict[str, list[str]]:
        return {str(c.header): list(map(str, c.cells)) for c in rows_of(site.context(), first, second, table).columns}

    events = shown("silver.events")
    assert sorted(events["what"]) == ["changed", "gone", "gone"]
    assert set(events["concept"]) == {"hr"}
    (change,) = filter(None, events["changes"])
    values = dict(line.split(": ") for line in change.splitlines())
    old, new = map(float, values["value"].split(" -> "))
    assert new == old + 1
    assert set(values) == {"value", "source_value"}
    charted = shown(CHART)
    assert charted["what"] == ["gone", "gone", "gone", "added"]
    assert f"valuenum: {new}" in charted["row"][3]
    assert sum(f"valuenum: {old}" in row for row in charted["row"]) >= 1
    with pytest.raises(ConfigError, match=r"silver\.stays is the same after both runs"):
        rows_of(site.context(), first, second, "silver.stays")


def test_tables_born_later_are_withdrawn_and_come_back(site: Site) -> None:
    first = site.last

    def spoil(rows: Rows) -> Rows:
        rows[2] = rows[2] | {"valuenum": "twelve"}
        return rows

    edit(site.raw / CHART_FILE, spoil)
    second = site.refresh(COHORT)
    after = site.content()
    assert {COHORT, f"{CHART}_quarantine"} <= after.keys()
    assert site.diff(first, second)[COHORT] == (len(after[COHORT]), 0, 0)
    assert site.diff(first, second)[f"{CHART}_quarantine"] == (1, 0, 0)
    restore(site.context(), first)
    assert after.keys() - site.content().keys() == {COHORT, f"{CHART}_quarantine"}
    assert site.broken(CHART) == {}
    # What was withdrawn can still be compared with, and be brought back.
    assert site.diff("last", second)[COHORT] == (len(after[COHORT]), 0, 0)
    restore(site.context(), second)
    assert site.content() == after
    assert site.broken(CHART) == site.broken(COHORT) == {}
    # One that was made anew meanwhile makes way for the old one.
    restore(site.context(), first)
    site.refresh(COHORT)
    anew = site.lake.table_id(COHORT)
    restore(site.context(), second)
    assert site.content() == after
    assert site.lake.table_id(COHORT) != anew


def test_a_restore_that_was_interrupted_holds_up_the_others_until_it_is_finished(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = site.last
    before = site.content()
    edit(site.raw / CHART_FILE, correct)
    site.refresh()
    put_back = Lake.restore
    with monkeypatch.context() as patch:

        def break_at_the_second(lake: Lake, name: str, version: int) -> None:
            if name == "silver.events":
                raise OSError("disk full")
            put_back(lake, name, version)

        patch.setattr(Lake, "restore", break_at_the_second)
        with pytest.raises(OSError, match="disk full"):
            restore(site.context(), first)
    with pytest.raises(ContractError, match=f"run ehr restore {first} again before anything else"):
        site.refresh()
    restore(site.context(), first)
    assert site.content() == before
    site.refresh()


def test_a_run_whose_files_are_gone_is_not_half_restored(site: Site) -> None:
    first = site.last
    edit(site.raw / CHART_FILE, correct)
    second = site.refresh()
    context = site.context()
    with pytest.raises(ConfigError, match=r"runs of the last 168 h could not be restored .* add --force"):
        upkeep.maintain(context, 0)
    with context.writing("maintain"):
        done = {one.table: one for one in upkeep.maintain(context, 0, force=True)}
    assert done["ops.runs"].compacted and (done[CHART].deleted or 0) >= 1
    assert not done["silver.stays"].compacted
    before = site.content()
    with pytest.raises(ContractError, match=rf"files of {CHART} and \d more tables as run {first} left it are gone"):
        restore(site.context(), first)
    assert site.content() == before
    # Compaction and vacuum changed no row: nothing is out of date, and no promise is broken.
    assert site.diff(second, "last") == {}
    assert site.broken(CHART) == site.broken("ops.runs") == {}
    versions = site.lake.states()
    site.refresh()
    assert site.lake.states() == versions
    # But for the record that the maintenance itself left.
    assert {one.table for one in upkeep.maintain(site.context()) if one.compacted or one.deleted} == {"ops.snapshots"}


def test_leftovers_of_killed_runs_are_cleared_away(site: Site) -> None:
    left = site.root / "_staging" / "run-x" / "silver.events" / "part.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x")
    site.refresh()
    assert not (site.root / "_staging").exists()


def test_a_lake_as_of_a_run(site: Site) -> None:
    first = site.last
    rows = site.lake.row_count(CHART)
    edit(site.raw / CHART_FILE, correct)
    second = site.refresh(COHORT)
    count = f"SELECT count(*) AS n FROM {CHART}"
    seen = [query_duckdb(site.lake, count, run).to_pylist()[0]["n"] for run in (first, second, None)]
    assert seen == [rows, rows - 2, rows - 2]
    with pytest.raises(ConfigError, match=f"there was no {COHORT} yet when run {first} ended"):
        query_duckdb(site.lake, f"SELECT * FROM {COHORT}", first)


def test_a_query_sees_one_version_of_a_table_however_often_it_names_it(tmp_path: Path) -> None:
    lake, stop = Lake(tmp_path / "lake"), threading.Event()
    path = str(lake.location("silver.ward"))

    def commit() -> None:
        for n in range(10_000):
            write_deltalake(path, pa.table({"id": list(range(50)), "turn": [n] * 50}), mode="overwrite")
            if stop.is_set():
                return

    writer = threading.Thread(target=commit)
    writer.start()
    try:
        turns = set()
        while not lake.exists("silver.ward"):
            stop.wait(0.01)
        for _ in range(8):
            query = "SELECT a.turn AS a, b.turn AS b FROM silver.ward a JOIN silver.ward b USING (id)"
            pairs = {tuple(row.values()) for row in query_duckdb(lake, query).to_pylist()}
            assert len(pairs) == 1 and len(set(pairs.copy().pop())) == 1
            turns |= pairs
        assert len(turns) > 2, "the table changed meanwhile"
    finally:
        stop.set()
        writer.join()


def delta(site: Site, name: str) -> DeltaTable:
    return DeltaTable(str(site.lake.location(name)))


def first_file(site: Site, name: str) -> Path:
    return max(site.lake.location(name).rglob("*.parquet"), key=lambda path: path.stat().st_size)


def overwrite_a_value(site: Site) -> None:
    path = first_file(site, "silver.stays")
    table = pq.read_table(path, partitioning=None)
    ages = pa.array([300.0, *table["age"].to_pylist()[1:]])
    pq.write_table(table.set_column(table.schema.get_field_index("age"), "age", ages), path)


def update_a_value(site: Site) -> None:
    delta(site, "silver.stays").update(updates={"age": "300.0"})


def cut_a_file(site: Site) -> None:
    path = first_file(site, "silver.patients")
    path.write_bytes(path.read_bytes()[:-100])


def write_a_row_twice(site: Site) -> None:
    path = str(site.lake.location("silver.patients"))
    write_deltalake(path, site.lake.read_arrow("silver.patients").slice(0, 1), mode="append")


def lose_rows(site: Site) -> None:
    delta(site, "silver.notes").delete("note_id IS NOT NULL")


def add_a_column(site: Site) -> None:
    path, table = str(site.lake.location("silver.notes")), site.lake.read_arrow("silver.notes")
    extra = table.append_column("extra", pa.array([1] * table.num_rows))
    write_deltalake(path, extra, mode="overwrite", schema_mode="overwrite", partition_by=["source"])


def rename_a_source_file(site: Site) -> None:
    delta(site, CHART).update(predicate="_source_row = 1", updates={"_source_file": "'nowhere.csv'"})


def forget_a_file(site: Site) -> None:
    delta(site, "ops.files").delete(f"table = '{CHART}'")


def tamper_with_the_account(site: Site) -> None:
    delta(site, "ops.reconciliation").update(predicate=f"node = '{CHART}'", updates={"rows": "rows + 1"})


def make_it_anew(site: Site) -> None:
    shutil.rmtree(site.lake.location("silver.notes"))


@pytest.mark.parametrize(
    ("harm", "table", "broken"),
    [
        (overwrite_a_value, "silver.stays", {"files"}),
        (update_a_value, "silver.stays", {"rules", "history"}),
        (cut_a_file, "silver.patients", {"files"}),
        (write_a_row_twice, "silver.patients", {"key", "history", "reconciliation"}),
        (lose_rows, "silver.notes", {"history", "reconciliation"}),
        (add_a_column, "silver.notes", {"schema", "history"}),
        (rename_a_source_file, CHART, {"lineage", "reconciliation", "history"}),
        (forget_a_file, CHART, {"lineage"}),
        (tamper_with_the_account, CHART, {"reconciliation"}),
        (make_it_anew, "silver.notes", {"history"}),
    ],
)
def test_what_is_done_behind_the_lakes_back_is_found(
    site: Site, harm: Callable[[Site], None], table: str, broken: set[str]
) -> None:
    harm(site)
    with suppress(ConfigError):  # a table that is gone cannot be asked for
        assert site.broken(table).get(table) == broken
        return
    assert site.broken()[table] == broken


def test_what_a_killed_run_left_is_no_broken_promise(site: Site) -> None:
    """A table was committed, and its run was killed before it could say so: the name on the door tells."""
    site.lake.restore("silver.notes", 0)
    assert site.broken("silver.notes") == {"silver.notes": {"history", "reconciliation"}}
    (site.root / FILE).write_text(json.dumps(vars(Holder.here("run-x", "refine"))))
    done = site.check("silver.notes")
    assert done.findings == []
    assert any("run run-x" in note and "was killed" in note for note in done.notes)
    site.refresh()
    assert site.broken("silver.notes") == {}


def test_while_a_run_is_at_work_what_the_last_one_left_is_checked(site: Site) -> None:
    context = site.context()
    with context.writing("refine"):
        lose_rows(site)
        done = site.check("silver.notes")
        assert done.findings == []
        assert any("is at work" in note for note in done.notes)
    assert not any("is at work" in note for note in site.check("silver.notes").notes)
    assert Snapshots(site.lake).find("last").run_id == context.run_id


def ehr(site: Site, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    known = {key: value for key, value in os.environ.items() if not key.startswith("EHR_")}
    given = {"EHR_LAKE": str(site.root), "EHR_RAW": str(site.raw), **settings}
    return subprocess.run(
        [sys.executable, "-m", "jobs.cli", *arguments],
        cwd=Path(__file__).parents[2], env=known | given, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


def test_another_process_stops_where_it_may_not_wait_and_readers_go_on(site: Site) -> None:
    context = site.context()
    with context.writing("refine"):
        refused = ehr(site, "maintain", EHR_LOCK_WAIT_SECONDS="0")
        assert refused.returncode == 6
        assert "is being written by ehr refine (run " + context.run_id in " ".join(refused.stderr.split())
        read = ehr(site, "sql", "select count(*) as n from silver.stays", "--output", "csv", EHR_LOCK_WAIT_SECONDS="0")
        assert read.stdout.split() == ['"n"', str(site.lake.row_count("silver.stays"))]


def test_check_ends_with_a_code_that_a_scheduler_can_act_on(site: Site) -> None:
    lose_rows(site)
    found = ehr(site, "check", "--only", "silver.notes")
    assert found.returncode == 1
    assert "by no run" in found.stdout and "2 promises are broken" in found.stdout
