"""The dictionaries of `conf/*.csv` as frames: `conf.concepts` is conf/concepts.csv, typed by what its columns mean."""

import csv
import hashlib
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from lakehouse.errors import ConfigError
from lakehouse.settings import CONF

_INTS = {"id"}
_DOUBLES = {
    "possible_low", "possible_high", "plausible_low", "plausible_high", "scale", "offset", "low", "high", "weight",
}  # fmt: skip
_BOOLEANS = {"log"}


def dictionary_path(name: str) -> Path:
    return CONF / f"{name.removeprefix('conf.')}.csv"


def read_dictionary(name: str) -> list[dict[str, object]]:
    """Rows of a dictionary: ids INT, ranges and factors DOUBLE, flags BOOLEAN, blanks null, the rest text."""
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
    return rows


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


def dictionary_frame(spark: SparkSession, name: str) -> DataFrame:
    """The dictionary as a frame, in file order, with the row's place as INT `position` (1-based)."""
    rows = read_dictionary(name)
    types = [
        f"`{c}` {'INT' if c in _INTS else 'DOUBLE' if c in _DOUBLES else 'BOOLEAN' if c in _BOOLEANS else 'STRING'}"
        for c in rows[0]
    ]
    data = [(i, *row.values()) for i, row in enumerate(rows, 1)]
    return spark.createDataFrame(data, ", ".join(["position INT", *types]))


def dictionary_version(name: str) -> str:
    """A digest of the file's content."""
    return hashlib.sha256(dictionary_path(name).read_bytes()).hexdigest()[:12]
