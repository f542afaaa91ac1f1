"""Rules: which rows are written, quarantined, left out or merged, and which frames are refused."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from tiny_readings import frame, put, stored

from lakehouse.errors import ContractError
from lakehouse.io import Lake
from lakehouse.rules import BROKEN, apply_rules, check_columns
from lakehouse.table import Table


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    return Lake(tmp_path, spark)


def test_every_row_goes_one_way(spark: SparkSession, lake: Lake) -> None:
    done = put(
        lake,
        frame(
            spark,
            {"id": 1, "value": 80.0},
            {"id": 2, "value": None},  # a null breaks no rule
            {"id": 3, "value": 250.0},  # unusual: counted and written
            {"id": 4, "value": 90.0, "_rows": 3, "_merged_as": "same_minute"},
            {"id": 5, "value": 70.0, "_rows": 2},
            {"id": 6, "value": -1.0},
            {"id": None, "value": -2.0, "note": None, "_rows": 2},
            {"id": 7, "value": 60.0, "_limit": 50.0},
            {"id": 8, "value": 81.0},
            {"id": 8, "value": 82.0},
            {"id": 8, "value": -3.0},
            {"id": 1, "value": -1.0, "_left_out": "sentinel"},  # neither broken nor a duplicate
            {"id": None, "note": None, "_left_out": "unmapped", "_rows": 40},
            {"id": None, "note": "furlong", "_left_out": "unmapped", "_rows": 2},
        ),
    )
    assert stored(lake, "silver.readings", "id", "value") == [(1, 80.0), (2, None), (3, 250.0), (4, 90.0), (5, 70.0)]
    assert stored(
        lake, "silver.readings_quarantine", "id", "value", "_rules", "_rows", "_from", "_node", "_run_id"
    ) == [
        (6, -1.0, ["positive"], 1, "bronze.r", "silver.readings", "run-1"),
        (7, 60.0, ["below_limit"], 1, "bronze.r", "silver.readings", "run-1"),
        (8, -3.0, ["positive", "duplicate_key"], 1, "bronze.r", "silver.readings", "run-1"),
        (8, 81.0, ["duplicate_key"], 1, "bronze.r", "silver.readings", "run-1"),
        (8, 82.0, ["duplicate_key"], 1, "bronze.r", "silver.readings", "run-1"),
        (None, -2.0, ["id_missing", "note_missing", "positive"], 2, "bronze.r", "silver.readings", "run-1"),
    ]
    assert done.reconciliation == {
        ("bronze.r", "written", ""): 5,
        ("bronze.r", "merged", "same_minute"): 2,
        ("bronze.r", "merged", "merged"): 1,
        ("bronze.r", "quarantined", "positive"): 1,
        ("bronze.r", "quarantined", "below_limit"): 1,
        ("bronze.r", "quarantined", "duplicate_key"): 2,
        ("bronze.r", "quarantined", "positive duplicate_key"): 1,
        ("bronze.r", "quarantined", "id_missing note_missing positive"): 2,
        ("bronze.r", "left_out", "sentinel"): 1,
        ("bronze.r", "left_out", "unmapped"): 42,
    }
    assert (done.rows(), done.rows("written"), done.rows("quarantined"), done.rows("left_out")) == (14, 5, 6, 3)
    assert done.warnings == {"usual": 1}
    assert (done.version, done.quarantine_version) == (1, 1)
    assert not (lake.root / "_staging").exists()


def test_the_key_is_checked_only_where_it_is_asked_for(spark: SparkSession, lake: Lake) -> None:
    table = Table("silver.t", "id BIGINT", ("id",), key_check=False)
    assert put(lake, spark.createDataFrame([(1,), (1,)], "id BIGINT"), table).rows("written") == 2
    pair = Table("silver.u", "id BIGINT, kind STRING", ("id", "kind"))
    rows = spark.createDataFrame(
        [(1, "a"), (1, "b"), (2, "a"), (2, "a"), (3, None), (3, None)], "id BIGINT, kind STRING"
    )
    assert put(lake, rows, pair).reconciliation == {
        ("bronze.r", "written", ""): 4,  # a key with a null in it is NOT NULL's business
        ("bronze.r", "quarantined", "duplicate_key"): 2,
    }


def test_rows_say_which_input_they_come_from(spark: SparkSession, lake: Lake) -> None:
    table = Table("silver.t", "id BIGINT", ("id",))
    rows = spark.createDataFrame([(1, "bronze.a"), (2, None), (3, "derived")], "id BIGINT, _from STRING")
    assert put(lake, rows, table).reconciliation == {
        ("bronze.a", "written", ""): 1,
        ("bronze.r", "written", ""): 1,
        ("derived", "written", ""): 1,
    }


def test_helper_columns_may_have_any_type_and_nulls(spark: SparkSession, lake: Lake) -> None:
    """A null literal has no type; `_rows` may be INT; a null count is one row."""
    table = Table("silver.t", "id BIGINT", ("id",))
    rows = spark.createDataFrame([(1, 2), (2, None)], "id BIGINT, _rows INT")
    rows = rows.withColumns({"_left_out": F.lit(None), "_note": F.lit(None)})
    assert put(lake, rows, table).reconciliation == {
        ("bronze.r", "written", ""): 2,
        ("bronze.r", "merged", "merged"): 1,
    }
    given = apply_rules(rows, table)
    assert given.columns == ["id", "_left_out", "_rows", "_merged_as", "_from", "_raw", BROKEN]


def test_rules_that_a_reader_found_broken_come_after_those_of_the_contract(spark: SparkSession, lake: Lake) -> None:
    table = Table("silver.t", "id BIGINT NOT NULL, value DOUBLE", ("id",))
    rows = spark.createDataFrame(
        [(1, 1.0, None), (2, None, "value_is_double"), (None, None, "id_is_bigint value_is_double")],
        "id BIGINT, value DOUBLE, _misread STRING",
    )
    put(lake, rows, table)
    assert stored(lake, "silver.t", "id") == [(1,)]
    assert stored(lake, "silver.t_quarantine", "id", "_rules") == [
        (2, ["value_is_double"]),
        (None, ["id_missing", "id_is_bigint", "value_is_double"]),
    ]


def test_a_column_may_be_named_like_a_keyword(spark: SparkSession, lake: Lake) -> None:
    table = Table("silver.t", "table STRING NOT NULL, values ARRAY<INT>, time TIMESTAMP NOT NULL", ("table",))
    rows = spark.sql("SELECT 'a' AS table, array(1, 2) AS values, timestamp'2020-01-01' AS time")
    assert put(lake, rows, table).rows("written") == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop("value"), "lacks value."),
        (lambda f: f.withColumn("extra", F.lit(1)), "has extra, which the contract does not know."),
        (lambda f: f.withColumn("id", F.col("id").cast("int")), "has id as int instead of bigint."),
        (lambda f: f.select("*", F.lit(1.0).alias("value")), "has value twice."),
        (
            lambda f: f.drop("note").withColumnRenamed("value", "Value").withColumn("id", F.lit("1")),
            "lacks value; lacks note; has Value, which the contract does not know; has id as string instead of bigint.",
        ),
    ],
)
def test_a_frame_of_another_shape_is_refused_in_words(
    spark: SparkSession, lake: Lake, change: Callable[[DataFrame], DataFrame], said: str
) -> None:
    with pytest.raises(ContractError) as refused:
        put(lake, change(frame(spark, {"id": 1})))
    assert str(refused.value) == f"silver.readings: the frame {said}"
    assert lake.names() == []


def test_nested_types_are_compared_whole(spark: SparkSession) -> None:
    table = Table("gold.t", "id BIGINT, top ARRAY<STRUCT<featureName: STRING, by: DOUBLE>>", ("id",))
    good = spark.sql("SELECT 1L AS id, array(named_struct('featureName', 'age', 'by', 0.5D)) AS top")
    check_columns(good, table)
    bad = spark.sql("SELECT 1L AS id, array(named_struct('featureName', 'age', 'by', 1)) AS top")
    with pytest.raises(
        ContractError, match="has top as array<struct<featureName:string,by:int>> instead of array<stru"
    ):
        check_columns(bad, table)


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.one_of(st.none(), st.integers(1, 4)),
            "value": st.one_of(st.none(), st.sampled_from([-1.0, 0.0, 10.0, 250.0, 400.0])),
            "note": st.sampled_from(["ok", "ok", None]),
            "_left_out": st.sampled_from([None, None, None, "sentinel", "unmapped"]),
            "_rows": st.sampled_from([None, 1, 1, 2, 5]),
            "_merged_as": st.sampled_from([None, "same_minute"]),
        }
    ),
    min_size=1,
    max_size=12,
)


def expected(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str], int]:
    """The obvious way, row by row."""
    keys = Counter(row["id"] for row in rows if row["_left_out"] is None)
    total: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        n, value = row["_rows"] or 1, row["value"]
        broken = [
            name
            for name, is_broken in (
                ("id_missing", row["id"] is None),
                ("note_missing", row["note"] is None),
                ("positive", value is not None and value <= 0),
                ("below_limit", value is not None and value >= 300),
                ("duplicate_key", row["id"] is not None and keys[row["id"]] > 1),
            )
            if is_broken
        ]
        if row["_left_out"]:
            total["bronze.r", "left_out", row["_left_out"]] += n
        elif broken:
            total["bronze.r", "quarantined", " ".join(broken)] += n
        else:
            total["bronze.r", "written", ""] += 1
            total["bronze.r", "merged", row["_merged_as"] or "merged"] += n - 1
    return {key: n for key, n in total.items() if n}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS)
def test_every_given_row_is_written_quarantined_or_left_out(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"), spark)
    done = put(lake, frame(spark, *rows))
    assert done.reconciliation == expected(rows)
    assert sum(done.reconciliation.values()) == sum(row["_rows"] or 1 for row in rows)
    assert done.rows() == len(rows) == sum(done.rows(o) for o in ("written", "quarantined", "left_out"))
    assert lake.row_count("silver.readings") == done.rows("written")
    assert lake.row_count("silver.readings_quarantine") == done.rows("quarantined")
    assert done.warnings.get("usual", 0) == sum(
        row["_left_out"] is None and row["value"] is not None and row["value"] >= 200 for row in rows
    )
