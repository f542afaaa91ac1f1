"""Raw files into bronze: exactly once, replaced when changed, refused with file and reason when bad."""

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from jobs.context import Context
from jobs.ingest import ingest
from lakehouse.errors import RawDataError
from lakehouse.ingestion import Ingestion

pytestmark = pytest.mark.usefixtures("spark")

Make = Callable[..., Context]
LABS = "bronze.mimiciii_labevents"
LABS_FILE = Path("mimiciii-demo-1.4") / "LABEVENTS.csv.gz"
OUTCOMES = "bronze.challenge2012_outcomes"


def lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)


def write(path: Path, content: list[str]) -> None:
    path.write_bytes(gzip.compress("".join(content).encode()))


@pytest.mark.engine
def test_every_row_of_every_file_is_stored_once_and_a_second_run_opens_no_file(raw: Path, context_of: Make) -> None:
    first = {o.table: o for o in ingest(context_of(raw), "mimiciii")}
    assert len(first) == 26
    assert {o.status for o in first.values()} == {"built"}
    for path in (raw / "mimiciii-demo-1.4").glob("*.csv.gz"):
        table = f"bronze.mimiciii_{path.name.removesuffix('.csv.gz').lower()}"
        stored = context_of(raw).lake.read_arrow(table)
        if table != "bronze.mimiciii_noteevents":  # its texts span lines
            assert stored.num_rows == len(lines(path)) - 1, table
        assert sorted(stored.column("_source_row").to_pylist()) == list(range(1, stored.num_rows + 1))

    for path in raw.rglob("*.csv.gz"):
        # Another content of the same size and time would be noticed if it were read.
        state = path.stat()
        path.write_bytes(b"\0" * state.st_size)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    context = context_of(raw)
    second = ingest(context, "mimiciii")
    assert {o.status for o in second} == {"unchanged"}
    assert {o.table: o.version for o in second} == {t: o.version for t, o in first.items()}
    assert "nothing was read" in context.console.export_text()


def test_a_touched_file_is_hashed_and_left_alone(raw: Path, context_of: Make) -> None:
    ingest(context_of(raw), LABS)
    os.utime(raw / LABS_FILE, (1, 1))
    assert [o.status for o in ingest(context_of(raw), LABS)] == ["unchanged"]


@pytest.mark.engine
def test_rows_of_a_changed_file_are_replaced_and_reported(raw: Path, context_of: Make) -> None:
    ingest(context_of(raw), LABS)
    before = lines(raw / LABS_FILE)
    write(raw / LABS_FILE, before[:-5])
    (outcome,) = ingest(context_of(raw), LABS)
    assert outcome.rows_out == len(before) - 1 - 5
    assert "LABEVENTS.csv.gz" in outcome.note
    assert context_of(raw).lake.row_count(LABS) == len(before) - 1 - 5


@pytest.mark.engine
def test_one_more_file_leaves_the_rows_of_the_others(raw: Path, context_of: Make) -> None:
    aside = raw / "Outcomes-b.txt"
    shutil.move(raw / "challenge-2012" / "Outcomes-b.txt", aside.with_suffix(".away"))
    ingest(context_of(raw), OUTCOMES)
    half = context_of(raw).lake.row_count(OUTCOMES)
    shutil.move(aside.with_suffix(".away"), raw / "challenge-2012" / "Outcomes-b.txt")
    ingest(context_of(raw), OUTCOMES)
    assert (half, context_of(raw).lake.row_count(OUTCOMES)) == (30, 60)


@pytest.mark.engine
def test_a_row_that_does_not_parse_is_quarantined_with_its_text(raw: Path, context_of: Make) -> None:
    content = lines(raw / LABS_FILE)
    header = content[0].strip().split(",")
    cells = content[3].rstrip("\n").split(",")
    cells[header.index("valuenum")] = "twelve"
    content[3] = ",".join(cells) + "\n"
    write(raw / LABS_FILE, content)
    (outcome,) = ingest(context_of(raw), LABS)
    assert (outcome.rows_out, outcome.rows_quarantined) == (len(content) - 2, 1)
    refused = context_of(raw).lake.read_arrow(f"{LABS}_quarantine").to_pylist()
    assert [(r["_rules"], r["_source_row"], r["_raw"]) for r in refused] == [
        (["parsed", "valuenum_is_double"], 3, content[3].rstrip("\n"))
    ]


def test_a_file_that_changes_while_it_is_read_is_not_taken(
    raw: Path, context_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = lines(raw / LABS_FILE)
    read = Ingestion._read

    def read_while_more_comes(self: Ingestion, *arguments: Any) -> Any:
        write(raw / LABS_FILE, [*content, content[-1]])
        return read(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Ingestion, "_read", read_while_more_comes)
        with pytest.raises(RawDataError, match=r"LABEVENTS\.csv\.gz changed while it was read: run again"):
            ingest(context_of(raw), LABS)
    assert not context_of(raw).lake.exists(LABS)
    (outcome,) = ingest(context_of(raw), LABS)
    assert outcome.rows_in == len(content)


def test_two_patients_with_one_id_are_both_quarantined(raw: Path, context_of: Make) -> None:
    path = raw / "mimiciii-demo-1.4" / "PATIENTS.csv.gz"
    content = lines(path)
    twin = content[1].split(",", 1)
    write(path, [*content, f"999999,{twin[1]}"])
    (outcome,) = ingest(context_of(raw), "bronze.mimiciii_patients")
    assert (outcome.rows_out, outcome.rows_quarantined) == (len(content) - 2, 2)
    refused = context_of(raw).lake.read_arrow("bronze.mimiciii_patients_quarantine")
    assert refused.column("_rules").to_pylist() == [["duplicate_key"]] * 2
    assert pc.count_distinct(refused.column("subject_id")).as_py() == 1


def truncated(raw: Path) -> None:
    content = (raw / LABS_FILE).read_bytes()
    (raw / LABS_FILE).write_bytes(content[: len(content) // 2])


def other_header(raw: Path) -> None:
    content = lines(raw / LABS_FILE)
    write(raw / LABS_FILE, [content[0].replace("valuenum", "number"), *content[1:]])


@pytest.mark.parametrize(
    ("damage", "table", "file", "reason"),
    [
        (truncated, LABS, "LABEVENTS.csv.gz", "truncated|cut|end"),
        (other_header, LABS, "LABEVENTS.csv.gz", "valuenum"),
        (
            lambda raw: (raw / "challenge-2012" / "Outcomes-a.txt").write_text(
                "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n"
            ),
            OUTCOMES,
            "Outcomes-a.txt",
            "0 rows|no row|holds",
        ),
    ],
    ids=["truncated gzip", "another header", "empty outcomes"],
)
def test_a_bad_file_is_named_with_the_reason_and_the_table_stays_as_it_was(
    raw: Path, context_of: Make, damage: Callable[[Path], object], table: str, file: str, reason: str
) -> None:
    ingest(context_of(raw), table)
    before = context_of(raw).lake.version(table)
    damage(raw)
    with pytest.raises(RawDataError, match=f"{file}.*({reason})"):
        ingest(context_of(raw), table)
    lake = context_of(raw).lake
    assert lake.version(table) == before
    assert not lake.exists(f"{table}_quarantine")
    assert not list((lake.root / "_staging").rglob("*.parquet"))


def test_a_missing_raw_folder_and_one_without_raw_files_are_named(tmp_path: Path, context_of: Make) -> None:
    with pytest.raises(RawDataError, match="nowhere does not exist"):
        ingest(context_of(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(RawDataError, match="empty is a raw file of a known source"):
        ingest(context_of(tmp_path / "empty"))
