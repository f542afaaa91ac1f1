"""A table that takes too long is given up: by the engine where it listens, by ending the process where it does not."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lakehouse.engines.deadline import Deadline
from lakehouse.errors import ContractError, DeadlineError

SENTENCE = (
    r"^silver\.stays did not end in 0\.05 s \(setting deadline_seconds\): it waited in {where}; "
    r"what was finished stands, and the next run begins with this table\.$"
)


def test_an_engine_that_gives_up_makes_a_sentence_of_its_error() -> None:
    given_up = threading.Event()
    deadline = Deadline(0.05, interrupt=given_up.set)
    where = r"test_an_engine_that_gives_up\w+ \(tests/unit/test_deadline\.py, line \d+\)"
    with pytest.raises(DeadlineError, match=SENTENCE.format(where=where)) as caught, deadline("silver.stays"):
        given_up.wait(10)
        raise ConnectionError("operation cancelled")
    assert caught.value.exit_code == 8
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_what_ends_in_time_is_left_alone() -> None:
    interrupted = threading.Event()
    with Deadline(0.05, interrupt=interrupted.set)("silver.stays"):
        pass
    with pytest.raises(ContractError, match="as it was"), Deadline(60)("silver.stays"):
        raise ContractError("as it was")
    assert not interrupted.wait(0.2)
    assert not [thread for thread in threading.enumerate() if thread.name == "deadline of silver.stays"]


def test_no_deadline_watches_nothing() -> None:
    before = threading.active_count()
    with Deadline(0)("silver.stays"):
        assert threading.active_count() == before


def refuse() -> None:
    raise ConnectionError("gone")


def never_answer() -> None:
    threading.Event().wait()


@pytest.mark.parametrize("interrupt", [refuse, never_answer])
def test_an_engine_that_does_not_come_back_ends_the_process(interrupt: Callable[[], None]) -> None:
    told = list[str]()
    ended = threading.Event()

    def end(error: DeadlineError) -> None:
        told.append(str(error))
        ended.set()

    with pytest.raises(DeadlineError), Deadline(0.05, interrupt, 0.05, end)("silver.stays"):
        assert ended.wait(10)
        raise ConnectionError("at last")
    assert len(told) == 1 and told[0].startswith("silver.stays did not end in 0.05 s")


def test_such_a_process_says_so_and_has_the_code_for_it() -> None:
    code = (
        "import time\nfrom lakehouse.engines.deadline import Deadline\n"
        "with Deadline(0.05, grace_seconds=0.05)('silver.stays'): time.sleep(60)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2], timeout=30
    )
    assert (done.returncode, done.stdout) == (8, "")
    assert done.stderr.startswith("error silver.stays did not end in 0.05 s") and done.stderr.count("\n") == 1


def test_a_process_whose_interpreter_is_held_for_good_ends_too() -> None:
    code = (
        "import ctypes\nfrom lakehouse.engines import deadline\ndeadline.GRACE_SECONDS = 0.05\n"
        "with deadline.Deadline(0.05, grace_seconds=0.05)('silver.stays'): ctypes.PyDLL(None).sleep(60)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[2], timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("Timeout") and 'File "<string>", line 4' in done.stderr
