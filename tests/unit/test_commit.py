"""One commit: what a broken promise or a failed write leaves behind, and what survives an overwrite."""

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from tiny_readings import READINGS, frame, put, stored

from lakehouse.commit import Committed
from lakehouse.errors import ContractError
from lakehouse.io import Lake
from lakehouse.table import Table


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    return Lake(tmp_path, spark)


def test_a_fail_rule_changes_nothing(spark: SparkSession, lake: Lake) -> None:
    put(lake, frame(spark, {"id": 1, "value": 80.0}, {"id": 2, "value": -1.0}))
    before = {name: (lake.version(name), stored(lake, name, "id")) for name in lake.names()}
    bad = frame(spark, {"id": 3, "note": "furlong"}, {"id": 4, "note": "furlong"}, {"id": 5, "value": -1.0})
    with pytest.raises(
        ContractError, match=r"^silver.readings: rows break known_unit \(2 rows\); nothing was written\.$"
    ):
        put(lake, bad)
    assert {name: (lake.version(name), stored(lake, name, "id")) for name in lake.names()} == before
    assert not (lake.root / "_staging").exists()


def test_a_fail_rule_leaves_no_table_where_there_was_none(spark: SparkSession, lake: Lake) -> None:
    with pytest.raises(ContractError):
        put(lake, frame(spark, {"id": 3, "note": "furlong"}))
    assert lake.names() == []


def test_what_verify_refuses_is_not_written(spark: SparkSession, lake: Lake) -> None:
    seen = []

    def verify(done: Committed) -> None:
        seen.append(done.rows("written"))
        raise ContractError("no")

    with pytest.raises(ContractError, match=r"^no$"):
        put(lake, frame(spark, {"id": 1}, {"id": 2}), verify=verify)
    assert seen == [2]
    assert lake.names() == []
    assert not (lake.root / "_staging").exists()


def test_a_failed_write_puts_both_tables_back(spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    put(lake, frame(spark, {"id": 1, "value": 80.0}, {"id": 2, "value": -1.0}))
    replace = lake.replace

    def break_after_quarantine(name: str, *rest: Any) -> None:
        if name == READINGS.name:
            raise OSError("disk full")
        replace(name, *rest)

    monkeypatch.setattr(lake, "replace", break_after_quarantine)
    with pytest.raises(OSError, match="disk full"):
        put(lake, frame(spark, {"id": 3, "value": 80.0}, {"id": 4, "value": -1.0}))
    assert stored(lake, "silver.readings", "id") == [(1,)]
    assert stored(lake, "silver.readings_quarantine", "id") == [(2,)]
    assert lake.version("silver.readings") == 1
    assert not (lake.root / "_staging").exists()


def test_rows_that_get_lost_in_the_write_are_noticed(
    spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(lake, frame(spark, {"id": 1}))
    replace = lake.replace
    monkeypatch.setattr(lake, "replace", lambda name, rows, *where: replace(name, rows.frame().limit(1), *where))
    with pytest.raises(ContractError, match=r"^silver.readings: 2 rows were to be written, 1 are stored\.$"):
        put(lake, frame(spark, {"id": 2}, {"id": 3}))
    assert stored(lake, "silver.readings", "id") == [(1,)]


@pytest.mark.engine
def test_not_null_and_comments_survive_overwrites(spark: SparkSession, lake: Lake) -> None:
    for n in range(2):
        put(lake, frame(spark, {"id": n}, {"id": 9, "value": -1.0}))
    fields = {name: lake._delta(name).schema().fields for name in lake.names()}
    assert [(f.name, f.nullable, f.metadata) for f in fields["silver.readings"]] == [
        ("id", False, {}),
        ("value", True, {"comment": "mmHg"}),
        ("note", False, {}),
    ]
    assert all(f.nullable for f in fields["silver.readings_quarantine"])
    assert fields["silver.readings_quarantine"][3].metadata == {
        "comment": "names of the error rules that the row broke"
    }
    assert stored(lake, "silver.readings", "id") == [(1,)]
    assert stored(lake, "silver.readings_quarantine", "id", "_run_id") == [(9, "run-1")]


def test_quarantine_empties_when_the_rows_are_mended(spark: SparkSession, lake: Lake) -> None:
    put(lake, frame(spark, {"id": 1, "value": -1.0}))
    done = put(lake, frame(spark, {"id": 1, "value": 1.0}), run_id="run-2")
    assert stored(lake, "silver.readings", "id") == [(1,)]
    assert stored(lake, "silver.readings_quarantine", "id") == []
    assert done.version == lake.version("silver.readings")
    assert done.quarantine_version == lake.version("silver.readings_quarantine")


@pytest.mark.parametrize("before", [0, 1])
def test_a_frame_without_rows_makes_an_empty_table(spark: SparkSession, lake: Lake, before: int) -> None:
    put(lake, frame(spark, {"id": 1}).limit(before))
    assert len(stored(lake, "silver.readings", "id")) == before
    done = put(lake, frame(spark, {"id": 1}).where("id > 1"))
    assert (done.tallies, done.reconciliation, stored(lake, "silver.readings", "id")) == ([], {}, [])
    assert lake.names() == ["silver.readings"]


def test_required_columns_may_have_any_type(spark: SparkSession, lake: Lake) -> None:
    """A row that is left out may lack them all; one engine looks at it when it checks the written ones."""
    types = {"a": "ARRAY<INT>", "m": "MAP<STRING, INT>", "s": "STRUCT<x: INT>", "b": "BOOLEAN", "d": "DATE"}
    types |= {"t": "TIMESTAMP", "f": "FLOAT", "y": "BINARY", "n": "SMALLINT"}
    table = Table("silver.t", ", ".join(f"{name} {kind} NOT NULL" for name, kind in types.items()), ("d",))
    nulls = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in types.items())
    rows = spark.sql(
        "SELECT array(1) AS a, map('k', 1) AS m, named_struct('x', 1) AS s, true AS b, date'2020-01-01' AS d, "
        "timestamp'2020-01-01' AS t, CAST(1 AS FLOAT) AS f, CAST('y' AS BINARY) AS y, CAST(1 AS SMALLINT) AS n, "
        f"CAST(NULL AS STRING) AS _left_out UNION ALL SELECT {nulls}, 'unmapped' UNION ALL SELECT {nulls}, NULL"
    )
    assert {outcome: n for (_, outcome, _), n in put(lake, rows, table).reconciliation.items()} == {
        "written": 1,
        "left_out": 1,
        "quarantined": 1,
    }
    assert len(stored(lake, "silver.t", *types)) == 1


@pytest.mark.engine
def test_merge_replaces_by_key_and_keeps_the_rest(spark: SparkSession, lake: Lake) -> None:
    table = Table("gold.risks", "id BIGINT NOT NULL COMMENT 'stay', value DOUBLE", ("id",), mode="merge")
    for rows in ([(1, 0.1), (2, 0.2)], [(2, 0.9), (3, 0.3), (4, 0.4), (4, 0.5)]):
        done = put(lake, spark.createDataFrame(rows, "id BIGINT, value DOUBLE"), table)
    assert stored(lake, "gold.risks", "id", "value") == [(1, 0.1), (2, 0.9), (3, 0.3)]
    assert stored(lake, "gold.risks_quarantine", "id", "value") == [(4, 0.4), (4, 0.5)]
    assert lake.row_count("gold.risks") == 3
    assert done.rows("written") == 2
    assert lake._delta("gold.risks").schema().fields[0].metadata == {"comment": "stay"}
