"""Raw files that would fill memory or disk, hide rows, or mean something else: refused in bounded memory, by name."""

import gzip
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from bronze.challenge2012_records import read_records
from lakehouse.errors import RawDataError
from lakehouse.feeds.csv_source import read_csv
from lakehouse.feeds.headers import check_header
from lakehouse.feeds.textfile import MOST_EXPANSION

COLUMNS = (("id", "BIGINT"), ("value", "DOUBLE"))
RECORD = b"Time,Parameter,Value\n00:00,RecordID,7\n"
MEGABYTE = 1 << 20


def rows(path: Path) -> int:
    return sum(batch.num_rows for batch in read_csv(str(path), path.name, COLUMNS))


def records(path: Path) -> list[tuple[object, ...]]:
    batches = read_records([{"path": str(path), "name": path.name}], r"set-([a-z])(?:\.t|/)")
    names = ("record_id", "_source_row", "time", "value", "_raw", "_misread", "_extra")
    return [tuple(row[name] for name in names) for batch in batches for row in batch.to_pylist()]


def tarball(path: Path, members: dict[str, bytes], after: bytes = b"") -> Path:
    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    path.write_bytes(gzip.compress(text.getvalue() + after))
    return path


def test_a_gzip_file_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"id,value\n") + gzip.compress(b"1,2\n" * (MEGABYTE // 4)) * 40)
    with pytest.raises(RawDataError, match=rf"^bomb\.csv\.gz unpacks to more than {MOST_EXPANSION} times its size"):
        rows(path)


def test_a_small_table_of_equal_rows_is_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "equal.csv.gz"
    path.write_bytes(gzip.compress(b"id,value\n" + b"1,2\n" * MEGABYTE))
    assert path.stat().st_size * MOST_EXPANSION < 4 * MEGABYTE
    assert rows(path) == MEGABYTE


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_member_whose_header_has_a_gigabyte_is_refused(tmp_path: Path, kind: bytes) -> None:
    head = tarfile.TarInfo("././@Header")
    head.type, head.size = kind, 1 << 30
    (tmp_path / "set-a.tar").write_bytes(head.tobuf(tarfile.GNU_FORMAT) + bytes(10 * 512))
    with pytest.raises(RawDataError, match=r"^set-a\.tar is not a whole tarball \(the header of a member has 1,073"):
        records(tmp_path / "set-a.tar")


def test_a_record_of_a_gigabyte_is_refused(tmp_path: Path) -> None:
    head = tarfile.TarInfo("set-a/7.txt")
    head.size = 1 << 30
    (tmp_path / "set-a.tar").write_bytes(head.tobuf(tarfile.GNU_FORMAT) + bytes(3 * MEGABYTE))
    with pytest.raises(RawDataError, match=r"^set-a/7\.txt in set-a\.tar has more than 1 MiB"):
        records(tmp_path / "set-a.tar")


def test_bombs_are_refused_in_little_memory(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"id,value\n") + gzip.compress(b"1,2\n" * (MEGABYTE // 4)) * 300)
    head = tarfile.TarInfo("set-a/7.txt")
    head.size = 300 * MEGABYTE
    content = gzip.compress(head.tobuf(tarfile.GNU_FORMAT)) + gzip.compress(bytes(MEGABYTE)) * 300
    (tmp_path / "set-a.tar.gz").write_bytes(content)
    program = f"""
import resource
from tests.unit import test_hostile_files as hostile
from pathlib import Path
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for read, name in ((hostile.rows, "t.csv.gz"), (hostile.records, "set-a.tar.gz")):
    try:
        read(Path({str(tmp_path)!r}, name))
    except hostile.RawDataError:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    grown = [int(kilobytes) / 1024 for kilobytes in done.stdout.split()]
    assert len(grown) == 2, done.stderr
    assert max(grown) < 150, "of two bombs of 300 MiB"


def test_what_follows_the_end_of_a_tarball_is_not_passed_over(tmp_path: Path) -> None:
    other = gzip.decompress(tarball(tmp_path / "other.tar.gz", {"set-a/8.txt": RECORD}).read_bytes())
    path = tarball(tmp_path / "set-a.tar.gz", {"set-a/7.txt": RECORD}, after=other)
    with pytest.raises(RawDataError, match=r"^set-a\.tar\.gz is not a whole tarball \(something follows its end\)"):
        records(path)


def test_the_check_sum_of_a_packed_tarball_is_verified(tmp_path: Path) -> None:
    path = tarball(tmp_path / "set-a.tar.gz", {"set-a/7.txt": RECORD})
    content = path.read_bytes()
    path.write_bytes(content[:-8] + bytes([content[-8] ^ 1]) + content[-7:])
    with pytest.raises(RawDataError, match=r"^set-a\.tar\.gz is a truncated or damaged gzip file"):
        records(path)


def test_two_names_of_one_record_are_one_record_twice(tmp_path: Path) -> None:
    path = tarball(tmp_path / "set-a.tar.gz", {"set-a/7.txt": RECORD, "set-a/007.txt": RECORD})
    with pytest.raises(RawDataError, match=r"^set-a\.tar\.gz holds 007\.txt twice"):
        records(path)


def test_a_record_id_that_no_column_can_hold_is_refused(tmp_path: Path) -> None:
    path = tarball(tmp_path / "set-a.tar.gz", {f"set-a/{'9' * 19}.txt": RECORD})
    with pytest.raises(RawDataError, match=r"9\.txt in set-a\.tar\.gz is called after a record id of more than 18"):
        records(path)


def test_a_member_s_name_cannot_break_the_sentence_that_names_it(tmp_path: Path) -> None:
    path = tarball(tmp_path / "set-a.tar.gz", {"a\nerror\x1b[31m/7.txt": b"x"})
    with pytest.raises(RawDataError, match=r"^a\?error\?\[31m/7\.txt in set-a\.tar\.gz does not begin with the header"):
        records(path)


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n"])
def test_a_line_end_of_any_kind_ends_a_line_of_its_own_record(tmp_path: Path, end: bytes) -> None:
    text = end.join([b"Time,Parameter,Value", b"00:00,RecordID,7", b"00:10,HR,80", b""])
    path = tarball(tmp_path / "set-a.tar.gz", {"set-a/7.txt": text, "set-a/8.txt": RECORD.replace(b"7", b"8")})
    assert [row[:4] for row in records(path)] == [(7, 1, "00:00", 7.0), (7, 2, "00:10", 80.0), (8, 1, "00:00", 8.0)]


def test_a_record_may_have_further_columns_in_any_order(tmp_path: Path) -> None:
    wider = b"Value,Unit,Time,Parameter\n7,,00:00,RecordID\nhigh,bpm,00:10,HR\n1,2\n"
    path = tarball(tmp_path / "set-a.tar.gz", {"set-a/7.txt": wider, "set-a/8.txt": RECORD.replace(b"7", b"8")})
    assert records(path) == [
        (7, 1, "00:00", 7.0, None, None, None),
        (7, 2, "00:10", None, "high,bpm,00:10,HR", "value_is_double", '{"unit": "bpm"}'),
        (7, 3, None, None, "1,2", None, None),
        (8, 1, "00:00", 8.0, None, None, None),
    ]


def test_a_record_without_a_column_is_refused_by_the_column_s_name(tmp_path: Path) -> None:
    path = tarball(tmp_path / "set-a.tar.gz", {"set-a/7.txt": b"Time,Value\n00:00,7\n"})
    with pytest.raises(RawDataError, match=r"^set-a/7\.txt in set-a\.tar\.gz does not begin .*: it lacks parameter\.$"):
        records(path)


def test_a_row_says_which_of_its_cells_did_not_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,value\n1,2\nx,high\n3,high\n4\n")
    (read, unread) = read_csv(str(path), path.name, COLUMNS)
    assert read.column("_misread").to_pylist() == [None, "id_is_bigint value_is_double", "value_is_double"]
    assert unread.column("_misread").to_pylist() == [None]
    assert unread.column("_raw").to_pylist() == ["4"]


def test_a_cell_of_a_column_that_the_file_s_name_tells_is_kept_too(tmp_path: Path) -> None:
    path = tmp_path / "set-b.csv"
    path.write_text("part,id,value\nz,1,2\n")
    (read,) = read_csv(str(path), path.name, (("part", "STRING"), *COLUMNS), {"part": r"set-(.)"})
    assert (read.column("part").to_pylist(), read.column("_extra").to_pylist()) == (["b"], ['{"part": "z"}'])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"id;value\n1;2\n", r"needs: its cells are separated by ; and not by commas\.$"),
        (b"id\tvalue\n1\t2\n", r"needs: its cells are separated by tabs and not by commas\.$"),
        ("id,value\n1,2\n".encode("utf-16"), r"it holds NUL bytes and is not UTF-8 text\.$"),
        (b"id\rvalue\n", r"has a carriage return within its header"),
        (b"id,value" + b",x" * 20_000 + b"\n", r"names 20,002 columns in its header, and at most 10,000 are read\.$"),
        (b"id\0,value\n1,2\n", r"lacks the column id, which bronze\.t needs: it holds NUL bytes"),
    ],
    ids=["semicolons", "tabs", "UTF-16", "CR", "many", "NUL"],
)
def test_a_header_of_another_kind_is_refused_with_what_it_seems_to_be(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(RawDataError, match=rf"^t\.csv .*{reason}"):
        check_header(path, path.name, "bronze.t", COLUMNS)
