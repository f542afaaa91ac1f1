"""Events laid on steps: each stay's channels by the hour, or at each distinct minute that something was measured.

Everything here is known without fitting: values are in the channel's unit (its logarithm where the dictionary says so).
What is fitted on training rows is `inputs.Encoding`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.sequence.events import Events

KINDS = ("hourly", "events")
SMALLEST = 0.01  # a logarithm's least argument: below any dictionary concept's resolution
FIRST_GAP = 1.0  # hours held before the first step, which has none before it


@dataclass(frozen=True)
class Channel:
    """A concept as an input: its id in the dictionary, whether its logarithm is told, how an hour is summed up."""

    name: str
    id: int
    log: bool = False
    aggregate: str = "mean"  # mean, sum or max

    @classmethod
    def of(cls, dictionary: Sequence[Mapping[str, Any]]) -> tuple[Channel, ...]:
        """The channels of rows of the dictionary (keys concept, id, log, aggregate)."""
        return tuple(
            cls(str(row["concept"]), int(row["id"]), str(row["log"]).lower() == "true", str(row["aggregate"]))
            for row in dictionary
        )


@dataclass(frozen=True)
class Grid:
    """S steps of n stays over C channels; stay i's steps are [offsets[i], offsets[i + 1])."""

    offsets: NDArray[np.int64]
    gaps: NDArray[np.float32]  # (S,) hours since the step before
    hours: NDArray[np.int64]  # (S,) whole hours since the stay began; what is measured at the very end is in the last
    values: NDArray[np.float32]  # (S, C) last value carried forward; NaN before the first
    counts: NDArray[np.float32]  # (S, C) measurements within the step
    since: NDArray[np.float32]  # (S, C) hours since the last measurement; NaN before the first

    @property
    def equal(self) -> bool:
        """Whether all stays have the same number of steps, at equal gaps."""
        return bool(np.ptp(np.diff(self.offsets)) == 0 and np.all(self.gaps == self.gaps[:1]))


def lay(events: Events, channels: Sequence[Channel], kind: str = "hourly", hours: int = 48, steps: int = 215) -> Grid:
    """The grid of a kind: `hourly` has `hours` steps a stay; `events` one a distinct minute, `steps` at most.

    Of more, the latest are kept. An event at exactly `hours` belongs to the last hour; later ones, and those of
    concepts that are no channel, are not told. Raises ValueError for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"grid {kind!r} is none of {', '.join(KINDS)}")
    column = np.full(max([int(events.concepts.max(initial=0)), *(c.id for c in channels)]) + 1, -1, dtype=np.int64)
    column[[c.id for c in channels]] = np.arange(len(channels))
    told = (column[events.concepts] >= 0) & (events.minutes <= hours * 60) & (events.minutes >= 0)
    told &= np.isfinite(events.values)
    stays, minutes = events.stays[told], events.minutes[told].astype(np.int64)
    columns, values = column[events.concepts[told]], events.values[told]
    logged = np.array([c.log for c in channels])[columns]
    values[logged] = np.log(np.maximum(values[logged], SMALLEST))

    if kind == "hourly":
        offsets = np.arange(len(events) + 1, dtype=np.int64) * hours
        step = stays * hours + np.minimum(minutes // 60, hours - 1)
        ends = np.tile(np.arange(1, hours + 1) * 60, len(events))
        gaps = np.ones(len(ends), dtype=np.float32)
    else:
        moments, step = np.unique(stays * (hours * 60 + 1) + minutes, return_inverse=True)
        stay, ends = np.divmod(moments, hours * 60 + 1)
        offsets = np.searchsorted(stay, np.arange(len(events) + 1)).astype(np.int64)
        gaps = np.diff(ends, prepend=0).astype(np.float32) / 60
        gaps[offsets[:-1][np.diff(offsets) > 0]] = FIRST_GAP
    within = np.minimum((ends - 1) // 60 if kind == "hourly" else ends // 60, hours - 1)
    grid = Grid(offsets, gaps, within, *(np.zeros((len(gaps), len(channels)), dtype=np.float32) for _ in range(3)))
    starts = np.repeat(offsets[:-1], np.diff(offsets))
    order = np.argsort(columns, kind="stable")  # channel by channel, each by stay and minute
    bounds = np.searchsorted(columns[order], np.arange(len(channels) + 1))
    for j, channel in enumerate(channels):
        own = order[bounds[j] : bounds[j + 1]]
        _fill(grid, j, channel, starts, ends, step[own], minutes[own], values[own])
    return _latest(grid, steps)


def _fill(
    grid: Grid,
    column: int,
    channel: Channel,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    step: NDArray[np.int64],
    minutes: NDArray[np.int64],
    values: NDArray[np.float64],
) -> None:
    """One channel's column of the grid from its events, in order: sums up each step, carries forward within the stay.

    `starts` (S,) is the first step of each step's stay, `ends` (S,) the minute at which it is told.
    """
    first = np.flatnonzero(np.diff(step, prepend=-1))  # of each measured step's events
    if not len(first):
        grid.values[:, column] = grid.since[:, column] = np.nan
        return
    counts = np.diff(first, append=len(step))
    reduced = (np.maximum if channel.aggregate == "max" else np.add).reduceat(values, first)
    if channel.aggregate == "mean":
        reduced = reduced / counts
    measured = step[first]
    grid.counts[measured, column] = counts
    source = np.cumsum(np.bincount(measured, minlength=len(ends))) - 1  # the last measured step, or -1
    known = (source >= 0) & (measured[source] >= starts)
    grid.values[:, column] = np.where(known, reduced[source], np.nan)
    grid.since[:, column] = np.where(known, (ends - minutes[first + counts - 1][source]) / 60, np.nan)


def _latest(grid: Grid, steps: int) -> Grid:
    """The latest `steps` steps of each stay: what was measured before is still carried."""
    lengths = np.diff(grid.offsets)
    if lengths.max(initial=0) <= steps:
        return grid
    starts = grid.offsets[1:] - np.minimum(lengths, steps)
    kept = np.arange(grid.offsets[-1]) >= np.repeat(starts, lengths)
    offsets = np.append(0, np.cumsum(np.minimum(lengths, steps)))
    return Grid(offsets, grid.gaps[kept], grid.hours[kept], grid.values[kept], grid.counts[kept], grid.since[kept])


def last_values(grid: Grid, channels: Sequence[Channel]) -> NDArray[np.float64]:
    """Each stay's last value of each channel, (n, C) in its unit; NaN where there is none."""
    lengths = np.diff(grid.offsets)
    last = np.full((len(lengths), len(channels)), np.nan)
    last[lengths > 0] = grid.values[grid.offsets[1:][lengths > 0] - 1]
    return in_units(last, channels)


def in_units(values: NDArray[Any], channels: Sequence[Channel]) -> NDArray[Any]:
    """A grid's values (..., C) in the channels' units: of those told by their logarithm, the exponential. In place."""
    logged = np.array([channel.log for channel in channels], dtype=bool)
    values[..., logged] = np.exp(values[..., logged])
    return values
