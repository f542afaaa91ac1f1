"""A raw file that is to be mutated: its text, its rows, its packing, and how many rows it gives by a count of its own.

Nothing here uses the project's readers: what they make of a file is judged by another reading of it.
"""

import csv
import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

Rows = list[list[str]]

_BOM = b"\xef\xbb\xbf"
_FIELD = re.compile(rb'"[^"]*(?:""[^"]*)*(?:"[^,\r\n]*|\Z)|[^",\r\n][^,\r\n]*|', re.DOTALL)
_END = re.compile(rb"\r\n|\n|\r")
_RECORD = re.compile(r"(?:^|/)\d+\.txt$")


@dataclass
class Victim:
    """A CSV file or a tarball of records below `raw`. Of a tarball, the text is that of one record, drawn by `rng`."""

    raw: Path
    name: str
    table: str
    absent_ok: Sequence[str]
    rng: Random

    def __post_init__(self) -> None:
        self.is_tar = self.name.endswith((".tar.gz", ".tar"))
        self._members = _read_tar(self.path.read_bytes()) if self.is_tar else []
        records = [i for i, (member, _) in enumerate(self._members) if _RECORD.search(member.name)]
        self._which = self.rng.choice(records) if self.is_tar else 0

    @property
    def path(self) -> Path:
        return self.raw / self.name

    @property
    def is_gzipped(self) -> bool:
        return self.name.endswith(".gz")

    def text(self) -> bytes:
        if self.is_tar:
            return self._members[self._which][1]
        content = self.path.read_bytes()
        return gzip.decompress(content) if self.is_gzipped else content

    def write_text(self, text: bytes) -> None:
        if self.is_tar:
            member, _ = self._members[self._which]
            self._members[self._which] = (member, text)
            self.write_members(self._members)
        else:
            self.write_bytes(packed(text) if self.is_gzipped else text)

    def rows(self) -> Rows:
        """The header, then the data rows."""
        return list(csv.reader(io.StringIO(self.text().decode(), newline="")))

    def write_rows(self, rows: Rows, delimiter: str = ",", line_end: str = "\n") -> None:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=delimiter, lineterminator=line_end).writerows(rows)
        self.write_text(text.getvalue().encode(errors="surrogateescape"))

    def members(self) -> list[tuple[tarfile.TarInfo, bytes]]:
        return list(self._members)

    def write_members(self, members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> None:
        text = io.BytesIO()
        with tarfile.open(fileobj=text, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for member, content in members:
                if member.isfile():
                    member.size = len(content)
                archive.addfile(member, io.BytesIO(content) if member.isfile() else None)
        self.write_bytes(packed(text.getvalue()))

    def write_bytes(self, content: bytes) -> None:
        self.path.unlink(missing_ok=True)  # it may be a hard link, whose other name must keep its bytes
        self.path.write_bytes(content)


def packed(content: bytes, level: int = 1) -> bytes:
    return gzip.compress(content, level, mtime=0)


def count_rows(path: Path) -> int | None:
    """Data rows of a CSV file or of a tarball's records; None where the file is not whole by Python's own reading."""
    if not path.is_file():
        return 0
    content = path.read_bytes()
    try:
        if path.name.endswith(".tar.gz"):
            members = _read_tar(content)
            return sum(_lines(text) for member, text in members if _RECORD.search(member.name) and member.isfile())
        text = gzip.decompress(content) if path.name.endswith(".gz") else content
    except (OSError, EOFError, zlib.error, tarfile.TarError):
        return None
    return _csv_rows(text.removeprefix(_BOM).partition(b"\n")[2])


def _read_tar(content: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as archive:
        files = ((member, archive.extractfile(member) if member.isfile() else None) for member in archive)
        return [(member, file.read() if file else b"") for member, file in files]


def _lines(record: bytes) -> int:
    return sum(bool(line.strip()) for line in _END.split(record)[1:])


def _csv_rows(body: bytes) -> int:
    """Rows as RFC 4180 has them, any line end, empty lines apart; a quotation mark inside a cell is a character."""
    rows, at = 0, 0
    while at < len(body):
        if end := _END.match(body, at):
            at = end.end()
            continue
        rows += 1
        while True:
            field = _FIELD.match(body, at)
            assert field is not None
            at = field.end()
            if body[at : at + 1] != b",":
                break
            at += 1
        if end := _END.match(body, at):
            at = end.end()
    return rows
