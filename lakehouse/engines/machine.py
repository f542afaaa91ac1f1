"""What is wrong with the machine when a run fails, told from what engine, system or library said of it.

The engines pass an error of the system on as text, each in its own words, wrapped in their own classes. What they have
in common are the system's words, and the chain of causes that leads to them.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from lakehouse.errors import ContractError, LakehouseError, ResourceError

AGAIN = "then run again: what was finished stands, the rest is done anew"


class _Trouble(NamedTuple):
    """Words by which a trouble is known, what it is, and what to do about it."""

    words: str
    what: str
    remedy: str


_TROUBLES = (
    _Trouble(r"No space left on device|Disk quota exceeded", "the disk is full{place}", f"free some space, {AGAIN}"),
    _Trouble(
        r"File too large",
        "files may not grow as large as they must{place}",
        f"raise the limit (ulimit -f), {AGAIN}",
    ),
    _Trouble(
        r"Read-only file system",
        "{path} is on a medium that is read-only",
        "name a folder that can be written (--lake)",
    ),
    _Trouble(
        r"Permission denied|Operation not permitted",
        "{path} may not be read or written by this user",
        f"give the user the right to it, {AGAIN}",
    ),
    _Trouble(r"Too many open files", "too many files are open", f"raise the limit (ulimit -n 4096), {AGAIN}"),
    _Trouble(
        r"OutOfMemoryError|GC overhead limit exceeded",
        "the memory of the JVM engine is used up",
        f"give it more (setting driver_memory), {AGAIN}",
    ),
    _Trouble(
        r"\bMemoryError\b|Cannot allocate memory|ArrowMemoryError|malloc of size|Resources exhausted|"
        r"Failed to allocate|can't start new thread",
        "memory is used up",
        f"free some or use fewer cores (setting cores), {AGAIN}",
    ),
    _Trouble(
        r"Python worker (exited unexpectedly|(failed )?to connect back)|"
        r"Python daemon failed to launch worker|java\.io\.IOException: Broken pipe|"
        r"(EOF|Socket|ClosedChannel|AsynchronousClose)Exception(?=[\s\S]{,900}\.python\.)",
        "a Python process of the engine was ended from outside, most often by the system for want of memory",
        f"free some memory or use fewer cores (setting cores), {AGAIN}",
    ),
    _Trouble(
        r"Py4JNetworkError|Answer from Java side is empty|Connection refused|StatusCode\.UNAVAILABLE|Connection reset",
        "the engine is gone",
        f"look whether the system ended it for want of memory, {AGAIN}",
    ),
)
_PATH = re.compile(r"""(?:^|[\s'"(:`])((?:file:)?/[^\s'"`,;:)]+)""")
_NODE = re.compile(r"^(\S+) failed: ")


def trouble_of(error: BaseException) -> ResourceError | None:
    """The trouble that an error comes from, in one sentence that says what to do; None where it is none of these, or
    is an error that says it already."""
    if isinstance(error, LakehouseError) and not isinstance(error, ContractError):
        return None
    texts = [f"{type(one).__name__}: {one}" for one in _chain(error)]
    for trouble in _TROUBLES:
        for text in texts:
            if found := re.search(trouble.words, text):
                path = _path(text, found.start())
                what = trouble.what.format(path=path or "a folder", place=f" ({path})" if path else "")
                node = next((match[1] for one in _chain(error) if (match := _NODE.match(str(one)))), None)
                return ResourceError(f"{f'{node} failed: ' if node else ''}{what}: {trouble.remedy}.")
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that it was raised from or that were being handled then."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _path(text: str, at: int) -> str | None:
    """The path that stands nearest to the words: in the same line, behind them or before."""
    start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
    line, at = text[start : end if end >= 0 else None], at - start
    paths = sorted(_PATH.finditer(line), key=lambda found: abs(found.start(1) - at))
    return paths[0][1].removeprefix("file:") if paths else None
