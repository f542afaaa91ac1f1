"""The lake of the real files: every row accounted for, values plausible in all sources, nothing past the window.

EHR_RAW=DIR pytest tests/real
"""

import csv
import gzip
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from jobs.reconcile import accounts, page
from jobs.sql import query_duckdb
from lakehouse.io import Lake
from lakehouse.reference import read_dictionary
from lakehouse.registry import registry
from tests.real.conftest import RealLake

ROOT = Path(__file__).resolve().parents[2]
CHALLENGE = "challenge-2012"
PUBLISHED = {
    "challenge-2012/set-a.tar.gz": 1_757_980,
    "challenge-2012/set-b.tar.gz": 1_762_535,
    "challenge-2012/Outcomes-a.txt": 4_000,
    "challenge-2012/Outcomes-b.txt": 4_000,
    "mimiciii-demo-1.4/CHARTEVENTS.csv.gz": 758_355,
    "mimiciii-demo-1.4/LABEVENTS.csv.gz": 76_074,
    "mimiciv-demo-2.2/icu/chartevents.csv.gz": 668_862,
    "mimiciv-demo-2.2/hosp/labevents.csv.gz": 107_727,
}
WINDOW_MINUTES = 48 * 60
SKEWED = {"troponin_i", "troponin_t", "bilirubin", "alt", "ast", "gcs_verbal"}
"""Concepts whose medians differ by who is measured: few, sick, or intubated patients in the demos."""


def query(lake: Lake, text: str) -> list[dict[str, Any]]:
    return list(query_duckdb(lake, text).to_pylist())


def records_in(path: Path) -> int:
    """Data rows of a CSV file, counted by Python's own reader: a quoted text may span lines."""
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as text:
        return sum(1 for row in csv.reader(text) if row) - 1


def lines_in(path: Path) -> tuple[int, int]:
    """Records of a tarball, and their lines without headers."""
    records = lines = 0
    with tarfile.open(path, "r|gz") as tar:
        for member in tar:
            if member.name.endswith(".txt"):
                file = tar.extractfile(member)
                assert file is not None
                records, lines = records + 1, lines + len(file.read().splitlines()) - 1
    return records, lines


def test_bronze_has_every_row_of_every_file(real: RealLake) -> None:
    found = {a.input: a for a in accounts(real.context()) if a.layer == "bronze"}
    files = {name: real.raw / name for name in found}
    counted = {name: records_in(path) for name, path in files.items() if not name.endswith("tar.gz")}
    for name in "ab":
        tar = f"{CHALLENGE}/set-{name}.tar.gz"
        records, counted[tar] = lines_in(files[tar])
        assert records == 4_000
    assert {name: a.total for name, a in found.items()} == counted
    assert {name: a.rows["written"] for name, a in found.items()} == counted, "and none is quarantined"
    assert {name: counted[name] for name in PUBLISHED} == PUBLISHED
    by_source = Counter(t.raw.source for t in registry().raw_tables() if t.raw and real.lake.exists(t.name))
    assert by_source == {"challenge2012": 2, "mimiciii": 26, "mimiciv": 31}
    for table in registry().raw_tables():
        assert real.lake.row_count(table.name) == sum(a.total for a in found.values() if a.node == table.name)


def test_silver_and_gold_reconcile_to_the_row(real: RealLake) -> None:
    found = [a for a in accounts(real.context()) if a.layer != "bronze"]
    consumed = {(node.name, name) for node in registry().nodes for name in node.consumes if real.lake.row_count(name)}
    of_inputs = [a for a in found if a.input == a.input_named]
    assert {(a.node, a.input) for a in of_inputs} == consumed
    assert {a.input: a.total for a in of_inputs} == {a.input: real.lake.row_count(a.input) for a in of_inputs}
    written = Counter[str]()
    quarantined = Counter[str]()
    for a in found:
        table = a.node.partition("[")[0]
        written[table] += a.rows["written"]
        quarantined[table] += a.rows["quarantined"]
    built = {node.table.name for node in registry().nodes}
    assert {name: real.lake.row_count(name) for name in built} == {name: written[name] for name in built}
    refused = {name: sum(row["_rows"] for row in real.lake.records(f"{name}_quarantine")) for name in built}
    assert refused == {name: quarantined[name] for name in built}, "a refused row may stand for several input rows"
    stays = real.lake.row_count("gold.mortality_cohort")
    assert stays == real.lake.row_count("gold.mortality_features") == real.lake.row_count("gold.mortality_sequences")


def test_the_page_shows_this_lake(real: RealLake) -> None:
    shown = (ROOT / "docs" / "reconciliation.md").read_text()
    assert shown == page(accounts(real.context())), "run: ehr reconcile --markdown > docs/reconciliation.md"


def test_records_without_any_series_keep_their_stay(real: RealLake) -> None:
    """Ten records of sets a and b hold descriptors alone."""
    stays = query(
        real.lake,
        "select s.stay_id, s.age, c.split from silver.stays s join gold.mortality_cohort c using (stay_id) where "
        "s.source = 'challenge2012' and s.stay_id not in (select stay_id from silver.events where concept <> 'weight')",
    )
    assert len(stays) == 10
    assert all(row["age"] >= 16 and row["split"] in ("train", "test") for row in stays)


