"""Standardisation of columns, learned from training rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LIMIT = 4.0  # standard deviations beyond which a value is capped
SKEWED = 2.0  # a statistic of greater skew, nowhere negative, is read by its logarithm
FEWEST = 20  # training rows that must have a value for it to be told


@dataclass(frozen=True)
class Scale:
    """Standardisation of columns: (log1p of the `logged` ones - mean) / spread, capped, zero where missing."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    logged: tuple[bool, ...]

    @classmethod
    def fit(cls, names: Sequence[str], values: NDArray[Any], unskew: bool) -> Self:
        """Learned from the training rows `values` (n, p). Columns hardly varying or known are told as 0."""
        known = np.isfinite(values)
        count = known.sum(axis=0)
        logged = np.zeros(len(names), dtype=bool)
        if unskew and len(values):
            skew = pd.DataFrame(values).skew().fillna(0.0).to_numpy()
            logged = (skew > SKEWED) & (np.where(known, values, 0.0).min(axis=0) >= 0)
        values = _logged(values, logged)
        filled = np.where(known, values, 0.0)
        mean = filled.sum(axis=0) / np.maximum(count, 1)
        squares = np.where(known, np.square(filled - mean), 0.0).sum(axis=0)
        return cls._of(names, count, mean, squares, logged)

    @classmethod
    def pooled(cls, names: Sequence[str], measured: NDArray[np.float64]) -> Self:
        """Learned from the training stays' `measured` (n, 3, p): see `Laid` (Chan et al. 1979)."""
        counts, means, squares = measured[:, 0], measured[:, 1], measured[:, 2]
        count = counts.sum(axis=0)
        mean = (counts * means).sum(axis=0) / np.maximum(count, 1)
        around = (squares + counts * np.square(means - mean)).sum(axis=0)
        return cls._of(names, count, mean, around, np.zeros(len(names), dtype=bool))

    @classmethod
    def _of(
        cls, names: Sequence[str], count: NDArray[Any], mean: NDArray[Any], squares: NDArray[Any], logged: NDArray[Any]
    ) -> Self:
        spread = np.sqrt(squares / np.maximum(count, 1))
        spread = np.where((count >= FEWEST) & (spread > 1e-6 * np.maximum(1.0, np.abs(mean))), spread, np.inf)
        return cls(tuple(names), tuple(mean.tolist()), tuple(spread.tolist()), tuple(logged.tolist()))

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        mean, spread = np.array(self.mean, values.dtype), np.array(self.spread, values.dtype)
        scaled = _logged(values, np.array(self.logged, dtype=bool)) - mean
        scaled /= spread
        np.clip(scaled, -LIMIT, LIMIT, out=scaled)
        np.copyto(scaled, 0.0, where=np.isnan(scaled))
        return scaled.astype(np.float32, copy=False)


def _logged(values: NDArray[Any], logged: NDArray[np.bool_]) -> NDArray[Any]:
    if not logged.any():
        return values
    values = values.copy()
    values[:, logged] = np.log1p(np.maximum(values[:, logged], 0.0))
    return values
