"""The lake in a catalog, against the JVM engine's own catalog: the SQL is that of Unity Catalog."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lakehouse.commit import Scope, commit
from lakehouse.part import Part
from lakehouse.table import Rule, Table
from lakehouse.unity import UnityLake
from tests.conftest import ENGINE

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(ENGINE != "spark", reason="a catalog needs the JVM engine"),
]

READINGS = Table(
    name="silver.unity_readings",
    ddl="id BIGINT NOT NULL COMMENT 'the stay''s id', source STRING NOT NULL, value DOUBLE, tags ARRAY<STRING>",
    key=("id", "source"),
    partition_by=("source",),
    rules=(Rule("positive", "value > 0"),),
)


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> UnityLake:
    spark.sql("DROP SCHEMA IF EXISTS silver CASCADE")
    spark.sql(f"CREATE SCHEMA silver LOCATION '{tmp_path / 'silver'}'")
    return UnityLake("spark_catalog", tmp_path / "volume", spark)


def readings(spark: SparkSession, source: str, values: list[float]):  # type: ignore[no-untyped-def]
    rows = [(i, source, value, ["a"]) for i, value in enumerate(values)]
    return spark.createDataFrame(rows, "id BIGINT, source STRING, value DOUBLE, tags ARRAY<STRING>")


def test_a_commit_writes_good_rows_and_quarantine_and_replaces_one_partition(
    lake: UnityLake, spark: SparkSession
) -> None:
    def put(source: str, values: list[float]) -> None:
        scope = Scope(Part(within={"source": source}), Part(within={"_node": source}))
        frame = readings(spark, source, values)
        commit(lake, READINGS, frame, node=source, run_id="r", scope=scope, default_from="made")

    put("x", [1.0, 2.0, -3.0])
    put("y", [4.0])
    put("x", [5.0])
    stored = {(r["source"], r["value"]) for r in lake.read(READINGS.name).collect()}
    assert stored == {("x", 5.0), ("y", 4.0)}
    assert lake.row_count(READINGS.quarantine) == 0
    assert lake.row_count(READINGS.name, ("source", "x")) == 1
    # Created, then written three times.
    assert lake.version(READINGS.name) == 3
    before = lake.read(READINGS.name, 1).collect()
    assert {r["value"] for r in before} == {1.0, 2.0}


def test_the_contract_is_in_the_catalog(lake: UnityLake, spark: SparkSession) -> None:
    lake.create(READINGS.name, READINGS.columns, READINGS.partition_by)
    lake.replace(READINGS.name, readings(spark, "x", [1.0]))
    fields = {f.name: f for f in lake.read(READINGS.name).schema.fields}
    assert fields["id"].metadata["comment"] == "the stay's id"
    detail = spark.sql(f"DESCRIBE DETAIL {lake.qualified(READINGS.name)}").collect()[0]
    assert list(detail["partitionColumns"]) == ["source"]
    assert READINGS.name in lake.names()
    assert lake.table_id(READINGS.name) == detail["id"]
    with pytest.raises(Exception, match="NOT NULL"):
        lake.append(READINGS.name, readings(spark, "x", [1.0]).withColumn("id", F.lit(None).cast("bigint")))


def test_merge_and_records(lake: UnityLake, spark: SparkSession) -> None:
    lake.create(READINGS.name, READINGS.columns, READINGS.partition_by)
    lake.append(READINGS.name, readings(spark, "x", [1.0, 2.0]))
    lake.merge(READINGS.name, readings(spark, "x", [9.0]), READINGS.key)
    assert sorted(lake.read_arrow(READINGS.name, ["value"]).column("value").to_pylist()) == [2.0, 9.0]

    columns = Table("silver.unity_log", "at TIMESTAMP NOT NULL, what STRING", ("at",)).columns
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    lake.append_records("silver.unity_log", columns, [{"at": now, "what": "x"}])
    assert lake.records("silver.unity_log") == [{"at": now, "what": "x"}]


def test_a_prefix_keeps_lakes_of_one_catalog_apart(lake: UnityLake, spark: SparkSession, tmp_path: Path) -> None:
    spark.sql("DROP SCHEMA IF EXISTS dev_alice_silver CASCADE")
    spark.sql(f"CREATE SCHEMA dev_alice_silver LOCATION '{tmp_path / 'alice'}'")
    hers = UnityLake("spark_catalog", tmp_path / "volume", spark, prefix="dev_alice_")
    assert hers.qualified(READINGS.name) == "`spark_catalog`.`dev_alice_silver`.`unity_readings`"
    for one, values in ((lake, [1.0]), (hers, [2.0, 3.0])):
        one.create(READINGS.name, READINGS.columns, READINGS.partition_by)
        one.append(READINGS.name, readings(spark, "x", values))
    assert (lake.row_count(READINGS.name), hers.row_count(READINGS.name)) == (1, 2)
    assert READINGS.name in lake.names()
    assert hers.names() == [READINGS.name], "neither the other lake's tables nor schemas that are no layer"
    granted = spark.sql(f"SELECT count(*) FROM {hers.merge_target(READINGS.name)}").collect()[0][0]
    assert granted == 2


def test_a_schema_that_is_missing_is_made(lake: UnityLake, spark: SparkSession, tmp_path: Path) -> None:
    spark.sql("DROP SCHEMA IF EXISTS dev_bob_silver CASCADE")
    UnityLake("spark_catalog", tmp_path / "volume", spark, "dev_bob_").create(READINGS.name, READINGS.columns)
    assert spark.catalog.databaseExists("spark_catalog.dev_bob_silver")
    assert lake.names() == []
    spark.sql("DROP SCHEMA dev_bob_silver CASCADE")


def test_upkeep_changes_no_row_and_tells_which_version_brought_them(lake: UnityLake, spark: SparkSession) -> None:
    lake.create(READINGS.name, READINGS.columns, READINGS.partition_by)
    for value in (1.0, 2.0):
        lake.append(READINGS.name, readings(spark, "x", [value]))
    assert lake.compact(READINGS.name, ("id",))
    lake.vacuum(READINGS.name, 168)
    version = lake.version(READINGS.name)
    assert version is not None and version > 3
    assert (lake.data_version(READINGS.name), lake.data_version(READINGS.name, 1)) == (2, 1)
    assert lake.row_count(READINGS.name) == 2
    lake.restore(READINGS.name, 1)
    assert (lake.data_version(READINGS.name), lake.row_count(READINGS.name)) == (1, 1)
    assert lake.is_whole(READINGS.name, 1) and not lake.is_whole(READINGS.name, 99)
    assert lake.data_version("silver.unity_none") is None
    state = lake.states()[READINGS.name]
    assert (state.id, state.version) == (lake.table_id(READINGS.name), lake.version(READINGS.name))
    assert [(c.name, c.type, c.nullable, c.comment) for c in lake.columns(READINGS.name, state.version)] == [
        (c.name, c.spark_type, c.nullable, c.comment) for c in READINGS.columns
    ]
    lake.withdraw(READINGS.name, "run")
    assert not lake.exists(READINGS.name)


def test_a_part_is_replaced_counted_and_compared(lake: UnityLake, spark: SparkSession) -> None:
    lake.create(READINGS.name, READINGS.columns, READINGS.partition_by)
    lake.replace(READINGS.name, readings(spark, "x", [1.0, 2.0, 3.0]))
    part = Part("id", frozenset({0, 1}), {"source": "x"})
    assert lake.count(READINGS.name, part) == 2
    assert lake.count(READINGS.name, Part(within={"source": "x"}), outside=part) == 1
    assert lake.values(READINGS.name, "value", None, part) == {1.0, 2.0}
    before = lake.version(READINGS.name) or 0
    lake.replace(READINGS.name, readings(spark, "x", [9.0]), part)
    assert {(r["id"], r["value"]) for r in lake.read(READINGS.name).collect()} == {(0, 9.0), (2, 3.0)}
    after = lake.version(READINGS.name) or 0
    assert lake.changed(READINGS.name, "id", before, after, {"source": "x"}) == {0, 1}
    assert lake.versions_of_rows(READINGS.name, before) == {after}
    lake.replace(READINGS.name, None, part)
    assert lake.read_part(READINGS.name, Part(within={"source": "x"}), "label").count() == 1
