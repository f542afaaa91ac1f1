"""Frames in Arrow whose columns are known, mapped by a function or as a table: the engine is not asked for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import NullType, StructField, StructType

from lakehouse.ddl import Column, delta_schema

OfBatches = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]
_CACHED = "_cached_schema"
"""Where a frame of Spark Connect keeps the schema that it has asked for."""


def map_in_arrow(frame: DataFrame, names: Sequence[str], function: OfBatches, gives: StructType | str) -> DataFrame:
    """The frame that the function makes of this one, which must have the columns `names`, in this order.

    Spark Connect asks the server what columns a frame has that is to be mapped, and what a schema in words means: for
    the first the engine plans once more all that the frame is made of.
    """
    with _known(frame, StructType([StructField(name, NullType()) for name in names])):
        return frame.mapInArrow(function, gives)


def to_arrow(frame: DataFrame, columns: Iterable[Column]) -> pa.Table:
    """The frame, which must have these columns, as a table. Spark Connect asks for the schema of each that it gives."""
    with _known(frame, spark_schema(columns)):
        return frame.toArrow()


@contextmanager
def _known(frame: DataFrame, schema: StructType) -> Iterator[None]:
    """Meanwhile a frame of Spark Connect that has not asked for its schema has this one."""
    if vars(frame).get(_CACHED, schema) is not None:
        yield
        return
    vars(frame)[_CACHED] = schema
    try:
        yield
    finally:
        vars(frame)[_CACHED] = None


def spark_schema(columns: Iterable[Column]) -> StructType:
    """Names and types alone."""
    bare = tuple(Column(column.name, column.type) for column in columns)
    return StructType.fromJson(delta_schema(bare))
