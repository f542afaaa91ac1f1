"""Headers of raw files: names of columns, what a header lacks, and what a file's own name tells."""

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from lakehouse.errors import RawDataError
from lakehouse.feeds.textfile import READ_BYTES, TextFile, readable

MOST_COLUMNS = 10_000

Columns = Sequence[tuple[str, str]]
"""Name and contract type of columns."""


def normalise(name: str) -> str:
    """A header's name as a column name: `In-hospital_death` is `in_hospital_death`, `RecordID` is `record_id`."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip()).lower())


def header(path: str | Path, name: str) -> list[str]:
    """Column names of a CSV file, normalised; RawDataError where it has none or is not readable."""
    with readable(name), closing(TextFile(str(path))) as text:
        return column_names(text.header(), name)


def column_names(fields: list[str], name: str) -> list[str]:
    """Names of a header's fields, normalised; RawDataError where there are none or too many, or one comes twice."""
    names = [normalise(field) for field in fields]
    if not any(names):
        raise RawDataError(f"{name} has no header: its first line is empty.")
    if len(names) > MOST_COLUMNS:
        raise RawDataError(f"{name} names {len(names):,} columns in its header, and at most {MOST_COLUMNS:,} are read.")
    if twice := sorted(column for column, times in Counter(names).items() if times > 1):
        raise RawDataError(f"{name} names the column {', '.join(twice)} twice in its header.")
    return names


def check_header(path: str | Path, name: str, table: str, columns: Columns, absent_ok: Sequence[str] = ()) -> None:
    """RawDataError that names the file, the table and each contract column that the file's header lacks."""
    found = header(path, name)
    if missing := [column for column, _ in columns if column not in found and column not in absent_ok]:
        lacks = f"lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}, which {table} needs"
        raise RawDataError(f"{name} {lacks}{_why(path)}.")


def _why(path: str | Path) -> str:
    """What may have happened to a header of which nothing is known: another encoding, another separator."""
    with closing(TextFile(str(path))) as text:
        first = text.read(READ_BYTES)
    if b"\0" in first[:1000]:
        return ": it holds NUL bytes and is not UTF-8 text"
    line = first.partition(b"\n")[0]
    if b"," not in line and (other := next((c for c in (";", "\t", "|") if c.encode() in line), None)):
        return f": its cells are separated by {'tabs' if other == chr(9) else other} and not by commas"
    return ""


def from_name(name: str, column: str, regex: str) -> str:
    """What the file's name tells of a column, in lower case; RawDataError where it does not."""
    found = re.search(regex, name, re.IGNORECASE)
    if not found:
        raise RawDataError(f"{name} does not tell its {column}: its name does not match {regex}.")
    return found[1].lower()
