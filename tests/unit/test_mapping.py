"""Columns that are known are not asked for, and nothing else is another for it."""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lakehouse.ddl import parse_columns
from lakehouse.mapping import map_in_arrow, spark_schema, to_arrow


@pytest.fixture
def asked(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the engine was asked about frames."""
    ask, questions = spark.client._analyze, []

    def noted(method: str, **told: Any) -> Any:
        questions.append(method)
        return ask(method, **told)

    monkeypatch.setattr(spark.client, "_analyze", noted)
    return questions


@pytest.mark.engine
def test_a_frame_is_mapped_without_a_question_and_keeps_its_own_types(spark: SparkSession, asked: list[str]) -> None:
    def doubled(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:  # within: a worker knows no test
        for batch in batches:
            rows = batch.to_pylist()
            yield pa.RecordBatch.from_pylist([{"name": row["name"], "twice": 2 * row["n"]} for row in rows])

    frame = spark.range(1, 3).select(F.col("id").alias("n"), F.lit("a").alias("name"))
    mapped = map_in_arrow(
        frame, ["n", "name"], doubled, spark_schema(parse_columns("name STRING NOT NULL, twice BIGINT"))
    )
    assert mapped.schema.simpleString() == "struct<name:string,twice:bigint>"
    assert asked == []
    assert frame.schema.simpleString() == "struct<n:bigint,name:string>"
    assert asked == ["schema"]
    assert sorted(tuple(row) for row in mapped.collect()) == [("a", 2), ("a", 4)]


@pytest.mark.engine
def test_a_frame_is_a_table_without_a_question(spark: SparkSession, asked: list[str]) -> None:
    frame = spark.range(2).select(F.col("id").alias("n"), F.array(F.lit(0.5)).alias("parts"))
    table = to_arrow(frame, parse_columns("n BIGINT NOT NULL, parts ARRAY<DOUBLE>"))
    assert asked == []
    assert table.schema.types == [pa.int64(), pa.list_(pa.float64())]
    assert table.sort_by("n").to_pylist() == [{"n": 0, "parts": [0.5]}, {"n": 1, "parts": [0.5]}]
