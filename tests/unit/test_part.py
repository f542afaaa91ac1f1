"""A part's condition as the engines read it, whatever a file is called."""

import pytest
from pyspark.sql import SparkSession

from lakehouse.part import ALL, Part

NAMES = ["plain.csv", "o'brien.csv", "two''quotes", "c:\\records\\new.csv", "ends\\", "\\' OR 1 = 1 --"]


@pytest.mark.engine
@pytest.mark.parametrize("name", NAMES)
def test_a_part_is_the_rows_of_its_value_alone(spark: SparkSession, name: str) -> None:
    frame = spark.createDataFrame([(one, "s") for one in NAMES], "file STRING, source STRING")
    part = Part("file", frozenset({name}), {"source": "s"})
    assert [row.file for row in frame.where(part.sql()).collect()] == [name]


@pytest.mark.engine
def test_a_part_without_values_is_no_row_and_all_is_every_row(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(1,), (2,), (None,)], "n INT")
    assert frame.where(Part("n").sql()).count() == 0
    assert frame.where(Part("n", frozenset({2, None})).sql()).count() == 1
    assert frame.where(ALL.sql()).count() == 3
