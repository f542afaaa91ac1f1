"""A text file of the raw folder, plain or gzipped, as valid UTF-8 bytes; and what a broken one is called."""

import csv
from codecs import getincrementaldecoder
from pathlib import Path

import pyarrow as pa

from lakehouse.errors import RawDataError

READ_BYTES = 6 << 20
"""Bytes that a parser may ask for at once."""
_KEPT_BYTES = 1 << 20
MOST_EXPANSION = 100
"""Times its own size that a gzipped file may unpack to. Published tables reach 15; a bomb, 1,000."""
_SMALL_BYTES = 16 << 20
"""What any gzipped file may unpack to, however small it is."""


class Unpacked:
    """Bytes of a raw file as a stream, unpacked where it is gzipped. OSError where it unpacks to more than is sane:
    a few hundred kilobytes must not fill a disk."""

    def __init__(self, path: str, gzipped: bool) -> None:
        self._stream = pa.input_stream(path, compression="gzip" if gzipped else None)
        self._left = max(_SMALL_BYTES, MOST_EXPANSION * Path(path).stat().st_size) if gzipped else None

    def read(self, size: int) -> bytes:
        chunk: bytes = self._stream.read(size)
        if self._left is not None:
            self._left -= len(chunk)
            if self._left < 0:
                raise OSError(f"unpacks to more than {MOST_EXPANSION} times its size")
        return chunk

    def close(self) -> None:
        self._stream.close()


class TextFile:
    """Bytes of a file as valid UTF-8: an invalid byte is replaced, since one unit sign must not stop a table."""

    def __init__(self, path: str) -> None:
        self._stream = Unpacked(path, gzipped=path.lower().endswith(".gz"))
        self._decoder = getincrementaldecoder("utf-8")(errors="replace")
        self._ahead = b""
        self._tail = b""
        self.closed = False

    def read(self, size: int) -> bytes:
        if self._ahead:
            text, self._ahead = self._ahead[:size], self._ahead[size:]
            return text
        text, chunk = b"", b"-"
        while chunk and not text:
            # A replaced byte grows to three, and Arrow takes no more bytes than it asked for.
            chunk = self._stream.read(max(size // 3, 1))
            held = self._decoder.getstate()[0]
            text = chunk if not held and chunk.isascii() else self._decoder.decode(chunk, final=not chunk).encode()
        self._tail = (self._tail + text)[-_KEPT_BYTES:] if len(text) < _KEPT_BYTES else text[-_KEPT_BYTES:]
        return text

    def header(self) -> list[str]:
        """The first line's fields; reading goes on with the line after it."""
        first = b""
        while b"\n" not in first and len(first) < _KEPT_BYTES and (chunk := self.read(_KEPT_BYTES)):
            first += chunk
        line, _, self._ahead = first.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
        return next(csv.reader([line.decode().rstrip("\r")]), [])

    def at_end(self) -> bool:
        self._ahead = self._ahead or self.read(READ_BYTES)
        return not self._ahead

    def ends_with(self, end: bytes) -> bool:
        """Whether what was read last ends so (looks back over the last MiB)."""
        return self._tail.endswith(end)

    def close(self) -> None:
        self.closed = True
        self._stream.close()


class readable:  # noqa: N801 - reads as a statement
    """Turns what a broken file makes Arrow raise into one sentence that names the file."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, pa.ArrowInvalid | OSError | csv.Error):
            return
        reason = " ".join(str(error).split())
        if "incorrect header check" in reason:
            said = "is not a gzip file, though its name says so"
        elif "Truncated compressed stream" in reason or "inflate" in reason:
            said = f"is a truncated or damaged gzip file ({reason})"
        elif "unpacks to more" in reason:
            said = f"{reason}, as no published file does"
        elif "new-line character" in reason:
            said = "has a carriage return within its header: lines must end with LF or CRLF"
        elif "straddling" in reason:
            said = "has a row of more than 2 MB: a quotation mark is not closed"
        else:
            said = f"cannot be read ({reason})"
        raise RawDataError(f"{self.name} {said}.") from error
