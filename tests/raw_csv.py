"""A raw CSV file as a list of rows, and changes to it."""

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path

Rows = list[dict[str, str]]


def rows(path: Path) -> Rows:
    """Its data rows, every cell as text."""
    return list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))


def edit(path: Path, change: Callable[[Rows], Rows]) -> None:
    """Writes the file anew with what `change` makes of its rows; the first of them tells the columns."""
    before = rows(path)
    names = list(before[0])
    after = change(before)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(after[0]) if after else names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(after)
    path.write_bytes(gzip.compress(text.getvalue().encode()))
