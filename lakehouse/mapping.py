"""`mapInArrow` of a frame whose columns are known, to a schema that is known: the engine is asked for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

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
    if vars(frame).get(_CACHED, gives) is not None:
        return frame.mapInArrow(function, gives)
    vars(frame)[_CACHED] = StructType([StructField(name, NullType()) for name in names])
    try:
        return frame.mapInArrow(function, gives)
    finally:
        vars(frame)[_CACHED] = None  # its types were none


def spark_schema(columns: Iterable[Column]) -> StructType:
    """Names and types alone."""
    bare = tuple(Column(column.name, column.type) for column in columns)
    return StructType.fromJson(delta_schema(bare))
