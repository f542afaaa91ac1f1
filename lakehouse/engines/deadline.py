"""A table that does not get on is given up, with a word on what it waited for.

A watching thread asks the engine to give up what it is doing, so that the run ends like one that failed. Where it does
not come back from that either, the process ends as if it had been killed, which a lake survives. Where a library keeps
the interpreter's lock for good, no thread of Python can watch, and what ends the process is one that needs no lock.
"""

import faulthandler
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from lakehouse.errors import DeadlineError, end_at_once

HERE = Path(__file__).resolve().parents[2]
GRACE_SECONDS = 20.0
"""How long the engine may take to give up, and then the thread that ends the process to get its turn."""


@dataclass(frozen=True)
class Deadline:
    """How long one table may take, in seconds (0: as long as it likes); `interrupt` asks the engine to give up."""

    seconds: float = 0
    interrupt: Callable[[], object] = lambda: None
    grace_seconds: float = GRACE_SECONDS
    end: Callable[[DeadlineError], object] = end_at_once

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """DeadlineError where what is inside takes longer."""
        if not self.seconds:
            yield
            return
        watched, over, waited = threading.get_ident(), threading.Event(), list[str]()

        def error() -> DeadlineError:
            return DeadlineError(
                f"{name} did not end in {self.seconds:g} s (setting deadline_seconds): it waited in {waited[0]}; "
                "what was finished stands, and the next run begins with this table."
            )

        def watch() -> None:
            if over.wait(self.seconds):
                return
            waited.append(_place(sys._current_frames().get(watched)))
            # Of an engine that hangs, this request may hang as well.
            threading.Thread(target=self._ask, name=f"interrupt of {name}", daemon=True).start()
            if not over.wait(self.grace_seconds):
                self.end(error())

        threading.Thread(target=watch, name=f"deadline of {name}", daemon=True).start()
        # To descriptor 2: what stands for stderr in a notebook may be no file.
        faulthandler.dump_traceback_later(self.seconds + self.grace_seconds + GRACE_SECONDS, exit=True, file=2)
        try:
            yield
        except Exception as cause:
            if waited:
                raise error() from cause
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()
            over.set()

    def _ask(self) -> None:
        with suppress(Exception):  # an engine that is gone
            self.interrupt()


def _place(frame: FrameType | None) -> str:
    """Where the code of this project is that a thread is in, e.g. `stage (lakehouse/local/staging.py, line 31)`."""
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(HERE) and ".venv" not in file.parts:
            return f"{frame.f_code.co_name} ({file.relative_to(HERE)}, line {frame.f_lineno})"
        frame = frame.f_back
    return "a library"
