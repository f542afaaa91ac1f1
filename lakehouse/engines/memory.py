"""A process that is about to be ended for want of memory ends itself first, with a sentence.

Containers and schedulers bound what a process and its children may use by a control group of Linux. At that bound the
system kills without a word (exit code 137), and nobody knows of what.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from lakehouse.engines.machine import AGAIN
from lakehouse.errors import ResourceError, end_at_once

GROUPS = Path("/sys/fs/cgroup")
FULL = 0.9
"""Of what may be used: beyond it the process ends itself."""
_LOOK_SECONDS = 0.2
_NO_LIMIT = 1 << 60


class Group(NamedTuple):
    """A control group that bounds memory: its bound in bytes, and the file that tells what is used and by what name."""

    limit: int
    stat: Path
    used_as: str

    def used(self) -> int:
        """Bytes that cannot be given back: not those that files are kept in, to be read again faster."""
        lines = (line.split() for line in self.stat.read_text().splitlines())
        return next(int(n) for name, n in lines if name == self.used_as)


def group(membership: str, groups: Path = GROUPS) -> Group | None:
    """The narrowest bound on a process of this `/proc/<pid>/cgroup`; None where there is none."""
    found = list[Group]()
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root, file, used_as = (
            (groups / "memory", "memory.limit_in_bytes", "total_rss") if controllers else (groups, "memory.max", "anon")
        )
        own = root / path.lstrip("/")
        # In a container the group's own folder may be the root, whatever its path is outside.
        for folder in (own, *own.parents) if own.is_dir() else (root,):
            if folder.is_relative_to(root) and (limit := _number(folder / file)) < _NO_LIMIT:
                found.append(Group(limit, folder / "memory.stat", used_as))
    return min(found, default=None)


def _number(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # no such file, or `max`
        return _NO_LIMIT


@contextmanager
def watched(bound: Group | None, end: Callable[[ResourceError], object] = end_at_once) -> Iterator[None]:
    """Ends the process where what is inside is about to use more memory than it may."""
    if bound is None:
        yield
        return
    over = threading.Event()

    def watch(bound: Group) -> None:
        while not over.wait(_LOOK_SECONDS):
            if (used := bound.used()) > FULL * bound.limit:
                end(
                    ResourceError(
                        f"memory is used up, {used >> 20} of the {bound.limit >> 20} MiB that this process may use: "
                        f"give it more or fewer cores (setting cores), {AGAIN}."
                    )
                )
                return

    threading.Thread(target=watch, args=(bound,), name="memory", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def bound() -> Group | None:
    """The bound on this process."""
    try:
        return group(Path("/proc/self/cgroup").read_text())
    except OSError:  # another system than Linux
        return None
