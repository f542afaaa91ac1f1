"""Operating a lake: what changed between runs, back to one of them, and a lake as one of them left it."""

import threading
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from jobs.operations import maintain as upkeep
from jobs.operations.diff import by_engine, compared, rows_of
from jobs.operations.restore import restore
from jobs.operations.runs import runs
from jobs.sql import query_duckdb
from lakehouse.errors import ConfigError, ContractError
from lakehouse.io import Lake
from lakehouse.records.snapshots import Snapshots
from tests.integration.operated import CHART, CHART_FILE, COHORT, HEART_RATE, OperatedLake
from tests.raw_csv import Rows, edit

pytestmark = pytest.mark.usefixtures("spark")


@pytest.fixture
def site(operated: OperatedLake) -> OperatedLake:
    return operated


def correct(rows: Rows) -> Rows:
    """One heart rate is another one, and two are gone."""
    changed, *_, second, last = (i for i, row in enumerate(rows) if row["itemid"] in HEART_RATE and row["valuenum"])
    value = f"{float(rows[changed]['valuenum']) + 1:g}"
    rows[changed] = rows[changed] | {"value": value, "valuenum": value}
    return [row for i, row in enumerate(rows) if i not in (second, last)]


def test_a_correction_is_told_taken_back_and_made_again(site: OperatedLake) -> None:
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


def test_the_rows_that_differ_are_shown_with_old_and_new_values(site: OperatedLake) -> None:
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


def test_tables_born_later_are_withdrawn_and_come_back(site: OperatedLake) -> None:
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
    site: OperatedLake, monkeypatch: pytest.MonkeyPatch
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


def test_a_run_whose_files_are_gone_is_not_half_restored(site: OperatedLake) -> None:
    first = site.last
    edit(site.raw / CHART_FILE, correct)
    second = site.refresh()
    context = site.context()
    of_one_file = [name for name in site.lake.names() if len(site.lake._delta(name).file_uris()) == 1]
    with pytest.raises(ConfigError, match=r"runs of the last 168 h could not be restored .* add --force"):
        upkeep.maintain(context, 0)
    with context.writing("maintain"):
        done = {one.table: one for one in upkeep.maintain(context, 0, force=True)}
    assert done["ops.runs"].compacted and (done[CHART].deleted or 0) >= 1
    assert of_one_file and not any(done[name].compacted for name in of_one_file)
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


def test_leftovers_of_killed_runs_are_cleared_away(site: OperatedLake) -> None:
    left = site.root / "_staging" / "run-x" / "silver.events" / "part.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x")
    site.refresh()
    assert not (site.root / "_staging").exists()


def test_a_lake_as_of_a_run(site: OperatedLake) -> None:
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
