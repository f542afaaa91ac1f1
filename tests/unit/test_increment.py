"""A table that promises `by`, on a lake of a few rows: built anew for whom rows changed, whole where that cannot be."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from tiny_lake import TinyLake, module, table_of

from lakehouse.part import Part
from lakehouse.pseudonyms import Identifier
from lakehouse.table import Mapping, Raw, Rule, Table

BEDS = "bed BIGINT, person BIGINT, value DOUBLE, _source_file STRING, _source_row BIGINT, _batch_id STRING"
RAW = module("bronze.ward", TABLES=(Table("bronze.beds", BEDS, (), raw=Raw("ward", ("beds.csv",), patient="person")),))


def mapped(beds: DataFrame, identify: Identifier) -> DataFrame:
    """One row a bed; a negative value is left out, two rows of one bed are merged."""
    left_out = F.when(F.col("value") < 0, F.lit("negative"))
    rows = beds.groupBy("bed", "person", left_out.alias("_left_out")).agg(
        F.max("value").alias("value"), F.count("*").alias("_rows")
    )
    return rows.select(
        F.col("bed").cast("string").alias("stay_id"),
        F.lit("ward").alias("source"),
        identify("ward", "person").alias("patient_id"),
        "value",
        "_left_out",
        "_rows",
    )


WARD = module(
    "silver.sources.ward", MAPPINGS=(Mapping("ward", "silver.stays", ("bronze.beds",), mapped, ("bronze.beds",)),)
)
STAYS = table_of(
    "silver.stays",
    lambda mapped: mapped.select("*"),
    "stay_id STRING NOT NULL, source STRING NOT NULL, patient_id STRING NOT NULL, value DOUBLE",
    key=("stay_id",),
    inputs=("mapped",),
    partition_by=("source",),
    by="patient_id",
    rules=(Rule("below_100", "value < 100"), Rule("below_50", "value < 50", "warn")),
)


def ranked(stays: DataFrame) -> DataFrame:
    """Each stay with the highest value of its patient."""
    of_patient = stays.groupBy("patient_id").agg(F.max("value").alias("highest"))
    return stays.select("stay_id", "patient_id").join(of_patient, on="patient_id", how="inner").drop("patient_id")


RANKED = table_of(
    "gold.ranked",
    ranked,
    "stay_id STRING NOT NULL, highest DOUBLE",
    key=("stay_id",),
    inputs=("silver.stays",),
    by="stay_id",
)
MODULES = RAW, WARD, STAYS, RANKED
WHOLE = ("", "")


@pytest.fixture
def tiny(spark: SparkSession, tmp_path: Path) -> TinyLake:
    return TinyLake(tmp_path / "lake", spark)


def bed(bed: int, person: int | None, value: float, file: str = "a") -> dict[str, Any]:
    return {"bed": bed, "person": person, "value": value, "_source_file": file, "_source_row": bed}


def deliver(tiny: TinyLake, *rows: dict[str, Any], file: str = "a") -> None:
    """One raw file's rows in place of those that it had."""
    tiny.lake.replace("bronze.beds", None, Part("_source_file", frozenset({file})))
    tiny.put("bronze.beds", [{**row, "_source_file": file} for row in rows], BEDS)


def notes(tiny: TinyLake, **given: Any) -> tuple[str, ...]:
    return tuple(outcome.note for outcome in tiny.run(*MODULES, **given).values())


def anew(count: int) -> tuple[str, str]:
    return (f"rows of {count} patients anew",) * 2


FIRST = [bed(i, i, float(i)) for i in range(1, 9)]


def start(tiny: TinyLake) -> None:
    tiny.put("bronze.beds", FIRST, BEDS)
    tiny.put("bronze.beds", [bed(20, 9, -1.0, "b"), bed(21, 9, 120.0, "b")], BEDS)
    assert notes(tiny) == WHOLE


def check_as_rebuilt(tiny: TinyLake) -> None:
    """Rows, quarantine and all that is counted are those of a rebuild."""

    def told() -> list[Any]:
        counted = ("rows_in", "rows_given", "rows_out", "rows_quarantined", "rows_left_out", "warnings")
        last = [{k: tiny.ledger(node)[-1][k] for k in counted} for node in ("silver.stays[ward]", "gold.ranked")]
        tables = [tiny.rows(name) for name in ("silver.stays", "gold.ranked")]
        refused = tiny.rows("silver.stays_quarantine", "stay_id", "value", "_rules", "_rows")
        return [*last, *tables, refused, tiny.reconciliation("silver.stays[ward]")]

    found = told()
    assert notes(tiny, code="another") == WHOLE
    assert told() == found


