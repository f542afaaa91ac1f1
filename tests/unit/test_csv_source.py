"""The CSV reader: exact cells, lineage, and what becomes of rows and files that are not as published."""

import csv
import gzip
import io
import json
import os
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.errors import RawDataError
from lakehouse.feeds import csv_source
from lakehouse.feeds.cells import parse
from lakehouse.feeds.csv_source import CsvReader, EhrCsv, balanced, raw_data_error, read_csv
from lakehouse.feeds.headers import check_header
from lakehouse.feeds.reading import read_source

COLUMNS = (
    ("item", "BIGINT"), ("seen", "TIMESTAMP"), ("day", "DATE"), ("amount", "DOUBLE"), ("flag", "INT"),
    ("note", "STRING"),
)  # fmt: skip
HEADER = "item,seen,day,amount,flag,note\n"


def rows(path: Path, columns: Any = COLUMNS, **options: Any) -> list[dict[str, Any]]:
    read = [row for batch in read_csv(str(path), path.name, columns, **options) for row in batch.to_pylist()]
    return sorted(read, key=lambda row: row["_source_row"])


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if name.lower().endswith(".gz") else content)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "T.CSV.GZ"])
def test_typed_cells_with_lineage(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, HEADER + "7,2101-02-03 04:05:06,2101-02-03,1.5,0,ok\n,,,,,\n", name)
    assert rows(path) == [
        {
            "item": 7, "seen": datetime(2101, 2, 3, 4, 5, 6), "day": date(2101, 2, 3), "amount": 1.5, "flag": 0,
            "note": "ok", "_source_file": name, "_source_row": 1, "_raw": None, "_misread": None, "_extra": None,
        },
        {
            "item": None, "seen": None, "day": None, "amount": None, "flag": None, "note": None,
            "_source_file": name, "_source_row": 2, "_raw": None, "_misread": None, "_extra": None,
        },
    ]  # fmt: skip


def test_columns_are_found_by_name_whatever_case_order_mark_or_line_end(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbfNOTE,In-Hospital_Death,RecordID\r\nx,1,5\r\n")
    columns = (("record_id", "BIGINT"), ("in_hospital_death", "INT"), ("note", "STRING"))
    (row,) = rows(path, columns)
    assert (row["record_id"], row["in_hospital_death"], row["note"]) == (5, 1, "x")


def test_a_cell_of_another_type_is_null_and_its_row_keeps_its_text(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + '1,,,2.5,,good\n2,2101-13-01,,high,1,"a, b"\n3,,,4,,good\n')
    good, bad, after = rows(path)
    assert (good["_raw"], after["_raw"], after["amount"]) == (None, None, 4.0)
    assert bad["_raw"] == '2,2101-13-01,,high,1,"a, b"'
    assert (bad["item"], bad["seen"], bad["amount"], bad["flag"], bad["note"]) == (2, None, None, 1, "a, b")


def test_a_row_with_another_number_of_fields_keeps_its_text_and_place(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b\n1,2\n3\n4,5,6\n7,8\n\n9\n")
    read = rows(path, (("a", "BIGINT"), ("b", "BIGINT")))
    assert [(r["_source_row"], r["a"], r["b"], r["_raw"]) for r in read] == [
        (1, 1, 2, None), (2, None, None, "3"), (3, None, None, "4,5,6"), (4, 7, 8, None), (5, None, None, "9"),
    ]  # fmt: skip


def test_quotes_newlines_and_an_empty_quoted_text_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path, 'id,text\n1,"first line\nsecond ""quoted"", line\n"\n2,""\n3,\n')
    assert [row["text"] for row in rows(path, (("id", "BIGINT"), ("text", "STRING")))] == [
        'first line\nsecond "quoted", line\n', "", None,
    ]  # fmt: skip


def test_bytes_that_are_no_utf8_are_replaced_and_reading_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path, b"id,unit\n1,\xb0F\n2,\xc2\xb5g\n\xb0\n4,mL\n")
    read = rows(path, (("id", "BIGINT"), ("unit", "STRING")))
    assert [(r["id"], r["unit"], r["_raw"]) for r in read] == [
        (1, "\ufffdF", None), (2, "\u00b5g", None), (None, None, "\ufffd"), (4, "mL", None),
    ]  # fmt: skip


def test_unknown_columns_are_kept_as_json(tmp_path: Path) -> None:
    path = write(tmp_path, "id,New Code,other\n1,x,\n2,,\n")
    first, second = rows(path, (("id", "BIGINT"),))
    assert json.loads(first["_extra"]) == {"new_code": "x"}
    assert second["_extra"] is None


def test_an_absent_column_is_null_and_the_header_check_names_it(tmp_path: Path) -> None:
    path = write(tmp_path, "id\n1\n")
    columns = (("id", "BIGINT"), ("caregiver", "BIGINT"), ("value", "DOUBLE"))
    (row,) = rows(path, columns)
    assert (row["caregiver"], row["value"], row["_raw"]) == (None, None, None)
    check_header(path, "x/t.csv", "bronze.t", columns, absent_ok=("caregiver", "value"))
    with pytest.raises(RawDataError, match=r"^x/t\.csv lacks the columns caregiver, value, which bronze\.t needs\.$"):
        check_header(path, "x/t.csv", "bronze.t", columns)
    with pytest.raises(RawDataError, match=r"^x/t\.csv lacks the column value, which bronze\.t needs"):
        check_header(path, "x/t.csv", "bronze.t", columns, absent_ok=("caregiver",))


