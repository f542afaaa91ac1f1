"""A machine that something is wrong with: one sentence on what it is and what to do, the lake intact, the next run
succeeds."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lakehouse.engines.memory import GROUPS
from tests.faults.invocations import Invocations, sentence
from tests.faults.lives import Known, Life, fed

pytestmark = pytest.mark.usefixtures("spark")
IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="mounts need root")
QUERY = ("sql", "select count(*) as n from silver.stays", "--output", "csv")


@pytest.fixture
def life(ehr: Invocations, tmp_path: Path) -> Life:
    return Life(tmp_path / "lake", ehr)


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


@contextmanager
def mounted(folder: Path, *arguments: object) -> Iterator[None]:
    mount(*arguments, folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@needs_root
def test_a_full_disk_is_named_and_the_next_run_finds_the_lake_whole(
    life: Life, first: Path, second: Path, whole: Known
) -> None:
    """Full at once, or after a few more kilobytes: in the staged rows, in a table, in the ledger."""
    with mounted(life.root, "-t", "tmpfs", "-o", "size=64m", "none"):
        filler = life.root / ".filler"
        fed(life, first)
        kilobytes = 0
        while not finished_on_a_full_disk(life, second, filler, kilobytes):
            assert life.broken(whole) == []
            kilobytes = 2 * kilobytes or 10
        assert kilobytes > 20, "the disk was full at different places"
        fed(life, second)
        assert life.contents.parts() == whole[1]
        assert life.broken(whole[1:]) == []


def finished_on_a_full_disk(life: Life, raw: Path, filler: Path, kilobytes: int) -> bool:
    """Whether an ingest needs no more room than so many kilobytes; one that does says so."""
    fill(filler, kilobytes)
    ended = life.start(raw, "ingest").wait()
    filler.unlink()
    if ended.code:
        told = sentence(ended)
        assert ended.code == 7 and "the disk is full" in told and "free some space, then run again" in told
    return ended.code == 0


def fill(file: Path, kilobytes: int) -> None:
    """Leaves so much room on the disk that the file is on."""
    state = os.statvfs(file.parent)
    with file.open("wb") as written:
        os.posix_fallocate(written.fileno(), 0, state.f_bavail * state.f_bsize - kilobytes * 1024)


def test_a_file_that_may_not_grow_is_said(life: Life, first: Path, whole: Known) -> None:
    ended = life.start(first, "ingest", trouble="small_files").wait()
    assert ended.code == 7
    assert "files may not grow as large as they must" in sentence(ended) and "ulimit -f" in sentence(ended)
    fed(life, first)
    assert life.contents.parts() == whole[0]


@pytest.mark.parametrize("how", [pytest.param("a medium that is read-only", marks=needs_root), "modes"])
def test_a_lake_that_cannot_be_written_is_read_all_the_same(life: Life, first: Path, second: Path, how: str) -> None:
    fed(life, first)
    before = life.contents.parts()
    if how != "modes":
        with mounted(life.root, "--bind", life.root):
            mount("-o", "remount,bind,ro", life.root)
            written = life.start(second, "ingest").wait()
            read = life.start(first, *QUERY).wait()
    else:
        folders = [folder for folder, _, _ in os.walk(life.root)]
        for folder in folders:
            Path(folder).chmod(0o500)
        (life.root / "_lock").chmod(0o400)
        written = life.start(second, "ingest", trouble="held_to_modes").wait()
        read = life.start(first, *QUERY, trouble="held_to_modes").wait()
        for folder in folders:
            Path(folder).chmod(0o700)
        (life.root / "_lock").chmod(0o600)
    assert (written.code, life.contents.parts()) == (7, before), written.said
    assert "cannot be written" in sentence(written), written.said
    assert read.code == 0 and "\n40\n" in read.said and "this access is not in ops.audit" in read.said, read.said
    life.run(second, "ingest")


def test_a_raw_file_that_one_may_not_read_is_named(life: Life, first: Path, whole: Known) -> None:
    files = sorted(first.rglob("*.*"))
    for file in files:
        file.chmod(0)
        try:
            ended = life.start(first, "ingest", trouble="held_to_modes").wait()
        finally:
            file.chmod(0o600)
        assert ended.code in (3, 7) and file.name in sentence(ended), ended.said
        assert "ermission denied" in sentence(ended) or "may not be read" in sentence(ended)
    fed(life, first)
    assert life.contents.parts() == whole[0]


def test_a_process_without_memory_leaves_the_lake_as_it_was(life: Life, first: Path, whole: Known) -> None:
    ended = life.start(first, "ingest", trouble="little_memory").wait()
    assert ended.code != 0, ended.said
    assert life.broken(whole) == []
    fed(life, first)
    assert life.contents.parts() == whole[0]


@pytest.mark.skipif(not os.access(GROUPS / "memory", os.W_OK), reason="no control group can be made")
def test_a_process_that_nears_its_bound_of_memory_ends_with_a_sentence(life: Life, first: Path, whole: Known) -> None:
    running = life.start(first, "ingest", trouble="a_table_too_large")
    ended = running.wait()
    (GROUPS / "memory" / f"ehr-test-{running.pid}").rmdir()
    assert ended.code == 7, ended.said
    assert re.match(
        r"memory is used up, 9\d\d of the 1024 MiB that this process may use: give it more", sentence(ended)
    )
    assert life.broken(whole) == []
    fed(life, first)
    assert life.contents.parts() == whole[0]


def test_a_table_that_hangs_is_given_up_with_a_word_on_what_it_waited_for(
    life: Life, first: Path, whole: Known
) -> None:
    life.run(first, "ingest")
    ended = life.start(first, "refine", trouble="a_table_that_hangs", EHR_DEADLINE_SECONDS="2").wait(60)
    assert ended.code == 8, ended.said
    told = sentence(ended)
    assert told.startswith("silver.patients[challenge2012] did not end in 2 s (setting deadline_seconds): it waited in")
    assert "(lakehouse/" in told and life.broken(whole) == []
    fed(life, first)
    assert life.contents.parts() == whole[0]
