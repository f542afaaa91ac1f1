"""Ragged event sequences of many stays as flat arrays: what the gold sequences are in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

COLUMNS = ("minutes", "concepts", "values")  # of the gold sequences, and of a feature frame that carries them


@dataclass(frozen=True)
class Events:
    """n stays in order; stay i's events are [offsets[i], offsets[i + 1]) of the flat arrays, by minute.

    `minutes` since the stay began, `concepts` ids of the dictionary, `values` in the concept's unit.
    """

    offsets: NDArray[np.int64]
    minutes: NDArray[np.int32]
    concepts: NDArray[np.int32]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def stays(self) -> NDArray[np.int64]:
        """The stay, 0 to n - 1, of each event."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        """These stays, in this order; `rows` are positions or a mask."""
        rows = np.arange(len(self))[rows]
        lengths = np.diff(self.offsets)[rows]
        offsets = np.append(0, np.cumsum(lengths))
        index = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths)
        return type(self)(offsets, self.minutes[index], self.concepts[index], self.values[index])

    @classmethod
    def read(cls, table: pa.Table | pd.DataFrame) -> Self:
        """The columns minutes, concepts and values (lists, equally long in a row) of a table of one row a stay.

        Raises ValueError for lists of unequal length and for minutes that do not ascend.
        """
        if isinstance(table, pd.DataFrame):
            table = pa.Table.from_pandas(table[list(COLUMNS)], preserve_index=False)
        columns = [table[name].combine_chunks() for name in COLUMNS]
        kinds = (pa.int32(), pa.int32(), pa.float64())
        lists = [column.cast(pa.list_(kind)) for column, kind in zip(columns, kinds, strict=True)]
        lengths = [one.value_lengths().fill_null(0).to_numpy(zero_copy_only=False) for one in lists]
        if not all(np.array_equal(lengths[0], other) for other in lengths[1:]):
            raise ValueError("minutes, concepts and values of a stay must be equally long")
        flat = [one.flatten().to_numpy(zero_copy_only=False) for one in lists]
        events = cls(np.append(0, np.cumsum(lengths[0], dtype=np.int64)), *flat)
        if np.any((np.diff(events.minutes) < 0) & (np.diff(events.stays) == 0)):
            raise ValueError("the minutes of a stay must ascend")
        return events


def attach(features: pd.DataFrame, sequences: pa.Table) -> pd.DataFrame:
    """The features (index: stays) with the columns minutes, concepts and values of the gold sequences beside them.

    The lists stay in Arrow's memory. Raises KeyError, naming one, where stays have no sequence.
    """
    rows = pd.Index(sequences["stay_id"].to_pandas()).get_indexer(features.index)
    if (rows < 0).any():
        raise KeyError(f"{int((rows < 0).sum())} stays have no sequence, {features.index[rows < 0][0]} for one")
    taken = sequences.select(list(COLUMNS)).take(rows)
    lists = {
        name: pd.Series(taken[name].combine_chunks(), index=features.index, dtype=pd.ArrowDtype(taken[name].type))
        for name in COLUMNS
    }
    return pd.concat([features, pd.DataFrame(lists)], axis=1)
