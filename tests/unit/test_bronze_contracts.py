"""The bronze contracts as a whole, and against the real files where there are some."""

import gzip
import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from bronze import challenge2012, mimiciii, mimiciv
from lakehouse.feeds.headers import header
from lakehouse.feeds.rawfiles import KNOWN, PARSED, Inventory, RawFile, raw_columns, read_options
from lakehouse.registry import registry
from lakehouse.table import Table

TABLES = (*challenge2012.TABLES, *mimiciii.TABLES, *mimiciv.TABLES)
EVENT_TABLES = {
    "bronze.challenge2012_measurements", "bronze.mimiciii_chartevents", "bronze.mimiciii_labevents",
    "bronze.mimiciv_chartevents", "bronze.mimiciv_labevents",
}  # fmt: skip


def test_all_published_tables_are_there() -> None:
    assert (len(challenge2012.TABLES), len(mimiciii.TABLES), len(mimiciv.TABLES)) == (2, 26, 31)
    assert len({table.name for table in TABLES}) == 59


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_contract_is_whole(table: Table) -> None:
    assert table.raw is not None
    assert table.mode == "append"
    assert [column.name for column in table.columns if not column.comment] == []
    assert table.column_names[-5:] == ["_source_file", "_source_row", "_extra", "_ingested_at", "_batch_id"]
    assert table.rules == (PARSED, KNOWN)
    nullable = [column.name for column in table.columns if column.nullable]
    assert set(table.raw.absent_ok) <= set(nullable)
    assert set(table.key).isdisjoint(nullable)
    assert table.raw.looks_like
    assert table.description


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_types_follow_the_names(table: Table) -> None:
    kinds = dict(raw_columns(table))
    text_ids = re.compile(r"(poe|emar|provider)_id$")
    for name, kind in kinds.items():
        if name.endswith("_id") and not text_ids.search(name):
            assert kind == "BIGINT", name
        if re.search(r"(^|_)(icd9?_code|ndc|gsn|drg_code|cpt_cd|hcpcs_cd|loinc_code)$", name):
            assert kind == "STRING", name
        if name in {"intime", "outtime", "charttime", "storetime", "starttime", "endtime", "admittime", "dischtime"}:
            assert kind == "TIMESTAMP", name
        if name in {"valuenum", "amount", "rate", "los", "patientweight"}:
            assert kind == "DOUBLE", name
        if name in {"itemid", "row_id", "cgid"}:
            assert kind == "BIGINT", name


def test_large_tables_are_spared_a_sort_and_identities_are_checked() -> None:
    unchecked = {table.name for table in TABLES if not table.key_check}
    assert unchecked >= EVENT_TABLES
    for table in TABLES:
        assert (table.name in unchecked) == ({"_source_file", "_source_row"} <= set(table.key))
    keys = {table.name.removeprefix("bronze."): table.key for table in TABLES}
    assert keys["mimiciii_patients"] == keys["mimiciv_patients"] == ("subject_id",)
    assert keys["mimiciii_icustays"] == ("icustay_id",)
    assert keys["mimiciv_icustays"] == ("stay_id",)
    assert keys["challenge2012_outcomes"] == ("record_id",)


def _read(table: Table, files: list[RawFile]) -> Iterator[pa.RecordBatch]:
    assert table.raw is not None
    reader = registry().readers[table.raw.reader](read_options(table, files, 2)).reader(None)  # type: ignore[arg-type]
    for partition in reader.partitions():
        yield from reader.read(partition)


def _lines(file: RawFile) -> int:
    """Rows of a published file, counted without the reader: none of them has a line break inside a field."""
    if ".tar" in file.name:
        with tarfile.open(file.path) as tar:
            texts = [tar.extractfile(member) for member in tar if member.isfile()]
            return sum(text.read().count(b"\n") - 1 for text in texts if text)
    content = file.path.read_bytes()
    content = gzip.decompress(content) if file.name.endswith(".gz") else content
    return sum(1 for _ in io.BytesIO(content)) - 1


@pytest.fixture(scope="module")
def real_files(real_raw: Path) -> dict[str, list[RawFile]]:
    return Inventory(real_raw).recognise(TABLES)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_row_of_the_real_files_is_read_and_parses(table: Table, real_files: dict[str, list[RawFile]]) -> None:
    if not (files := real_files.get(table.name)):
        pytest.skip(f"no files of {table.name}")
    rows: dict[str, int] = dict.fromkeys((file.name for file in files), 0)
    keys: set[tuple[object, ...]] = set()
    total = 0
    for batch in _read(table, files):
        total += batch.num_rows
        for counted in pc.value_counts(batch["_source_file"]).to_pylist():
            rows[counted["values"]] += counted["counts"]
        assert batch["_raw"].null_count == batch.num_rows
        assert batch["_extra"].null_count == batch.num_rows
        required = [c.name for c in table.columns if not c.nullable and c.name in batch.schema.names]
        assert [name for name in required if batch[name].null_count] == []
        if table.key_check:
            keys.update(zip(*(batch[name].to_pylist() for name in table.key), strict=True))
    assert rows == {file.name: _lines(file) for file in files}
    assert not table.key_check or len(keys) == total


def test_the_challenge_rows_are_the_published_ones(real_files: dict[str, list[RawFile]]) -> None:
    files = real_files.get("bronze.challenge2012_measurements", [])
    published = {"set-a": 1_757_980, "set-b": 1_762_535}
    expected = {file.name: rows for file in files for part, rows in published.items() if f"{part}.t" in file.name}
    if not expected:
        pytest.skip("no tarballs of the Challenge")
    for file in files:
        if file.name in expected:
            assert sum(b.num_rows for b in _read(challenge2012.MEASUREMENTS, [file])) == expected[file.name]


def test_real_headers_hold_the_contracts_columns_and_no_others(real_files: dict[str, list[RawFile]]) -> None:
    for table in TABLES:
        if table.raw and table.raw.reader == "ehr_csv":
            told = {name for name, _ in table.raw.path_columns}
            wanted = [name for name, _ in raw_columns(table) if name not in told]
            for file in real_files.get(table.name, []):
                assert header(file.path, file.name) == wanted, table.name