def test_a_column_that_only_the_name_tells(tmp_path: Path) -> None:
    path = write(tmp_path, "id\n1\n2,3\n", "Outcomes-B.txt")
    columns = (("record_set", "STRING"), ("id", "BIGINT"))
    assert [r["record_set"] for r in rows(path, columns, path_columns={"record_set": r"outcomes-(.)\."})] == ["b", "b"]
    with pytest.raises(RawDataError, match=r"Outcomes-B\.txt does not tell its record_set"):
        rows(path, columns, path_columns={"record_set": r"set-(.)\."})


@pytest.mark.parametrize("content", [HEADER, HEADER.strip()])
def test_a_file_with_a_header_alone_has_no_rows_unless_some_must_be_there(tmp_path: Path, content: str) -> None:
    path = write(tmp_path, content)
    assert rows(path) == []
    with pytest.raises(RawDataError, match=r"^t\.csv holds 0 rows, and at least 1 must be there\.$"):
        rows(path, min_rows=1)


def test_too_few_rows_count_those_that_do_not_parse(tmp_path: Path) -> None:
    path = write(tmp_path, "id\n1\n2,x\n")
    assert len(rows(path, (("id", "BIGINT"),), min_rows=2)) == 2
    with pytest.raises(RawDataError, match="holds 2 rows, and at least 3"):
        rows(path, (("id", "BIGINT"),), min_rows=3)


def _gzipped() -> bytes:
    return gzip.compress(b"id\n" + b"".join(b"%d\n" % (i * i) for i in range(20_000)))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("cut.csv.gz", _gzipped()[:-300], r"cut\.csv\.gz is a truncated or damaged gzip file"),
        ("short.csv.gz", _gzipped()[:-4], r"short\.csv\.gz is a truncated or damaged gzip file"),
        ("plain.csv.gz", b"id\n1\n", r"plain\.csv\.gz is not a gzip file"),
        ("empty.csv.gz", b"", r"empty\.csv\.gz has no header"),
        ("empty.csv", b"", r"empty\.csv has no header"),
        ("blank.csv", b"\n1\n", r"blank\.csv has no header"),
        ("twice.csv", b"id,x,ID\n1,2,3\n", r"twice\.csv names the column id twice"),
        ("endless.csv", b"x" * 200_000, r"endless\.csv cannot be read"),
        ("quote.csv", b'id\n1\n"2\n3\n', r"quote\.csv ends inside a quoted field"),
        ("quote_cut.csv", b'id\n1\n"2', r"quote_cut\.csv ends inside a quoted field"),
    ],
)
def test_a_broken_file_is_named_with_its_reason(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RawDataError, match=f"^{reason}"):
        rows(path, (("id", "STRING"),))


def test_a_gzip_file_of_several_members_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"id\n1\n") + gzip.compress(b"2\n"))
    assert [row["id"] for row in rows(path, (("id", "BIGINT"),))] == [1, 2]


def test_the_error_is_found_in_what_an_engine_says() -> None:
    said = "Execution error: lakehouse.errors.RawDataError: x/a.csv is cut.\nTraceback:\n  File ..."
    assert str(raw_data_error(said)) == "x/a.csv is cut."
    assert raw_data_error("Execution error: out of memory") is None


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("BIGINT", " 12 ", 12), ("BIGINT", "+12", 12), ("BIGINT", "12.0", 12), ("BIGINT", "-3", -3),
        ("BIGINT", " ", None),
        ("DOUBLE", " 1.5", 1.5), ("DOUBLE", "1.604e+04", 16040.0), ("DOUBLE", ".5", 0.5), ("DOUBLE", "+2", 2.0),
        ("DATE", "2101-02-03 00:00:00", date(2101, 2, 3)),
        ("TIMESTAMP", "2101-02-03", datetime(2101, 2, 3)),
        ("TIMESTAMP", " 2101-02-03 04:05:06.25", datetime(2101, 2, 3, 4, 5, 6, 250_000)),
        ("STRING", " x ", " x "),
    ],
)  # fmt: skip
def test_cells_that_read(kind: str, cell: str, value: Any) -> None:
    parsed, unparsed = parse(pa.array([cell, None]), kind)
    assert (parsed.to_pylist(), unparsed) == ([value, None], None)


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("BIGINT", "12.5"), ("BIGINT", "9223372036854775808"), ("INT", "2147483648"), ("BIGINT", "x"),
        ("DOUBLE", "nan"), ("DOUBLE", "inf"), ("DOUBLE", "1,5"), ("DOUBLE", "<5"),
        ("DATE", "2101-02-03 10:00:00"), ("DATE", "2101-02-30"),
        ("TIMESTAMP", "2101-02-30 00:00:00"), ("TIMESTAMP", "03/02/2101"), ("TIMESTAMP", "2101-02-03 00:00:00Z"),
    ],
)  # fmt: skip
def test_cells_that_do_not_read(kind: str, cell: str) -> None:
    parsed, unparsed = parse(pa.array([None, cell, None]), kind)
    assert parsed.to_pylist() == [None, None, None]
    assert unparsed is not None
    assert unparsed.to_pylist() == [False, True, False]


