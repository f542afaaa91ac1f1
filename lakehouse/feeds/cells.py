"""Text cells to typed Arrow columns: whole columns at once, cell by cell only where a column does not read whole."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ARROW_TYPES: dict[str, pa.DataType] = {
    "BIGINT": pa.int64(),
    "INT": pa.int32(),
    "SMALLINT": pa.int16(),
    "DOUBLE": pa.float64(),
    "FLOAT": pa.float32(),
    "BOOLEAN": pa.bool_(),
    "STRING": pa.string(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
}
"""Arrow type of each contract type that a raw column may have. Times are published without a zone and read so."""


_PLAUSIBLE = (
    (pa.types.is_integer, r"^-?(0[xX][0-9a-fA-F]+|[0-9]+)$"),
    (pa.types.is_floating, r"^[-+]?[0-9.][0-9.eE+-]*$"),
    (pa.types.is_temporal, r"^\d{4}-\d\d-\d\d"),
)
"""What every cell matches that a cast could read: a column of another type need not be tried cell by cell."""


def parse(text: pa.Array, spark_type: str) -> tuple[pa.Array, pa.Array | None]:
    """Cells of type `spark_type`, and a mask of the cells that hold something else (None: there are none).

    A cell that does not read is null. An empty or blank cell is a null that reads, except in a STRING column, which is
    given as it came. Blanks around a value, a plus sign, `12.0` for a whole number and a midnight time for a date are
    accepted; `nan` and `inf` are not numbers.
    """
    if spark_type == "STRING":
        return text, None
    to_type = ARROW_TYPES[spark_type]
    try:
        parsed = pc.cast(text, to_type)
        if not pa.types.is_floating(to_type) or pc.all(pc.is_finite(parsed)).as_py() is not False:
            return parsed, None
    except pa.ArrowInvalid:
        pass
    tidy = _tidy(text, to_type)
    parsed = _cast_in_halves(_plausible(tidy, to_type), to_type)
    if pa.types.is_floating(to_type):
        parsed = pc.if_else(pc.is_finite(parsed), parsed, pa.scalar(None, to_type))
    unparsed = pc.and_(pc.is_valid(tidy), pc.is_null(parsed))
    return parsed, unparsed if pc.any(unparsed).as_py() else None


def own(numbers: np.ndarray) -> pa.Array:
    """A copy of the numbers in Arrow's own memory, for a batch that leaves a reader.

    An array over numpy's memory is freed under the interpreter's lock, and an engine's workers would wait for one
    another there.
    """
    return pa.concat_arrays([pa.array(numbers), pa.array(numbers[:0])])


def is_of_type(column: str, spark_type: str) -> str:
    """Name of the rule that a cell breaks which holds something else: `value_is_double`."""
    return f"{column}_is_{spark_type.lower()}"


def _tidy(text: pa.Array, to_type: pa.DataType) -> pa.Array:
    """Cells without what may stand around a value; empty ones null."""
    replace = partial(pc.replace_substring_regex, replacement="")
    tidy = pc.utf8_trim_whitespace(text)
    if pa.types.is_integer(to_type):
        tidy = replace(replace(tidy, pattern=r"^\+"), pattern=r"\.0+$")
    elif pa.types.is_floating(to_type):
        tidy = replace(tidy, pattern=r"^\+")
    elif pa.types.is_date(to_type):
        tidy = replace(tidy, pattern=r"[ T]00:00(:00(\.0+)?)?$")
    return pc.if_else(pc.equal(tidy, ""), pa.scalar(None, pa.string()), tidy)


def _plausible(text: pa.Array, to_type: pa.DataType) -> pa.Array:
    """Cells without those of which a look tells that they do not read; these null."""
    for is_of, pattern in _PLAUSIBLE:
        if is_of(to_type):
            return pc.if_else(pc.match_substring_regex(text, pattern), text, pa.scalar(None, pa.string()))
    return text


def _cast_in_halves(text: pa.Array, to_type: pa.DataType) -> pa.Array:
    """Casts what reads and gives null for the rest, halving down to the cells that do not read."""
    try:
        return pc.cast(text, to_type)
    except pa.ArrowInvalid:
        if len(text) == 1:
            return pa.nulls(1, to_type)
        half = len(text) // 2
        return pa.concat_arrays([_cast_in_halves(text[:half], to_type), _cast_in_halves(text[half:], to_type)])
