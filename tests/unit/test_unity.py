"""The lake in a catalog, against the JVM engine's own catalog: the SQL is that of Unity Catalog."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lakehouse.commit import Scope, commit
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
        scope = Scope(f"source = '{source}'", f"_node = '{source}'", ("source", source))
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
    lake.restore(READINGS.name, 1)
    assert lake.row_count(READINGS.name) == 2


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