ANY_CELL = st.text("0123456789-+.eExXaT: /inf", max_size=8) | st.sampled_from(
    [
        "2101-02-03T04:05",
        "2101-02-03 04:05:06.5",
        "2101-02-30",
        "0x1F",
        "1e5",
        ".5",
        "5.",
        "++5",
        "1E-3",
        "1_000",
        "9" * 25,
    ]
)


@given(st.sampled_from(["BIGINT", "INT", "DOUBLE", "DATE", "TIMESTAMP"]), st.lists(ANY_CELL, min_size=1, max_size=20))
def test_a_cell_reads_among_cells_that_do_not_as_it_reads_alone(kind: str, texts: list[str]) -> None:
    together, _ = parse(pa.array([*texts, "?"]), kind)
    assert together[:-1].to_pylist() == [parse(pa.array([text]), kind)[0][0].as_py() for text in texts]


TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=12)
ROW = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.datetimes(datetime(1800, 1, 1), datetime(2300, 1, 1)),
    st.none() | st.dates(date(1800, 1, 1), date(2300, 1, 1)),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.integers(-(2**31), 2**31 - 1),
    st.none() | TEXT.filter(bool),
)


@settings(deadline=None)
@given(st.lists(ROW, max_size=30))
def test_rows_written_as_csv_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[Any, ...]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_MINIMAL)
        writer.writerow([name for name, _ in COLUMNS])
        writer.writerows(["" if cell is None else repr(cell) if isinstance(cell, float) else cell for cell in row]
                         for row in written)  # fmt: skip
    read = rows(path)
    assert [tuple(row[name] for name, _ in COLUMNS) for row in read] == list(written)
    assert [row["_source_row"] for row in read] == list(range(1, len(written) + 1))
    assert {row["_raw"] for row in read} <= {None}


FIELDS = st.lists(st.sampled_from(["1", "22", "x", 'a "b"', "line\nbreak", "\u00b0F"]), min_size=1, max_size=3)


@settings(deadline=None)
@given(st.lists(FIELDS, max_size=60))
def test_no_row_is_lost_or_misnumbered_in_small_blocks(
    tmp_path_factory: pytest.TempPathFactory, written: list[list[str]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([["a", "b"], *written])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_source, "READ_BYTES", 240)
        read = rows(path, (("a", "STRING"), ("b", "STRING")))
    assert [row["_source_row"] for row in read] == list(range(1, len(written) + 1))
    for fields, row in zip(written, read, strict=True):
        if len(fields) == 2:
            assert ([row["a"], row["b"]], row["_raw"]) == (fields, None)
        else:
            assert (row["a"], row["b"]) == (None, None)
            assert next(csv.reader(io.StringIO(row["_raw"]))) == fields


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), max_size=12), st.integers(1, 5))
def test_files_are_grouped_by_size_into_at_most_so_many_partitions(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], partitions: int
) -> None:
    folder = tmp_path_factory.mktemp("files")
    for i, size in enumerate(sizes):
        (folder / str(i)).write_bytes(b"x" * size)
    files = [{"path": str(folder / str(i))} for i in range(len(sizes))]
    groups = balanced(files, partitions)
    assert sorted(file["path"] for group in groups for file in group) == sorted(file["path"] for file in files)
    assert 1 <= len(groups) <= partitions
    loads = [sum(os.path.getsize(file["path"]) for file in group) for group in groups]  # noqa: PTH202
    assert max(loads) - min(loads) <= max(sizes, default=0)


def test_a_session_reads_it(spark: Any, tmp_path: Path) -> None:
    files = [
        write(tmp_path, HEADER + f"{i},2101-02-03 04:05:06,,1.5,0,n\n{i},,,bad,,\n", f"{i}.csv") for i in (1, 2, 3)
    ]
    options = {
        "files": json.dumps([{"path": str(file), "name": file.name} for file in files]),
        "columns": json.dumps(COLUMNS),
        "partitions": "2",
    }
    frame = read_source(spark, EhrCsv, options)
    read = (
        frame.select("item", "amount", "_source_file", "_source_row", "_raw").orderBy("item", "_source_row").collect()
    )
    assert [tuple(row) for row in read] == [
        row for i in (1, 2, 3) for row in ((i, 1.5, f"{i}.csv", 1, None), (i, None, f"{i}.csv", 2, f"{i},,,bad,,"))
    ]
    assert len(CsvReader(options).partitions()) == 2
    assert frame.selectExpr("CAST(CAST(seen AS TIMESTAMP) AS STRING) AS t").dropna().distinct().collect()[0].t == (
        "2101-02-03 04:05:06"
    )
