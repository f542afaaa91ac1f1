"""Files over HTTP: resumed where they broke off, tried again with longer waits, named only once they are verified."""

import gzip
import hashlib
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import httpx
from rich.progress import Progress, TaskID

from lakehouse.errors import RawDataError

WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds between tries. Given up is what brought nothing new once more than there are waits, in a row."""
_BLOCK = 1 << 20
T = TypeVar("T")


class TransientError(Exception):
    """An answer that a later try may better."""


@dataclass(frozen=True)
class Transfer:
    """Fetches with one client; `remedy` says what a person can do where the site refuses."""

    client: httpx.Client
    progress: Progress
    note: Callable[[str], None]
    remedy: str

    def text(self, url: str) -> str | None:
        """A small text; None where the site has none. RawDataError where it cannot be had."""

        def get() -> str | None:
            response = self.client.get(url)
            if response.status_code == httpx.codes.NOT_FOUND:
                return None
            self._check(response)
            return response.text

        return self._persist(url, get)

    def file(self, url: str, path: Path, digest: str, task: TaskID) -> None:
        """`url` as `path`, by way of `<path>.part`, on which a later call goes on.

        A wrong digest throws all of it away and fetches once more; RawDataError with both digests where that is wrong
        too.
        """
        part = path.with_name(f"{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        for last in (False, True):
            self._persist(url, lambda: self._stream(url, part, task), lambda: _size(part))
            got = self.sha256(part, task)
            if got == digest:
                part.replace(path)
                return
            part.unlink()
            if not last:
                self.note(f"{url} arrived with SHA-256 {got}, not {digest}: once more from the start.")
        raise RawDataError(f"{url} arrived twice with a wrong checksum: SHA-256 is {got}, the release says {digest}.")

    def sha256(self, path: Path, task: TaskID, unpack: bool = False) -> str | None:
        """Digest of the file's bytes, or of what they unpack to; None where gzip cannot unpack them."""
        self.progress.update(task, completed=0, total=None if unpack else _size(path))
        digest = hashlib.sha256()
        try:
            with gzip.open(path) if unpack else path.open("rb") as file:
                while block := cast(BinaryIO, file).read(_BLOCK):
                    digest.update(block)
                    self.progress.advance(task, len(block))
        except (gzip.BadGzipFile, EOFError, zlib.error):
            return None
        return digest.hexdigest()

    def _stream(self, url: str, part: Path, task: TaskID) -> None:
        """One request for what `part` lacks; for the whole file where the site does not resume."""
        have = _size(part)
        with self.client.stream("GET", url, headers={"Range": f"bytes={have}-"} if have else {}) as response:
            if have and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # Nothing follows what is there: its digest tells whether that is the file.
            self._check(response)
            resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
            if resumed and not response.headers.get("content-range", "").startswith(f"bytes {have}-"):
                part.unlink(missing_ok=True)
                raise TransientError("the site answered with another range than it was asked for")
            start, length = have if resumed else 0, response.headers.get("content-length")
            self.progress.update(task, completed=start, total=start + int(length) if length else None)
            with part.open("ab" if resumed else "wb") as file:
                for block in response.iter_raw():
                    file.write(block)
                    self.progress.advance(task, len(block))

    def _persist(self, url: str, action: Callable[[], T], size: Callable[[], int] = lambda: 0) -> T:
        """The action's result; a failed try counts only where it left `size` no larger than ever before."""
        most, failures = size(), 0
        while True:
            try:
                return action()
            except (TransientError, httpx.RequestError) as error:
                why = str(error) or type(error).__name__
                failures = 1 if size() > most else failures + 1
                most = max(most, size())
                if failures > len(WAITS):
                    raise RawDataError(_given_up(url, error, why)) from error
                self.note(f"{url}: {why}; trying again in {WAITS[failures - 1]:g} s")
                time.sleep(WAITS[failures - 1])

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == httpx.codes.TOO_MANY_REQUESTS or status >= 500:
            raise TransientError(f"the site answers {status}")
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise RawDataError(f"{response.url} is refused ({status}): {self.remedy}.")
        if status not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            raise RawDataError(f"{response.url} cannot be had: the site answers {status}.")


def _given_up(url: str, error: Exception, why: str) -> str:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return f"there is no connection to {httpx.URL(url).host} ({why}): check network and proxy, then run this again."
    return f"{url} could not be fetched ({why}): run this again, and it goes on where it broke off."


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
