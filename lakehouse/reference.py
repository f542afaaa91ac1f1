"""The dictionaries of `conf/*.csv` as frames: `conf.concepts` is conf/concepts.csv, typed by what its columns mean."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.errors import ConfigError
from lakehouse.settings import CONF

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_INTS = {"id"}
_DOUBLES = {
    "possible_low", "possible_high", "plausible_low", "plausible_high", "scale", "offset", "low", "high", "weight",
}  # fmt: skip
_BOOLEANS = {"log"}


def dictionary_path(name: str) -> Path:
    return CONF / f"{name.removeprefix('conf.')}.csv"


def read_dictionary(name: str, source: str | None = None) -> list[dict[str, object]]:
    """Rows of a dictionary: ids INT, ranges and factors DOUBLE, flags BOOLEAN, blanks null, the rest text.

    Where `source` is given, a row that speaks of another source is not for it. ConfigError where the file is wrong.
    """
    path = dictionary_path(name)
    if not path.exists():
        raise ConfigError(f"no dictionary {name}: conf/{path.name} does not exist.")
    with path.open(newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        rows = []
        for line in reader:
            try:
                rows.append({column: _typed(column, text) for column, text in zip(header, line, strict=True)})
            except ValueError as error:
                raise ConfigError(f"conf/{path.name} line {reader.line_num}: {error}.") from None
    if not rows:
        raise ConfigError(f"conf/{path.name} holds no row.")
    return [row for row in rows if source is None or row.get("source") in (None, source)]


def _typed(column: str, text: str) -> object:
    if text == "":
        return None
    if column in _INTS:
        return int(text)
    if column in _DOUBLES:
        return float(text)
    if column in _BOOLEANS:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{column} is {text!r}, neither true nor false")
        return text.lower() == "true"
    return text


def dictionary_frame(spark: SparkSession, name: str, source: str | None = None) -> DataFrame:
    """`read_dictionary` as a frame, in file order, with a row's place among them as INT `position` (from 1)."""
    rows = read_dictionary(name, source)
    types = [
        f"`{c}` {'INT' if c in _INTS else 'DOUBLE' if c in _DOUBLES else 'BOOLEAN' if c in _BOOLEANS else 'STRING'}"
        for c in read_dictionary(name)[0]
    ]
    data = [(i, *row.values()) for i, row in enumerate(rows, 1)]
    return spark.createDataFrame(data, ", ".join(["position INT", *types]))


def dictionary_version(name: str, source: str | None = None) -> str:
    """A digest of what `read_dictionary` gives: rows for a new source leave the tables of the others up to date."""
    return hashlib.sha256(json.dumps(read_dictionary(name, source)).encode()).hexdigest()[:12]
