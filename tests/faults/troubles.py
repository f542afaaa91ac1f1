"""What can be wrong with a machine, done to the process that calls it before it is `ehr`: see `tests.faults.verb`.

Linux's own means: capabilities, namespaces, limits. None of them needs root; root, whom modes do not stop, gives that
up.
"""

import ctypes
import fcntl
import os
import resource
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from lakehouse.engines.memory import GROUPS
from lakehouse.io import Lake
from lakehouse.sorting import Sorted

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_SET_FLAGS, _UP = 0x8914, 0x1
_CAPABILITIES_VERSION = 0x20080522
MEBIBYTE = 1 << 20


def held_to_modes() -> None:
    """What modes of files forbid is forbidden, to root as well."""
    header = struct.pack("Ii", _CAPABILITIES_VERSION, 0)
    _check(_LIBC.capset(header, bytes(24)))


def no_network() -> None:
    """No address but the machine's own answers."""
    _check(_LIBC.unshare(_NEW_NET | (0 if os.geteuid() == 0 else _NEW_USER)))
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))


def small_files() -> None:
    """No file may grow beyond 4 kB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def little_memory() -> None:
    """A quarter of a gibibyte more than the process has now, all of it counted."""
    pages = int(open("/proc/self/statm").read().split()[0])  # noqa: PTH123, SIM115
    limit = pages * resource.getpagesize() + 256 * MEBIBYTE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def a_table_too_large() -> None:
    """Whatever a table is made of takes two gibibytes more, of one that the process may use."""
    group = GROUPS / "memory" / f"ehr-test-{os.getpid()}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(1024 * MEBIBYTE))
    (group / "cgroup.procs").write_text(str(os.getpid()))
    _make_staged(_swell)


def _swell(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    kept = []
    for batch in batches:
        for _ in range(200):
            kept.append(b"x" * (10 * MEBIBYTE))
            time.sleep(0.05)
        yield batch


def a_table_that_hangs() -> None:
    """The engine comes to no end with whatever a table is made of."""
    _make_staged(_sleep)


def _sleep(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        time.sleep(600)
        yield batch


def _make_staged(change: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]) -> None:
    """Lets the engine change whatever is staged."""
    sort = Lake.sort

    def changed(lake: Lake, judged: Iterable[DataFrame], *further: Any) -> Sorted:
        return sort(lake, (frame.mapInArrow(change, frame.schema) for frame in judged), *further)

    setattr(Lake, "sort", changed)  # noqa: B010


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
