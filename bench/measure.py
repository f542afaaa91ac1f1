"""One command as a whole process: wall and CPU seconds with all that it starts, and the most memory held at once."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
LONGEST_SECONDS = 7200.0
_EVERY_SECONDS = 0.1
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Measured:
    """What one command took."""

    seconds: float
    cpu: float
    peak_bytes: int


class FailedError(Exception):
    """The command ended with another code than 0, or ran too long."""


def lake_brought_up_to_date(
    raw: Path, lake: Path, engine: str, cores: int, timeout: float = LONGEST_SECONDS
) -> Measured:
    """Raw files to gold by the command line, in a process of its own."""
    command = [sys.executable, "-m", "jobs.cli", "run", "--until", "featurize", "--engine", engine]
    return measure([*command, "--raw", str(raw), "--lake", str(lake)], ROOT, {"EHR_CORES": str(cores)}, timeout)


def measure(
    command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None, timeout: float = LONGEST_SECONDS
) -> Measured:
    """Runs a command to its end. FailedError, with the last of what it said, where that is not a good one.

    Memory is resident memory (what processes share counts once each), looked at ten times a second.
    """
    _adopt_orphans()
    before, began = _cpu_of_ended(), time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        peak = _Peak(process.pid)
        peak.start()
        try:
            said, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise FailedError(f"{' '.join(command)} ran longer than {timeout:.0f} s") from None
        finally:
            peak.ended.set()
            peak.join()
    seconds = time.perf_counter() - began
    _wait_for_orphans(process.pid)
    if process.returncode:
        raise FailedError(f"{' '.join(command)} ended with {process.returncode}: {said[-2000:]}")
    return Measured(seconds, _cpu_of_ended() - before, peak.bytes)


def _adopt_orphans() -> None:
    """What a command leaves behind (a JVM that ends after it) becomes a child of this process, whose CPU is counted."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait_for_orphans(group: int, most: float = 20) -> None:
    until = time.monotonic() + most
    while True:
        try:
            pid, _ = os.waitpid(-group, os.WNOHANG)
        except ChildProcessError:  # there is none
            return
        if not pid:
            if time.monotonic() > until:
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
            time.sleep(_EVERY_SECONDS)


def _cpu_of_ended() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _Peak(threading.Thread):
    """The most resident memory that a process and its descendants held at one time."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self.ended = threading.Event()
        self._process = psutil.Process(pid)

    def run(self) -> None:
        while not self.ended.wait(_EVERY_SECONDS):
            held = 0
            with suppress(psutil.Error):
                for process in (self._process, *self._process.children(recursive=True)):
                    with suppress(psutil.Error):
                        held += process.memory_info().rss
            self.bytes = max(self.bytes, held)
