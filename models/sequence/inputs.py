"""What a network is given: the encoded grid, the statics, the statistics of the reader; normalised by training rows.

`collect` gathers what needs no fitting; `Encoding.fit` learns means and spreads from training rows alone;
`Encoding.encode` makes tensors of any rows. An encoding is plain numbers and stored as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.sequence.events import Events
from models.sequence.grids import Channel, lay
from models.sequence.laid import Laid, Raw
from models.sequence.scale import Scale
from models.sequence.tensors import Batch, Tensors

Rows = NDArray[np.int64] | NDArray[np.bool_]
STATICS = ("age", "male", "height_cm", "weight_kg", "icu_ccu", "icu_csru", "icu_micu", "icu_sicu")
STATISTICS = ("count", "mean", "std", "min", "max", "first", "last", "slope", "hours_since_last", "mean_last_6h")
LAYOUT: dict[str, Any] = {"grid": "hourly", "hours": 48, "steps": 215, "statics": STATICS, "statistics": STATISTICS}


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
        laid: Laid,
        rows: Rows,
        channels: Sequence[Channel],
        columns: Sequence[str],
        layout: Mapping[str, Any] = LAYOUT,
    ) -> Self:
        """Learns from the training `rows` (positions or a mask) of `laid` alone; `columns` names its statistics."""
        statics = laid.statics[rows]
        missing = np.isnan(statics).mean(axis=0)
        return cls(
            {key: list(value) if isinstance(value, tuple) else value for key, value in layout.items()},
            tuple(channels),
            Scale.pooled([c.name for c in channels], laid.measured[rows]),
            Scale.fit(list(layout["statics"]), statics, unskew=False),
            tuple(np.flatnonzero((missing > 0) & (missing < 1)).tolist()),
            Scale.fit(columns, laid.statistics[rows], unskew=True),
        )

    def encode(self, laid: Laid, rows: Rows | None = None) -> Tensors:
        """Tensors of the rows (all without `rows`): 3 C inputs a step - value, log count, log hours since."""
        every = np.arange(len(laid.statics))
        rows = every if rows is None else every[rows]
        steps = steps_of(laid.offsets, rows)
        inputs, channels = laid.told[steps], len(self.channels)
        inputs[:, :channels] = self.values.apply(inputs[:, :channels])
        since = inputs[:, 2 * channels :]
        np.copyto(since, np.float32(self.never), where=np.isnan(since))
        statics = laid.statics[rows]
        absent = np.isnan(statics[:, list(self.flagged)]).astype(np.float32)
        return Tensors(
            torch.from_numpy(inputs),
            torch.from_numpy(laid.gaps[steps]),
            torch.from_numpy(np.append(0, np.cumsum(np.diff(laid.offsets)[rows]))),
            torch.from_numpy(np.concatenate([self.statics.apply(statics), absent], axis=1)),
            torch.from_numpy(self.statistics.apply(laid.statistics[rows])),
            laid.equal,
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


def steps_of(offsets: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions of these stays' steps, stay by stay."""
    lengths = np.diff(offsets)[rows]
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(offsets[:-1][rows] - (ends - lengths), lengths)


@dataclass(frozen=True)
class Encoded:
    """Stays whose batches are encoded as they are read: no more of them are in memory than a batch has."""

    encoding: Encoding
    laid: Laid

    def __len__(self) -> int:
        return len(self.laid.statics)

    def batch(self, rows: Tensor) -> Batch:
        """The stays at these positions, in this order, as `Tensors.batch` gives them."""
        return self.encoding.encode(self.laid, rows.numpy()).batch(torch.arange(len(rows)))

    @property
    def widths(self) -> tuple[int, int, int]:
        return self.encoding.widths

    @property
    def digest(self) -> str:
        return f"{self.laid.digest} {json.dumps(self.encoding.to_dict(), sort_keys=True)}"
