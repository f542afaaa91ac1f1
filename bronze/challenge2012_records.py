"""Python Data Source `challenge2012_records`: many small records parsed at once, from folders or inside tarballs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.types import StructType

from bronze.challenge2012_files import LINE, Record, records_of
from lakehouse.feeds.cells import is_of_type, own, parse
from lakehouse.feeds.csv_source import balanced, batch, broken_rules, ddl, row_numbers, sparse, unknown_cells

COLUMNS = (
    ("record_set", "STRING"),
    ("record_id", "BIGINT"),
    ("time", "STRING"),
    ("parameter", "STRING"),
    ("value", "DOUBLE"),
)
RECORDS_AT_ONCE = 200


def read_records(
    files: Sequence[Mapping[str, str]], record_set: str, at_once: int = RECORDS_AT_ONCE
) -> Iterator[pa.RecordBatch]:
    """Batches of COLUMNS and the lineage fields, one row a line; `record_set` is the regular expression for the path.

    `_source_row` is the line within the record, without its header. A line with another number of fields, a value that
    is not a number, and a RecordID line that contradicts the file's name keep their text in `_raw`; cells of further
    columns are kept in `_extra`.
    RawDataError, as late as at the end: a file is cut short or not of its format.
    """
    records = (record for file in files for record in records_of(file["path"], file["name"], record_set))
    for columns, alike in groupby(records, key=lambda record: record.columns):
        while some := list(islice(alike, at_once)):
            yield _parsed(some, columns)


def _parsed(records: Sequence[Record], columns: Sequence[str]) -> pa.RecordBatch:
    wrong: list[pa_csv.InvalidRow] = []

    def set_aside(row: pa_csv.InvalidRow) -> str:
        wrong.append(row)
        return "skip"

    text = b"".join(record.body for record in records)
    if not text:
        none = {column: pa.nulls(0, pa.string()) for column in columns}
        return _batch_of(records, np.empty(0, np.int64), none, {})
    lines = pa_csv.read_csv(
        pa.BufferReader(text),
        pa_csv.ReadOptions(use_threads=False, column_names=list(columns)),
        # Without quotes and with empty lines kept, a line is a row, so that a row's number tells its record.
        pa_csv.ParseOptions(quote_char=False, ignore_empty_lines=False, invalid_row_handler=set_aside),
        pa_csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()), null_values=[""], strings_can_be_null=True
        ),
    ).combine_chunks()
    numbers = row_numbers(1, lines.num_rows, [row.number for row in wrong])
    cells = [column.combine_chunks() for column in lines.columns]
    odd = {row.number: row.text for row in wrong if row.text.strip()}
    if len(blank := np.flatnonzero(_all_null(cells))):
        # An empty line holds nothing and is no row; a line of commas alone is one that says nothing.
        source = text.split(b"\n")
        odd |= {int(n): line for n in numbers[blank] if (line := source[n - 1].decode().strip())}
        kept = np.delete(np.arange(len(numbers)), blank)
        numbers, cells = numbers[kept], [column.take(pa.array(kept)) for column in cells]
    if odd:
        numbers = np.concatenate([numbers, np.fromiter(odd, np.int64)])
        cells = [pa.concat_arrays([column, pa.nulls(len(odd), pa.string())]) for column in cells]
    return _batch_of(records, numbers, dict(zip(columns, cells, strict=True)), odd)


def _all_null(cells: Sequence[pa.Array]) -> np.ndarray:
    return np.logical_and.reduce([column.is_null().to_numpy(zero_copy_only=False) for column in cells])


def _batch_of(
    records: Sequence[Record], numbers: np.ndarray, cells: Mapping[str, pa.Array], odd: Mapping[int, str]
) -> pa.RecordBatch:
    """`numbers` are the rows' lines in the records' joined text, from 1; `odd` the texts of lines that are no row."""
    counts = np.fromiter((record.body.count(b"\n") for record in records), np.int64, len(records))
    ends = np.cumsum(counts)
    which = np.searchsorted(ends, numbers)
    ids = np.fromiter((record.record_id for record in records), np.int64, len(records))[which]
    time, parameter = cells["time"], cells["parameter"]
    value, unparsed = parse(cells["value"], "DOUBLE")
    bad = np.zeros(len(numbers), dtype=bool) if unparsed is None else unparsed.to_numpy(zero_copy_only=False)
    misread = {is_of_type("value", "DOUBLE"): np.flatnonzero(bad)}
    named = pc.and_(pc.equal(parameter, "RecordID"), pc.not_equal(value, ids.astype(float)))
    bad = bad | pc.fill_null(named, False).to_numpy(zero_copy_only=False)
    raw = {int(i): ",".join(column[int(i)].as_py() or "" for column in cells.values()) for i in np.flatnonzero(bad)}
    raw |= {len(numbers) - len(odd) + i: text for i, text in enumerate(odd.values())}
    rows = numbers - (ends - counts)[which]
    further = {name: column for name, column in cells.items() if name not in LINE}
    return batch(
        COLUMNS,
        [
            _of_record([record.record_set for record in records], which),
            own(ids),
            time,
            parameter,
            value,
            _of_record([record.file for record in records], which),
            own(rows),
            sparse(len(numbers), raw),
            sparse(len(numbers), broken_rules(misread)),
            unknown_cells(further, len(numbers)),
        ],
    )


def _of_record(texts: list[str], which: np.ndarray) -> pa.Array:
    return pa.array(texts, pa.string()).take(pa.array(which))


class RecordsReader(DataSourceReader):
    """Reads groups of tarballs or record files one after another."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self.files: list[dict[str, str]] = json.loads(options["files"])
        self.record_set: str = json.loads(options["path_columns"])["record_set"]
        self.count = int(options.get("partitions", "1"))

    def partitions(self) -> list[InputPartition]:
        return [InputPartition(group) for group in balanced(self.files, self.count)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        yield from read_records(partition.value, self.record_set)


class ChallengeRecords(DataSource):
    """Records of one set, with the options that `lakehouse.feeds.rawfiles.read_options` gives."""

    @classmethod
    def name(cls) -> str:
        return "challenge2012_records"

    def schema(self) -> str:
        return ddl(COLUMNS)

    def reader(self, schema: StructType) -> RecordsReader:  # noqa: ARG002 - the interface of a data source
        return RecordsReader(self.options)


READERS = (ChallengeRecords,)
"""Data sources that tables may name."""
