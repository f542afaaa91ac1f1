"""Files as they appear below a folder, told by Linux itself: what is written shows when a process is to be killed."""

import ctypes
import os
import select
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

CREATED, MOVED_HERE, IS_FOLDER, OVERFLOW = 0x100, 0x80, 0x40000000, 0x4000
_EVENT = struct.Struct("iIII")
_LIBC = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Hears of each file that is made in, or moved into, a folder or one below it (inotify)."""

    def __init__(self, root: Path) -> None:
        self._fd = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        self._folders: dict[int, Path] = {}
        self._known: set[Path] = set()
        self._add(root)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def _add(self, folder: Path) -> list[Path]:
        """Watches a folder and those below it; the files that were in it before the watch was."""
        number = _LIBC.inotify_add_watch(self._fd, os.fsencode(folder), CREATED | MOVED_HERE)
        if number < 0:  # deleted meanwhile
            return []
        self._folders[number] = folder
        found: list[Path] = []
        try:
            entries = list(os.scandir(folder))
        except OSError:
            return found
        for entry in entries:
            found += self._add(Path(entry.path)) if entry.is_dir(follow_symlinks=False) else [Path(entry.path)]
        return found

    def appeared(self, seconds: float) -> list[Path]:
        """Files that appeared since this was last called, in order; waits up to so long for the first."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return []
        told, found = os.read(self._fd, 1 << 16), list[Path]()
        while told:
            number, mask, _, length = _EVENT.unpack_from(told)
            name = told[_EVENT.size : _EVENT.size + length].rstrip(b"\0")
            told = told[_EVENT.size + length :]
            if mask & OVERFLOW:
                raise OSError("files appear faster than they are looked at")
            if (folder := self._folders.get(number)) is None or not name:
                continue
            path = folder / os.fsdecode(name)
            found += self._add(path) if mask & IS_FOLDER else [path]
        return found
