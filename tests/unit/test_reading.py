"""Frames of data sources: whoever reads faster than its rows are taken waits, and nobody waits for good."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyspark.errors
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.types import StructType

from lakehouse.errors import RawDataError
from lakehouse.feeds.csv_source import raw_data_error
from lakehouse.feeds.reading import read_source
from tests.conftest import ENGINE

ROOT = Path(__file__).parents[2]
BATCHES = 100


class Ready(DataSourceReader):
    """Has its batches ready: no engine takes them as fast as they come."""

    def __init__(self, parts: int) -> None:
        self.parts = parts

    def partitions(self) -> list[InputPartition]:
        return [InputPartition(part) for part in range(self.parts)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        rows = pa.record_batch({"part": pa.repeat(partition.value, 10_000)})
        for _ in range(BATCHES):
            yield rows


class Source(DataSource):
    """Batches of as many parts as the option says."""

    def schema(self) -> str:
        return "part BIGINT"

    def reader(self, schema: StructType) -> Ready:  # noqa: ARG002
        return Ready(int(self.options["parts"]))


SLOWER = """
import time
import pyarrow as pa
from lakehouse.feeds.reading import read_source
from lakehouse.session import open_session
from lakehouse.settings import Settings
from tests.unit.test_reading import Source

def take(batches):
    rows = 0
    for batch in batches:
        time.sleep(0.002)
        rows += len(batch)
    yield pa.record_batch({"rows": [rows]})

frame = read_source(open_session(Settings(engine="sail")), Source, {"parts": "4"})
print(sorted(row.rows for row in frame.mapInArrow(take, "rows BIGINT").collect()))
"""


def test_a_reader_that_is_faster_than_who_takes_its_rows_waits_for_it() -> None:
    """More parts than cores, too. In a process of its own: one that waits for good can be ended by another alone."""
    done = subprocess.run(
        [sys.executable, "-c", SLOWER], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([BATCHES * 10_000] * 4)


class CutShort(Ready):
    """Says so once it has read what there is."""

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        yield from super().read(partition)
        raise RawDataError("b.csv was cut short.")


class Damaged(Source):
    """Two files that turn out to be cut short."""

    def reader(self, schema: StructType) -> Ready:  # noqa: ARG002
        return CutShort(2)


@pytest.mark.skipif(ENGINE != "sail", reason="a worker elsewhere knows no class of a test")
def test_what_a_reader_says_of_a_file_is_heard(spark: SparkSession) -> None:
    frame = read_source(spark, Damaged, {})
    assert frame.columns == ["part"]
    with pytest.raises(pyspark.errors.PySparkException) as caught:
        frame.collect()
    assert str(raw_data_error(str(caught.value))) == "b.csv was cut short."
