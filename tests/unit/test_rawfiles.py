"""Which files of a raw folder belong to which table, and what is refused before anything is read."""

import hashlib
import json
from pathlib import Path

import pytest

from bronze.challenge2012 import MEASUREMENTS, OUTCOMES
from bronze.mimiciii import TABLES as MIMICIII
from bronze.mimiciv import TABLES as MIMICIV
from lakehouse.errors import RawDataError
from lakehouse.feeds.rawfiles import Inventory, find, raw_columns, read_options
from lakehouse.table import Raw, Table

BY_NAME = {table.name.removeprefix("bronze."): table for table in (*MIMICIII, *MIMICIV)}
CHARTEVENTS, PATIENTS = BY_NAME["mimiciii_chartevents"], BY_NAME["mimiciii_patients"]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def names(folder: Path, table: Table) -> list[str]:
    return [file.name for file in find(folder, table)]


@pytest.mark.parametrize("name", ["PATIENTS.csv", "patients.csv.gz", "mimic-iii/1.4/Patients.CSV.GZ"])
def test_mimiciii_files_in_any_case_and_folder(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name, "hosp/patients.csv.gz", "iv/hosp/patients.csv", "demo_subject_id.csv", "patients.csv.bak")
    assert names(tmp_path, PATIENTS) == [name]


def test_mimiciv_files_lie_in_their_modules_folder(tmp_path: Path) -> None:
    touch(tmp_path, "iv/hosp/patients.csv.gz", "iv/ICU/chartevents.csv", "iii/CHARTEVENTS.csv", "iv/ed/patients.csv")
    assert names(tmp_path, BY_NAME["mimiciv_patients"]) == ["iv/hosp/patients.csv.gz"]
    assert names(tmp_path, BY_NAME["mimiciv_chartevents"]) == ["iv/ICU/chartevents.csv"]
    assert names(tmp_path, CHARTEVENTS) == ["iii/CHARTEVENTS.csv"]
    assert names(tmp_path / "iv", BY_NAME["mimiciv_patients"]) == ["hosp/patients.csv.gz"]


def test_challenge_files(tmp_path: Path) -> None:
    touch(
        tmp_path, "c/set-a.tar.gz", "c/set-b/132539.txt", "c/set-b/132540.txt", "c/set-b/readme.txt", "c/Outcomes-a.txt"
    )
    assert names(tmp_path, MEASUREMENTS) == ["c/set-a.tar.gz", "c/set-b/132539.txt", "c/set-b/132540.txt"]
    assert names(tmp_path, OUTCOMES) == ["c/Outcomes-a.txt"]


def test_another_record_set_may_lie_elsewhere_in_the_raw_folder(tmp_path: Path) -> None:
    touch(tmp_path, "challenge-2012/set-a.tar.gz", "challenge-2012/Outcomes-a.txt", "set-c/1.txt", "Outcomes-c.txt")
    assert names(tmp_path, MEASUREMENTS) == ["challenge-2012/set-a.tar.gz", "set-c/1.txt"]
    assert names(tmp_path, OUTCOMES) == ["Outcomes-c.txt", "challenge-2012/Outcomes-a.txt"]


@pytest.mark.parametrize(
    ("table", "first", "second", "reason"),
    [
        (CHARTEVENTS, "x/CHARTEVENTS.csv", "x/CHARTEVENTS.csv.gz", "are the same part of bronze.mimiciii_chartevents"),
        (CHARTEVENTS, "x/CHARTEVENTS.csv", "y/chartevents.csv", "both hold bronze.mimiciii_chartevents"),
        (MEASUREMENTS, "set-a.tar.gz", "set-a/132539.txt", "are the same part of bronze.challenge2012_measurements"),
        (MEASUREMENTS, "set-a.tar.gz", "set-a.tgz", "are the same part of"),
        (MEASUREMENTS, "x/set-a.tar.gz", "y/set-a.tar.gz", "are the same part of"),
        (OUTCOMES, "Outcomes-a.txt", "outcomes-A.csv", "are the same part of"),
    ],
)
def test_two_files_of_one_part_are_refused_by_name(
    tmp_path: Path, table: Table, first: str, second: str, reason: str
) -> None:
    touch(tmp_path, first, second)
    with pytest.raises(RawDataError, match=reason) as refused:
        find(tmp_path, table)
    assert first in str(refused.value)
    assert second in str(refused.value)


