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
    """Writes the file anew with what `change` makes of its rows."""
    before = rows(path)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(before[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(change(before))
    path.write_bytes(gzip.compress(text.getvalue().encode()))
