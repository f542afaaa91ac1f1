"""Two writers of one lake: the second waits and says for whom, and a killed one holds nothing up."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lakehouse.errors import LakehouseError, LockedError
from lakehouse.local.lock import FILE, Holder, exclusive, look

HOLD = """
import sys, time
from pathlib import Path
from lakehouse.local.lock import Holder, exclusive
with exclusive(Path(sys.argv[1]), Holder.here("run-a", "ingest"), 0, print):
    {inside}
"""
WAIT_FOR_INPUT = "print('held', flush=True); sys.stdin.readline()"
# A child that outlives its parent, as a worker process of an engine may.
FORK_AND_WAIT = "import os; os.fork() or print('held', flush=True); time.sleep(9)"


@contextmanager
def another_process(root: Path, inside: str = WAIT_FOR_INPUT) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the lake; ended by a line of input."""
    code = HOLD.format(inside=inside)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code, str(root)], cwd=Path(__file__).parents[2], **pipes)
    assert process.stdout and process.stdin
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def me(run: str = "run-b") -> Holder:
    return Holder.here(run, "refine")


def test_the_second_stops_with_one_sentence_on_who_is_at_work(tmp_path: Path) -> None:
    said: list[str] = []
    with another_process(tmp_path) as other:
        sentence = (
            rf"^the lake .* is being written by ehr ingest \(run run-a, process {other.pid} on .*\) since .* UTC: "
        )
        with (
            pytest.raises(LockedError, match=sentence + r"waited 0\.3 s") as caught,
            exclusive(tmp_path, me(), 0.3, said.append),
        ):
            pass
        assert caught.value.exit_code == 6
        assert len(said) == 1 and f"process {other.pid}" in said[0] and "waiting up to 0.3 s" in said[0]
        assert look(tmp_path)[1], "to look at the lock takes it from nobody"


def test_the_second_goes_on_as_soon_as_the_first_has_ended(tmp_path: Path) -> None:
    said: list[str] = []
    with another_process(tmp_path) as other:

        def told(sentence: str) -> None:
            said.append(sentence)
            assert other.stdin
            other.stdin.write("\n")
            other.stdin.flush()

        with exclusive(tmp_path, me(), 30, told) as door:
            assert door.killed is None
            holder, at_work = look(tmp_path)
            assert holder and (holder.run_id, holder.pid, at_work) == ("run-b", os.getpid(), True)
    assert len(said) == 1
    assert look(tmp_path) == (None, False)


@pytest.mark.parametrize("inside", [WAIT_FOR_INPUT, FORK_AND_WAIT], ids=["alone", "with a child that lives on"])
def test_a_killed_holder_holds_nobody_up_and_is_named(tmp_path: Path, inside: str) -> None:
    with another_process(tmp_path, inside) as other:
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        holder, at_work = look(tmp_path)
        assert holder and (holder.run_id, at_work) == ("run-a", False)
        started = time.monotonic()
        with exclusive(tmp_path, me(), 5, print) as door:
            assert door.killed == holder
        assert time.monotonic() - started < 2


def test_who_only_looks_makes_no_writer_stop(tmp_path: Path) -> None:
    """Looking takes the lock for a moment; one that is not willing to wait at all still gets it."""
    code = "import sys\nfrom pathlib import Path\nfrom lakehouse.local.lock import look\nprint(1, flush=True)\n"
    code += "while True: look(Path(sys.argv[1]))"
    (tmp_path / FILE).touch()
    looker = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE
    )
    try:
        assert looker.stdout and looker.stdout.readline()
        for _ in range(20):
            with exclusive(tmp_path, me(), 1, print):
                pass
    finally:
        looker.kill()
        looker.wait()
        looker.stdout.close()  # type: ignore[union-attr]


def test_an_error_inside_frees_the_lake(tmp_path: Path) -> None:
    with pytest.raises(KeyError), exclusive(tmp_path, me(), 0, print):
        raise KeyError
    assert look(tmp_path) == (None, False)
    with exclusive(tmp_path, me(), 0, print) as door:
        assert door.killed is None


def test_who_could_not_record_its_end_is_taken_for_killed(tmp_path: Path) -> None:
    with exclusive(tmp_path, me(), 0, print) as door:
        door.keeps_name = True
    holder, at_work = look(tmp_path)
    assert holder and (holder.run_id, at_work) == ("run-b", False)
    with exclusive(tmp_path, me("run-c"), 0, print) as door:
        assert door.killed == holder
    assert look(tmp_path) == (None, False)


def test_who_is_not_admitted_leaves_the_name_of_who_was_killed(tmp_path: Path) -> None:
    with exclusive(tmp_path, me(), 0, print) as door:
        door.keeps_name = True

    def refuse() -> None:
        raise KeyError

    with pytest.raises(KeyError), exclusive(tmp_path, me("run-c"), 0, print, refuse):
        pass
    holder, at_work = look(tmp_path)
    assert holder and (holder.run_id, at_work) == ("run-b", False)


def test_a_shorter_name_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    with exclusive(tmp_path, me("run-with-a-long-name"), 0, print) as door:
        door.keeps_name = True
    with exclusive(tmp_path, me("run"), 0, print):
        assert json.loads((tmp_path / FILE).read_text())["run_id"] == "run"


def test_a_torn_name_on_the_door_is_no_name(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"run_id": "run-a"})[:-4])
    assert look(tmp_path) == (None, False)
    with exclusive(tmp_path, me(), 0, print) as door:
        assert door.killed is None


def test_a_lake_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file")
    with (
        pytest.raises(LakehouseError, match=r"the lake .*/lake cannot be written"),
        exclusive(tmp_path / "lake", me(), 0, print),
    ):
        pass
    assert look(tmp_path / "lake") == (None, False)
