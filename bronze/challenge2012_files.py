"""Challenge records as they lie in files: one text file each, or members of a tarball.

A tarball is read as a stream and no member is ever put on disk, so a member's path can do no harm. Nor can its size:
records, headers of members and the whole are bounded.
"""

import csv
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Self

from lakehouse.errors import RawDataError
from lakehouse.feeds.headers import column_names, from_name
from lakehouse.feeds.textfile import Unpacked, readable

HEADER = "Time,Parameter,Value"
LINE = ("time", "parameter", "value")
"""Columns of a record as it is published."""
MOST_RECORD_BYTES = 1 << 20
"""Bytes of the largest record that is read: 48 hours of one stay are about ten thousand."""
_HEADER_LINE = HEADER.lower().encode()
_MOST_HEADER_BYTES = 1 << 16
_HEADER_TYPES = (b"x", b"g", b"X", b"L", b"K")
_MOST_DIGITS = 18  # of a record's id, so that it fits a BIGINT
_RECORD_FILE = re.compile(r"(?:^|/)\d+\.txt\Z", re.IGNORECASE)


class Record(NamedTuple):
    """One record: `body` is its lines without the header, whose names are `columns`; `file` the tarball or text file
    that holds it."""

    file: str
    record_set: str
    record_id: int
    columns: tuple[str, ...]
    body: bytes


class _Member(tarfile.TarInfo):
    """A tarball's member; a path or a header that would fill memory is refused before it is read."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _HEADER_TYPES and member.size > _MOST_HEADER_BYTES:
            raise tarfile.ReadError(f"the header of a member has {member.size:,} bytes")
        return member


def records_of(path: str, name: str, regex: str) -> Iterator[Record]:
    """Records of a tarball or of one text file, in its order; `regex` tells the record set from the file's path.

    RawDataError, as late as at the end: the file is cut short or not of its format.
    """
    record_set = from_name(name, "record_set", regex)
    if name.lower().endswith(".txt"):
        with readable(name), Path(path).open("rb") as text:
            content = text.read(MOST_RECORD_BYTES + 1)
        yield _record(name, name, record_set, content)
        return
    seen: set[int] = set()
    for member, content in _members(path, name):
        record = _record(name, member, record_set, content)
        if record.record_id in seen:
            raise RawDataError(f"{name} holds {PurePosixPath(member).name} twice.")
        seen.add(record.record_id)
        yield record
    if not seen:
        raise RawDataError(f"{name} holds no record: no member is called <RecordID>.txt.")


def _members(path: str, name: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the record files in a tarball, in its order; other members are passed over."""
    with readable(name):
        try:
            stream: Any = Unpacked(path, gzipped=not path.lower().endswith(".tar"))
            archive: Any
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as archive:
                while member := archive.next():
                    archive.members.clear()  # it remembers them all, which a stream has no use for
                    is_record = member.isfile() and _RECORD_FILE.search(member.name)
                    if is_record and (content := archive.extractfile(member)):
                        yield member.name, content.read(MOST_RECORD_BYTES + 1)
                _read_out(archive)
        except tarfile.TarError as error:
            raise RawDataError(f"{name} is not a whole tarball ({error}).") from error


def _read_out(archive: Any) -> None:
    """Reads what follows the last member, so that the check sum of the packing is verified: it must be padding."""
    while rest := archive.fileobj.read(1 << 20):
        if rest.strip(b"\0"):
            raise tarfile.ReadError("something follows its end")


def _record(file: str, member: str, record_set: str, content: bytes) -> Record:
    stem = PurePosixPath(member).stem
    printable = "".join(character if character.isprintable() else "?" for character in member)
    where = member if member == file else f"{printable} in {file}"
    if len(stem) > _MOST_DIGITS:
        raise RawDataError(f"{where} is called after a record id of more than {_MOST_DIGITS} digits.")
    if len(content) > MOST_RECORD_BYTES:
        raise RawDataError(f"{where} has more than {MOST_RECORD_BYTES >> 20} MiB, as no record has.")
    if not content.isascii():
        content = content.decode("utf-8", errors="replace").encode()
    if b"\r" in content:  # every line end that the parser knows must be one that is counted
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    first, _, body = content.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    columns = LINE if first.strip().lower() == _HEADER_LINE else _columns(first.decode().strip(), where)
    if body and not body.endswith(b"\n"):
        body += b"\n"
    return Record(file, record_set, int(stem), columns, body)


def _columns(header: str, where: str) -> tuple[str, ...]:
    """Columns of a record with another header than the published one: it may have more of them."""
    with readable(where):
        names = column_names(next(csv.reader([header]), []), where)
    if missing := [column for column in LINE if column not in names]:
        raise RawDataError(f"{where} does not begin with the header {HEADER}: it lacks {', '.join(missing)}.")
    return tuple(names)
