"""The Challenge reader: every line of every record, from tarballs and folders alike."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bronze.challenge2012 import MEASUREMENTS
from bronze.challenge2012_files import HEADER
from bronze.challenge2012_records import ChallengeRecords, read_records
from lakehouse.errors import RawDataError
from lakehouse.feeds.rawfiles import find, read_options
from lakehouse.feeds.reading import read_source

REGEX = dict(MEASUREMENTS.raw.path_columns)["record_set"] if MEASUREMENTS.raw else ""


def tarball(path: Path, members: dict[str, str | bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def rows(folder: Path, at_once: int = 200) -> list[dict[str, Any]]:
    files = [{"path": str(file.path), "name": file.name} for file in find(folder, MEASUREMENTS)]
    read = [row for batch in read_records(files, REGEX, at_once) for row in batch.to_pylist()]
    return sorted(read, key=lambda row: (row["record_set"], row["record_id"], row["_source_row"]))


def short(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("record_id", "_source_row", "time", "parameter", "value", "_raw"))


def record(*lines: str) -> str:
    return "\n".join((HEADER, *lines, ""))


@pytest.mark.parametrize("at_once", [1, 2, 200])
@pytest.mark.parametrize("name", ["set-a.tar.gz", "set-a.tgz", "set-a.tar"])
def test_every_line_of_a_tarball_with_lineage(tmp_path: Path, name: str, at_once: int) -> None:
    tarball(
        tmp_path / name,
        {
            "set-a/11.txt": record("00:00,RecordID,11", "00:00,Age,54", "01:10,HR,7.3e1"),
            "set-a/12.txt": record(),
            "set-a/13.txt": record("00:00,RecordID,13", "47:59,,-1").replace("\n", "\r\n").rstrip(),
        },
    )
    read = rows(tmp_path, at_once)
    assert [short(row) for row in read] == [
        (11, 1, "00:00", "RecordID", 11.0, None),
        (11, 2, "00:00", "Age", 54.0, None),
        (11, 3, "01:10", "HR", 73.0, None),
        (13, 1, "00:00", "RecordID", 13.0, None),
        (13, 2, "47:59", None, -1.0, None),
    ]
    assert {(row["record_set"], row["_source_file"], row["_extra"]) for row in read} == {("a", name, None)}


def test_a_folder_gives_the_rows_of_its_tarball_with_each_file_as_source(tmp_path: Path) -> None:
    records = {f"{i}.txt": record(f"00:00,RecordID,{i}", f"00:0{i},HR,{60 + i}") for i in range(1, 6)}
    (tmp_path / "folder/set-b").mkdir(parents=True)
    (tmp_path / "tar").mkdir()
    for name, content in records.items():
        (tmp_path / "folder/set-b" / name).write_text(content)
    tarball(tmp_path / "tar/set-b.tar.gz", {f"set-b/{name}": content for name, content in records.items()})
    from_folder, from_tar = rows(tmp_path / "folder"), rows(tmp_path / "tar")
    assert [short(row) for row in from_folder] == [short(row) for row in from_tar]
    assert len(from_tar) == 10
    assert [row["_source_file"] for row in from_folder[:3]] == ["set-b/1.txt", "set-b/1.txt", "set-b/2.txt"]


def test_lines_that_do_not_parse_keep_their_text_and_place(tmp_path: Path) -> None:
    lines = [
        "00:00,RecordID,99",
        "00:10,HR",
        "00:11,HR,high",
        "",
        "00:12,HR,80,bpm",
        "00:13,HR,81",
        '00:14,"HR,82',
        ",,",
        " ",
    ]
    tarball(tmp_path / "set-a.tar.gz", {"1.txt": record("00:00,RecordID,1"), "11.txt": record(*lines)})
    assert [short(row) for row in rows(tmp_path)] == [
        (1, 1, "00:00", "RecordID", 1.0, None),
        (11, 1, "00:00", "RecordID", 99.0, "00:00,RecordID,99"),
        (11, 2, None, None, None, "00:10,HR"),
        (11, 3, "00:11", "HR", None, "00:11,HR,high"),
        (11, 5, None, None, None, "00:12,HR,80,bpm"),
        (11, 6, "00:13", "HR", 81.0, None),
        (11, 7, "00:14", '"HR', 82.0, None),
        (11, 8, None, None, None, ",,"),
    ]


def test_paths_in_a_tarball_do_no_harm_and_other_members_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    path = tarball(
        tmp_path / "raw/set-a.tar",
        {
            "../../11.txt": record("00:00,RecordID,11"),
            "set-a/._12.txt": b"\x00",
            "README.txt": "x",
            "/13.txt": record(),
        },
    )
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("14.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    before = sorted(tmp_path.rglob("*"))
    assert [row["record_id"] for row in rows(tmp_path / "raw")] == [11]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (
            {"set-a/11.txt": "Time;Parameter;Value\n"},
            r"^set-a/11\.txt in set-a\.tar\.gz does not begin with the header",
        ),
        ({"set-a/11.txt": ""}, r"^set-a/11\.txt in set-a\.tar\.gz has no header: its first line is empty"),
        ({"x/11.txt": record(), "y/11.txt": record()}, r"^set-a\.tar\.gz holds 11\.txt twice"),
        ({"notes.txt": "x"}, r"^set-a\.tar\.gz holds no record"),
    ],
)
def test_a_tarball_of_another_content_is_refused(tmp_path: Path, members: dict[str, str | bytes], reason: str) -> None:
    tarball(tmp_path / "set-a.tar.gz", members)
    with pytest.raises(RawDataError, match=reason):
        rows(tmp_path)


def test_a_broken_tarball_is_named_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "set-a.tar.gz"
    numbers = [str(i * i % 977) for i in range(5_000)]
    whole = tarball(path, {f"{i}.txt": record(*(f"00:00,HR,{n}" for n in numbers)) for i in range(5)}).read_bytes()
    for content, reason in (
        (whole[:-2000], r"^set-a\.tar\.gz is a truncated or damaged gzip file"),
        (b"no gzip", r"^set-a\.tar\.gz is not a gzip file"),
        (gzip.compress(b"no tarball" * 100), r"^set-a\.tar\.gz is not a whole tarball"),
        (gzip.compress(gzip.decompress(whole)[:70_000]), r"^set-a\.tar\.gz is not a whole tarball"),
    ):
        path.write_bytes(content)
        with pytest.raises(RawDataError, match=reason):
            rows(tmp_path)


LINE = st.tuples(
    st.integers(0, 47), st.integers(0, 59), st.sampled_from(["HR", "Urine", ""]), st.floats(-1, 1e6, allow_nan=False)
)


@settings(deadline=None)
@given(st.dictionaries(st.integers(1, 10**6), st.lists(LINE, max_size=5), min_size=1, max_size=6), st.integers(1, 4))
def test_records_written_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, records: dict[int, list[tuple[Any, ...]]], at_once: int
) -> None:
    folder = tmp_path_factory.mktemp("challenge")
    members = {
        f"{i}.txt": record(*(f"{h:02}:{m:02},{p},{v!r}" for h, m, p, v in lines)) for i, lines in records.items()
    }
    tarball(folder / "set-c.tar.gz", dict(members))
    assert [short(row) for row in rows(folder, at_once)] == [
        (i, n, f"{h:02}:{m:02}", p or None, v, None)
        for i, lines in sorted(records.items())
        for n, (h, m, p, v) in enumerate(lines, 1)
    ]


def test_a_session_reads_it(spark: Any, tmp_path: Path) -> None:
    for letter in "abc":
        tarball(tmp_path / f"set-{letter}.tar.gz", {"1.txt": record("00:00,RecordID,1", "00:01,HR,x")})
    options = read_options(MEASUREMENTS, find(tmp_path, MEASUREMENTS), 2)
    frame = read_source(spark, ChallengeRecords, options)
    read = frame.select("record_set", "_source_row", "value", "_raw").orderBy("record_set", "_source_row").collect()
    assert [tuple(row) for row in read] == [
        row for letter in "abc" for row in ((letter, 1, 1.0, None), (letter, 2, None, "00:01,HR,x"))
    ]
    assert json.loads(options["files"])[0]["name"] == "set-a.tar.gz"
