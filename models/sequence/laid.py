"""What is known of stays before anything is fitted: their grids as a network reads them, statics, statistics."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.sequence.grids import Grid


class Laid(Protocol):
    """What is known of n stays of S steps before anything is fitted, in memory (`Raw`) or on disk (`Spooled`).

    told (S, 3 C): each channel's value (NaN where unknown), log count, log hours since (NaN where never); gaps (S,);
    offsets (n + 1,); statics (n, s) and statistics (n, r), NaN where missing; measured (n, 3, C): of each stay's
    measured steps the number, the mean value and the sum of squares around it. `equal` as in `Grid`.
    """

    @property
    def told(self) -> NDArray[np.float32]: ...
    @property
    def gaps(self) -> NDArray[np.float32]: ...
    @property
    def offsets(self) -> NDArray[np.int64]: ...
    @property
    def statics(self) -> NDArray[np.float64]: ...
    @property
    def statistics(self) -> NDArray[np.float64]: ...
    @property
    def measured(self) -> NDArray[np.float64]: ...
    @property
    def equal(self) -> bool: ...
    @property
    def digest(self) -> str:
        """Of all of it."""
        ...


@dataclass(frozen=True)
class Raw:
    """Stays in memory: the grid, statics (n, s) and statistics (n, r), NaN where missing."""

    grid: Grid
    statics: NDArray[np.float64]
    statistics: NDArray[np.float64]

    @property
    def gaps(self) -> NDArray[np.float32]:
        return self.grid.gaps

    @property
    def offsets(self) -> NDArray[np.int64]:
        return self.grid.offsets

    @property
    def equal(self) -> bool:
        return self.grid.equal

    @cached_property
    def told(self) -> NDArray[np.float32]:
        return np.concatenate([self.grid.values, np.log1p(self.grid.counts), np.log1p(self.grid.since)], axis=1)

    @cached_property
    def measured(self) -> NDArray[np.float64]:
        filled = np.flatnonzero(np.diff(self.offsets))  # stays with a step
        known = self.grid.counts > 0
        values = np.where(known, self.grid.values, 0.0).astype(np.float64)
        found = np.zeros((len(self.statics), 3, values.shape[1]))
        if len(filled):
            starts, stay = self.offsets[filled], np.repeat(np.arange(len(self.statics)), np.diff(self.offsets))
            found[filled, 0] = np.add.reduceat(known, starts, dtype=np.int64)
            found[filled, 1] = np.add.reduceat(values, starts) / np.maximum(found[filled, 0], 1)
            found[filled, 2] = np.add.reduceat(np.where(known, np.square(values - found[stay, 1]), 0.0), starts)
        return found

    @cached_property
    def digest(self) -> str:
        found = hashlib.blake2b(digest_size=16)
        for array in (self.told, self.gaps, self.offsets, self.statics, self.statistics):
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()