def test_a_missing_or_empty_raw_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(RawDataError, match=r"the raw folder .*/none does not exist\.$"):
        Inventory(tmp_path / "none")
    touch(tmp_path, "file")
    with pytest.raises(RawDataError, match="is not a folder"):
        Inventory(tmp_path / "file")
    with pytest.raises(
        RawDataError, match=r"looked for mimiciii: PATIENTS\.csv\[\.gz\]; challenge2012: Outcomes-\?\.txt"
    ):
        Inventory(tmp_path).recognise([PATIENTS, CHARTEVENTS, OUTCOMES])


def test_a_source_that_lacks_a_table_is_refused_unless_it_is_optional(tmp_path: Path) -> None:
    touch(tmp_path, "PATIENTS.csv")
    noteevents = BY_NAME["mimiciii_noteevents"]
    assert list(Inventory(tmp_path).recognise([PATIENTS, noteevents, OUTCOMES])) == [PATIENTS.name]
    with pytest.raises(RawDataError, match=r"has files of mimiciii but no CHARTEVENTS\.csv"):
        Inventory(tmp_path).recognise([PATIENTS, CHARTEVENTS])


def test_hidden_files_are_passed_over_and_links_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "raw/.trash/PATIENTS.csv", "raw/x/._PATIENTS.csv", "elsewhere/PATIENTS.csv")
    (tmp_path / "raw/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "raw")
    assert names(tmp_path / "raw", PATIENTS) == ["link/PATIENTS.csv"]


def test_a_file_tells_its_size_time_and_hash(tmp_path: Path) -> None:
    touch(tmp_path, "x/PATIENTS.csv")
    (file,) = find(tmp_path, PATIENTS)
    state = (tmp_path / "x/PATIENTS.csv").stat()
    assert (file.path, file.size, file.mtime_ns) == (tmp_path / "x/PATIENTS.csv", 14, state.st_mtime_ns)
    assert file.sha256 == hashlib.sha256(b"x/PATIENTS.csv").hexdigest()


def test_options_tell_the_reader_all_and_check_the_header_first(tmp_path: Path) -> None:
    (tmp_path / "Outcomes-a.txt").write_text("RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n")
    files = find(tmp_path, OUTCOMES)
    options = read_options(OUTCOMES, files, 3)
    assert json.loads(options["files"]) == [{"path": str(tmp_path / "Outcomes-a.txt"), "name": "Outcomes-a.txt"}]
    assert json.loads(options["columns"])[:2] == [["record_set", "STRING"], ["record_id", "BIGINT"]]
    assert (options["partitions"], options["min_rows"], options["table"]) == ("3", "1", "bronze.challenge2012_outcomes")
    (tmp_path / "Outcomes-a.txt").write_text("RecordID,SAPS-I\n")
    with pytest.raises(
        RawDataError, match=r"Outcomes-a\.txt lacks the columns sofa, length_of_stay, survival, in_hosp"
    ):
        read_options(OUTCOMES, files, 3)


def test_columns_that_a_later_release_brought_may_be_absent(tmp_path: Path) -> None:
    table = Table(
        "bronze.x",
        "id BIGINT, provider STRING",
        ("id",),
        raw=Raw("x", (r"x\.csv",), absent_ok=("provider",)),
    )
    (tmp_path / "x.csv").write_text("id\n1\n")
    assert raw_columns(table) == [("id", "BIGINT"), ("provider", "STRING")]
    assert json.loads(read_options(table, find(tmp_path, table), 1)["columns"]) == [
        ["id", "BIGINT"],
        ["provider", "STRING"],
    ]
