"""A frame of what a Python data source reads, by a function of its partitions: the same on every engine.

Not by `spark.read.format`: the embedded engine waits for room in a queue of sixteen batches while it holds the
interpreter's lock, and whoever would make room by a function in Python waits for that lock (docs/engines.md).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.types import StructType

from lakehouse.mapping import map_in_arrow


@dataclass(frozen=True)
class _Read:
    """Batches of partitions' numbers in, batches of their rows out: for `mapInArrow`."""

    reader: DataSourceReader
    partitions: tuple[InputPartition, ...]

    def __call__(self, numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in numbers:
            for number in batch.column(0).to_pylist():
                yield from self.reader.read(self.partitions[number])


def read_source(spark: SparkSession, source: type[DataSource], options: Mapping[str, str]) -> DataFrame:
    """All rows that the source gives with these options; partitions of the frame are those of its reader.

    The source's schema is DDL; its reader gives Arrow batches, and needs no schema to be told.
    """
    given = source(dict(options))
    ddl = given.schema()
    assert isinstance(ddl, str)
    reader = given.reader(StructType())
    partitions = tuple(reader.partitions())
    numbers = spark.range(0, len(partitions), 1, len(partitions))
    return map_in_arrow(numbers, ["id"], _Read(reader, partitions), ddl)
