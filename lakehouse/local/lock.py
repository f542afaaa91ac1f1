"""One writer at a time on a local lake, by a lock that the operating system frees when its holder is gone."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from lakehouse.errors import LockedError, ResourceError

FILE = "_lock"
_POLL_SECONDS = 0.2
_SECOND_TRY_SECONDS = 0.05
"""A reader that looks whether a writer is at work holds the lock for a moment, which stops no writer."""


@dataclass(frozen=True)
class Holder:
    """Who writes to the lake; lies in the lock file while it does, and after it was killed."""

    run_id: str
    verb: str
    pid: int
    host: str
    since: str

    @classmethod
    def here(cls, run_id: str, verb: str) -> "Holder":
        """This process, now."""
        return cls(run_id, verb, os.getpid(), socket.gethostname(), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")

    def __str__(self) -> str:
        return f"ehr {self.verb} (run {self.run_id}, process {self.pid} on {self.host}) since {self.since}"


@dataclass
class Door:
    """The lake to oneself. `killed` is the holder before, where it was killed before it could end. One's own name stays
    on the door, as that of one who was killed, where `keeps_name` is still set in the end."""

    killed: Holder | None = None
    keeps_name: bool = False


@contextmanager
def exclusive(
    root: Path,
    holder: Holder,
    wait_seconds: float,
    tell: Callable[[str], object],
    admit: Callable[[], object] = lambda: None,
) -> Iterator[Door]:
    """The lake to oneself.

    `tell` is called once with who holds the lock where one must wait. `admit` is asked once it is free: where that
    raises, the lake is left as it was, to the name of who was killed. LockedError after `wait_seconds`; ResourceError
    where the folder cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = os.fdopen(os.open(root / FILE, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
    except OSError as error:
        raise ResourceError(f"the lake {root} cannot be written: {error.strerror}.") from error
    with file:
        # A child that this process forks would keep the lock of a parent that is gone.
        os.register_at_fork(after_in_child=file.close)
        _acquire(root, file, wait_seconds, tell)
        admit()
        door = Door(_read(file))
        # On a full disk one still learns from the run itself what is wrong, not from the name on its door.
        with suppress(OSError):
            _put(file, holder)
        try:
            yield door
        finally:
            if not (door.keeps_name or file.closed):  # closed: in a child that was forked meanwhile
                file.truncate(0)


def _put(file: FileIO, holder: Holder) -> None:
    """Writes the name over the one before in one call: killed at any moment, one of the two stands there."""
    name = json.dumps(asdict(holder)).encode()
    os.pwrite(file.fileno(), name.ljust(os.fstat(file.fileno()).st_size), 0)
    file.truncate(len(name))


def _acquire(root: Path, file: FileIO, wait_seconds: float, tell: Callable[[str], object]) -> None:
    deadline = time.monotonic() + wait_seconds
    told = False
    if _try(file):
        return
    time.sleep(_SECOND_TRY_SECONDS)
    while not _try(file):
        by = _read(file) or "another process"
        left = deadline - time.monotonic()
        if left <= 0:
            raise LockedError(
                f"the lake {root} is being written by {by}: waited {wait_seconds:g} s (setting lock_wait_seconds)."
            )
        if not told:
            tell(f"the lake is being written by {by}: waiting up to {wait_seconds:g} s for it")
            told = True
        time.sleep(min(_POLL_SECONDS, left))


def _try(file: FileIO, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: FileIO) -> Holder | None:
    file.seek(0)
    try:
        return Holder(**json.loads(file.read()))
    except (ValueError, TypeError):  # empty, or cut by whatever killed its writer
        return None


def look(root: Path) -> tuple[Holder | None, bool]:
    """Who the lock file names, and whether that one is at work now (else it was killed). Waits for nobody."""
    try:
        file = (root / FILE).open("rb", buffering=0)
    except OSError:
        return None, False
    with file:
        at_work = not _try(file, fcntl.LOCK_SH)
        return _read(file), at_work