CHANGES: dict[str, tuple[Callable[[TinyLake], None], int]] = {
    "a new patient": (lambda t: t.put("bronze.beds", [bed(30, 10, 60.0, "c")], BEDS), 1),
    "one more stay of a known one": (lambda t: t.put("bronze.beds", [bed(30, 1, 60.0, "c")], BEDS), 1),
    "one more row of a known stay": (lambda t: t.put("bronze.beds", [bed(2, 2, 7.0, "c")], BEDS), 1),
    "a corrected file": (lambda t: deliver(t, *FIRST[:4], bed(5, 5, 55.0), *FIRST[5:]), 1),
    "a line that is gone": (lambda t: deliver(t, *FIRST[1:]), 1),
    "a file that is gone": (lambda t: deliver(t, file="b"), 1),
    "refused and left out no more": (lambda t: deliver(t, bed(20, 9, 1.0), bed(21, 9, 1.0), file="b"), 1),
    "now refused": (lambda t: deliver(t, *FIRST[:6], bed(7, 7, 700.0), bed(8, 8, -1.0)), 2),
}


@pytest.mark.parametrize(
    "change", ["a new patient", "one more stay of a known one", pytest.param("now refused", marks=pytest.mark.engine)]
)
def test_what_changed_is_built_for_whom_it_changed(tiny: TinyLake, change: str) -> None:
    start(tiny)
    make, patients = CHANGES[change]
    make(tiny)
    assert notes(tiny) == anew(patients)
    check_as_rebuilt(tiny)


def test_change_after_change_under_a_key(tiny: TinyLake) -> None:
    tiny.identify = Identifier(SecretStr("key"))
    start(tiny)
    for name in ("one more row of a known stay", "a corrected file", "a line that is gone", "a file that is gone"):
        CHANGES[name][0](tiny)
        assert notes(tiny)[0].endswith("patients anew"), name
    check_as_rebuilt(tiny)


def test_refused_rows_come_back(tiny: TinyLake) -> None:
    start(tiny)
    CHANGES["refused and left out no more"][0](tiny)
    assert notes(tiny) == anew(1)
    assert tiny.rows("silver.stays_quarantine", "stay_id") == []
    check_as_rebuilt(tiny)


def test_a_file_that_was_read_again_with_the_same_rows_changes_nothing(tiny: TinyLake) -> None:
    start(tiny)
    before = tiny.versions()
    deliver(tiny, *FIRST)
    built = tiny.run(*MODULES)
    assert {name: o.status for name, o in built.items()} == {"silver.stays[ward]": "built", "gold.ranked": "unchanged"}
    after = tiny.versions()
    assert {name for name in after if after[name] != before[name]} == {"bronze.beds"}
    assert tiny.run(*MODULES)["silver.stays[ward]"].status == "unchanged"


@pytest.mark.parametrize(
    "reason", ["too many", "a key of another patient", "no patient", "killed", "old files gone", "a table of nobody"]
)
def test_it_is_built_whole_where_patients_cannot_be_told_apart(tiny: TinyLake, reason: str) -> None:
    start(tiny)
    if reason == "too many":
        deliver(tiny, *(bed(i, i, 40.0) for i in range(1, 9)))
    elif reason == "a key of another patient":
        tiny.put("bronze.beds", [bed(1, 10, 3.0, "c")], BEDS)
    elif reason == "no patient":
        tiny.put("bronze.beds", [bed(40, None, 3.0, "c")], BEDS)
    else:
        tiny.put("bronze.beds", [bed(30, 10, 3.0, "c")], BEDS)
    if reason == "killed":  # it had written, and could not say so
        tiny.lake.replace("silver.stays", None, Part("patient_id", frozenset({"ward-1"}), {"source": "ward"}))
    if reason == "old files gone":
        deliver(tiny, *FIRST)
        tiny.lake.vacuum("bronze.beds", 0)
    if reason == "a table of nobody":
        shutil.rmtree(tiny.lake.location("silver.stays"))
    assert notes(tiny)[0] == ""
    if reason == "a key of another patient":
        assert tiny.rows("silver.stays_quarantine", "stay_id", "patient_id") == [
            ("1", "ward-1"), ("1", "ward-10"), ("21", "ward-9"),
        ]  # fmt: skip
        tiny.lake.replace("bronze.beds", None, Part("_source_file", frozenset({"c"})))
        assert notes(tiny)[0] == "", "the row of the first patient was refused with that of the other"
        assert ("1", "ward", "ward-1", 1.0) in tiny.rows("silver.stays")
    check_as_rebuilt(tiny)


def test_compaction_takes_nothing_away_from_it(tiny: TinyLake) -> None:
    start(tiny)
    tiny.put("bronze.beds", [bed(30, 10, 60.0, "c")], BEDS)
    assert notes(tiny) == anew(1)
    for name in ("bronze.beds", "silver.stays", "gold.ranked"):
        assert tiny.lake.compact(name)
        tiny.lake.vacuum(name, 168)
    tiny.put("bronze.beds", [bed(31, 11, 61.0, "d")], BEDS)
    assert notes(tiny) == anew(1)
    check_as_rebuilt(tiny)
