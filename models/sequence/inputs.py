"""What a network is given: the encoded grid, the statics, the statistics of the reader; normalised by training rows.

`collect` gathers what needs no fitting, once; `Encoding.fit` learns means and spreads from training rows alone;
`Encoding.encode` makes tensors of any rows. An encoding is plain numbers and stored as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from models.sequence.events import Events
from models.sequence.grids import Channel, Grid, lay
from models.sequence.tensors import Tensors

Rows = NDArray[np.int64] | NDArray[np.bool_]
LIMIT = 4.0  # standard deviations beyond which a value is capped
SKEWED = 2.0  # a statistic of greater skew, nowhere negative, is read by its logarithm
FEWEST = 20  # training rows that must have a value for it to be told
STATICS = ("age", "male", "height_cm", "weight_kg", "icu_ccu", "icu_csru", "icu_micu", "icu_sicu")
STATISTICS = ("count", "mean", "std", "min", "max", "first", "last", "slope", "hours_since_last", "mean_last_6h")
LAYOUT: dict[str, Any] = {"grid": "hourly", "hours": 48, "steps": 215, "statics": STATICS, "statistics": STATISTICS}


@dataclass(frozen=True)
class Raw:
    """What is known of n stays before fitting: the grid, statics (n, s) and statistics (n, r), NaN where missing."""

    grid: Grid
    statics: NDArray[np.float64]
    statistics: NDArray[np.float64]


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
        spread = np.sqrt(np.where(known, np.square(filled - mean), 0.0).sum(axis=0) / np.maximum(count, 1))
        spread = np.where((count >= FEWEST) & (spread > 1e-6 * np.maximum(1.0, np.abs(mean))), spread, np.inf)
        return cls(tuple(names), tuple(mean.tolist()), tuple(spread.tolist()), tuple(logged.tolist()))

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        mean, spread = np.array(self.mean, values.dtype), np.array(self.spread, values.dtype)
        scaled = (_logged(values, np.array(self.logged, dtype=bool)) - mean) / spread
        return np.nan_to_num(np.clip(scaled, -LIMIT, LIMIT), nan=0.0).astype(np.float32)


def _logged(values: NDArray[Any], logged: NDArray[np.bool_]) -> NDArray[Any]:
    if not logged.any():
        return values
    values = values.copy()
    values[:, logged] = np.log1p(np.maximum(values[:, logged], 0.0))
    return values


def collect(
    features: pd.DataFrame, events: Events, channels: Sequence[Channel], layout: Mapping[str, Any] = LAYOUT
) -> Raw:
    """Lays the events of the rows of `features` (same stays, same order) and picks the layout's columns of it.

    Raises ValueError when the two differ in length, KeyError for a static that the features lack.
    """
    if len(features) != len(events):
        raise ValueError(f"{len(features)} rows of features, {len(events)} sequences")
    grid = lay(events, channels, layout["grid"], layout["hours"], layout["steps"])
    columns = statistics_of(features.columns, channels, layout["statistics"])
    return Raw(
        grid,
        features[list(layout["statics"])].to_numpy(np.float64, na_value=np.nan),
        features[columns].to_numpy(np.float64, na_value=np.nan),
    )


def statistics_of(columns: Sequence[str] | pd.Index, channels: Sequence[Channel], suffixes: Sequence[str]) -> list[str]:
    """The names CHANNEL_SUFFIX among the columns, by channel."""
    present = set(columns)
    return [name for c in channels for s in suffixes if (name := f"{c.name}_{s}") in present]


@dataclass(frozen=True)
class Encoding:
    """A fitted encoding of stays as tensors."""

    layout: dict[str, Any]
    channels: tuple[Channel, ...]
    values: Scale
    statics: Scale
    flagged: tuple[int, ...]  # statics whose absence is told
    statistics: Scale

    @classmethod
    def fit(
        cls,
        raw: Raw,
        rows: Rows,
        channels: Sequence[Channel],
        columns: Sequence[str],
        layout: Mapping[str, Any] = LAYOUT,
    ) -> Self:
        """Learns from the training `rows` (positions or a mask) of `raw` alone; `columns` names its statistics."""
        rows = np.arange(len(raw.statics))[rows]
        steps = steps_of(raw.grid, rows)
        measured = np.where(raw.grid.counts[steps] > 0, raw.grid.values[steps], np.nan).astype(np.float64)
        missing = np.isnan(raw.statics[rows]).mean(axis=0)
        return cls(
            {key: list(value) if isinstance(value, tuple) else value for key, value in layout.items()},
            tuple(channels),
            Scale.fit([c.name for c in channels], measured, unskew=False),
            Scale.fit(list(layout["statics"]), raw.statics[rows], unskew=False),
            tuple(np.flatnonzero((missing > 0) & (missing < 1)).tolist()),
            Scale.fit(columns, raw.statistics[rows], unskew=True),
        )

    def encode(self, raw: Raw, rows: Rows | None = None) -> Tensors:
        """Tensors of the rows (all without `rows`): 3 C inputs a step - value, log count, log hours since."""
        every = np.arange(len(raw.statics))
        rows = every if rows is None else every[rows]
        grid, steps = raw.grid, steps_of(raw.grid, rows)
        since = np.log1p(grid.since[steps])
        since[np.isnan(since)] = self.never
        inputs = [self.values.apply(grid.values[steps]), np.log1p(grid.counts[steps]), since]
        absent = np.isnan(raw.statics[rows][:, list(self.flagged)]).astype(np.float32)
        return Tensors(
            torch.from_numpy(np.concatenate(inputs, axis=1)),
            torch.from_numpy(grid.gaps[steps]),
            torch.from_numpy(np.append(0, np.cumsum(np.diff(grid.offsets)[rows]))),
            torch.from_numpy(np.concatenate([self.statics.apply(raw.statics[rows]), absent], axis=1)),
            torch.from_numpy(self.statistics.apply(raw.statistics[rows])),
            grid.equal,
        )

    @property
    def widths(self) -> tuple[int, int, int]:
        """Inputs a step, statics and statistics."""
        return 3 * len(self.channels), len(self.statics.names) + len(self.flagged), len(self.statistics.names)

    @property
    def never(self) -> float:
        """The input that stands for the hours since a measurement that never was."""
        return float(np.float32(np.log1p(self.layout["hours"])))

    def to_dict(self) -> dict[str, Any]:
        """A plain form for JSON (an infinite spread is null)."""
        plain = asdict(self)
        for name in ("values", "statics", "statistics"):
            plain[name]["spread"] = [None if np.isinf(x) else x for x in plain[name]["spread"]]
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        def scale(one: Mapping[str, Any]) -> Scale:
            spread = tuple(np.inf if x is None else x for x in one["spread"])
            return Scale(tuple(one["names"]), tuple(one["mean"]), spread, tuple(one["logged"]))

        return cls(
            dict(plain["layout"]),
            tuple(Channel(**channel) for channel in plain["channels"]),
            scale(plain["values"]),
            scale(plain["statics"]),
            tuple(plain["flagged"]),
            scale(plain["statistics"]),
        )


def steps_of(grid: Grid, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions of these stays' steps, stay by stay."""
    lengths = np.diff(grid.offsets)[rows]
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(grid.offsets[:-1][rows] - (ends - lengths), lengths)