def test_a_second_time_nothing_is_built(real: RealLake) -> None:
    before = {name: real.lake.version(name) for name in real.lake.names()}
    assert Counter(outcome.status for outcome in real.again() if outcome.status != "skipped").keys() == {"unchanged"}
    assert {name: real.lake.version(name) for name in real.lake.names()} == before


def test_no_concept_is_off_its_centre_in_any_source(real: RealLake) -> None:
    """A unit left unconverted moves a median by 1.8 (temperature) to 88 times (creatinine)."""
    rows = query(
        real.lake,
        "select concept, source, median(value) as middle from silver.events where concept <> 'mech_vent' "
        "group by all having count(*) >= 100",
    )
    medians: dict[str, dict[str, float]] = {}
    for row in rows:
        medians.setdefault(row["concept"], {})[row["source"]] = row["middle"]
    shared = {concept: of for concept, of in medians.items() if len(of) > 1}
    assert len(shared) >= 34
    apart = {c: of for c, of in shared.items() if max(of.values()) > (8 if c in SKEWED else 1.5) * min(of.values())}
    assert apart == {}


def test_values_lie_in_their_range_and_no_minute_is_told_twice(real: RealLake) -> None:
    bounds = ("possible_low", "possible_high", "plausible_low", "plausible_high")
    rows = ", ".join(f"('{c['concept']}', {', '.join(str(c[b]) for b in bounds)})" for c in read_dictionary("concepts"))
    dictionary = f"(values {rows}) as c(concept, {', '.join(bounds)})"
    outside = query(
        real.lake,
        f"select e.concept, e.correction, e.value between c.possible_low and c.possible_high as possible, count(*) "
        f"from silver.events e join {dictionary} on e.concept = c.concept "
        "where not e.value between c.plausible_low and c.plausible_high group by all",
    )
    # Plausible amounts of several outlets may add up to more, and plausible parts to a whole that is not.
    assert {row["correction"] for row in outside} <= {"summed", "derived"}
    assert all(row["possible"] for row in outside if row["correction"] == "derived")
    key = "select 1 from silver.events group by stay_id, concept, minute having count(*) > 1"
    twice = f"select count(*) as n from ({key})"
    assert query(real.lake, twice) == [{"n": 0}]


def test_gold_looks_at_the_window_alone(real: RealLake) -> None:
    (span,) = query(
        real.lake,
        "select min(list_min(minutes)) as first, max(list_max(minutes)) as last from gold.mortality_sequences",
    )
    assert span["first"] >= 0 and span["last"] <= WINDOW_MINUTES
    differ = query(
        real.lake,
        "with inside as (select c.stay_id, count(e.minute) as n, avg(e.value) filter (e.concept = 'hr') as hr "
        "from gold.mortality_cohort c left join silver.events e on e.stay_id = c.stay_id "
        f"and e.minute between 0 and {WINDOW_MINUTES} group by all) "
        "select count(*) as n from inside i join gold.mortality_features f using (stay_id) "
        "where f.events_count <> i.n or abs(coalesce(f.hr_mean, -1) - coalesce(i.hr, -1)) > 1e-6",
    )
    assert differ == [{"n": 0}]


def test_no_feature_is_an_outcome(real: RealLake) -> None:
    columns = set(query(real.lake, "select * from gold.mortality_features limit 1")[0])
    outcomes = {"in_hospital_death", "saps_i_outcome", "sofa_outcome", "length_of_stay_days", "survival_days"}
    assert not columns & {*outcomes, "split", "record_set", "discharged_at", "died_at", "icu_hours"}


def test_raw_to_gold_takes_less_than_two_minutes_of_one_core(real: RealLake) -> None:
    """Processor time: what a machine that others use as well takes by the clock says nothing."""
    assert real.cpu_seconds < 120


def test_xgboost_trained_on_set_a_reaches_the_mark_on_set_b(real: RealLake) -> None:
    """The defaults without a search, in longer steps: two folds for the number of rounds, then one fit on set a."""
    from jobs.training.matrix import load_matrix  # noqa: PLC0415  (heavy, and needed here alone)
    from lakehouse.tasks import load_task  # noqa: PLC0415
    from models import boosting  # noqa: PLC0415
    from models.features import describe  # noqa: PLC0415
    from models.metrics import scores  # noqa: PLC0415
    from models.splits import patient_folds  # noqa: PLC0415
    from models.tuning import Budget  # noqa: PLC0415

    task = load_task("mortality")
    matrix = load_matrix(real.lake, task, sequences=False)
    train, test = matrix.part("train"), matrix.part("test")
    folds = patient_folds(train.outcomes, train.patient, 2, seed=7)
    defaults = {**boosting.DEFAULTS, **task.models["xgboost"].get("defaults", {}), "eta": 0.1}
    recipe = boosting.Recipe({}, defaults, seed=7)
    trained = boosting.train(
        train.features, train.outcomes, folds, describe(train.features), recipe=recipe, budget=Budget(1, 1), threads=2
    )
    figures = scores(test.outcomes, trained.model.risks(test.features), 0.5)
    assert figures["auroc"] >= 0.855
    assert figures["auprc"] >= 0.53


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_sets_have_their_published_deaths(real: RealLake, split: str) -> None:
    """554 and 568 of 4,000; one record of set a is a patient under 16."""
    rows = query(real.lake, f"select in_hospital_death as died from gold.mortality_cohort where split = '{split}'")
    published = {"train": (3_999, 554), "test": (4_000, 568)}
    assert (len(rows), sum(row["died"] for row in rows)) == published[split]
