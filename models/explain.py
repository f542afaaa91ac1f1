"""What moved a risk: each feature's contribution in log odds, exact for trees and for linear models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from models.base import Floats, Ints, Moments


class Contribution(NamedTuple):
    """One feature's share of one risk: its value (None when missing), its contribution in log odds."""

    feature: str
    value: float | None
    contribution: float


class Moment(NamedTuple):
    """One hour's share of one risk: the channel's value then (None where nothing was measured yet), its contribution in
    log odds. Hour 0 is the stay's first."""

    channel: str
    hour: int
    value: float | None
    contribution: float


def tree_contributions(booster: xgb.Booster, data: xgb.DMatrix) -> tuple[Floats, Floats]:
    """(n, p) contributions and (n,) bias of a tree ensemble: exact Shapley values over its trees.

    TreeSHAP (Lundberg et al., Nature Machine Intelligence 2020;2:56-67), as XGBoost computes it. A row's
    contributions and bias sum to its margin.
    """
    both = booster.predict(data, pred_contribs=True).astype(np.float64)
    return both[:, :-1], both[:, -1]


def linear_contributions(
    columns: Floats, coefficients: Floats, intercept: float, sources: Ints, features: int
) -> tuple[Floats, Floats]:
    """(n, p) contributions and (n,) bias of a linear model, gathered by source feature.

    `columns` (n, q) are centred on the training rows, so that coefficient times column is what the row's
    value adds to the risk of an average row; `sources` (q,) tells which of the p `features` each column was
    made from (a flag for missing or a category's level counts for its feature).
    """
    gathered = np.zeros((features, len(columns)))
    np.add.at(gathered, sources, (columns * coefficients).T)
    return gathered.T, np.full(len(columns), intercept)


def top_contributions(
    names: Sequence[str], values: Floats, contributions: Floats, k: int = 5
) -> list[list[Contribution]]:
    """The k features of each row that moved its risk most, either way, largest first; ties in the features'
    order.

    `values` and `contributions` are (n, p), `names` (p,). Rows of fewer than k features give all they have.
    """
    if not values.shape == contributions.shape == (len(contributions), len(names)):
        raise ValueError(f"{len(names)} names, values {values.shape}, contributions {contributions.shape}")
    largest = _largest(contributions, k)
    features = np.asarray(names, dtype=object)[largest]
    found = np.take_along_axis(values, largest, axis=1).astype(object)
    found[np.isnan(found.astype(np.float64))] = None
    moved = np.take_along_axis(contributions, largest, axis=1).astype(object)
    return [[Contribution(*one) for one in zip(*row, strict=True)] for row in zip(features, found, moved, strict=True)]


def top_moments(moments: Moments, k: int = 5) -> list[list[Moment]]:
    """The k hours of each row that moved its risk most, either way, largest first; those that moved nothing are none.
    Values have the six digits that single precision is sure of.

    Summed over the hours, a channel's contributions are the channel's in `Reasons`.
    """
    n, _, channels = moments.contributions.shape
    moved, values = moments.contributions.reshape(n, -1), moments.values.reshape(n, -1)
    found = []
    for row, places in enumerate(_largest(moved, k)):
        kept = places[moved[row, places] != 0].tolist()
        told = [None if math.isnan(value) else float(f"{value:.6g}") for value in values[row, kept].tolist()]
        hours = [divmod(place, channels) for place in kept]
        found.append(
            [
                Moment(moments.channels[channel], hour, value, contribution)
                for (hour, channel), value, contribution in zip(hours, told, moved[row, kept].tolist(), strict=True)
            ]
        )
    return found


def joined(parts: Sequence[tuple[float, Moments]]) -> Moments | None:
    """Moments of several models of the same rows, each times its weight, as those of their sum; None of none.

    Channels of one name are added up; an hour that lies outside a model's window moved nothing in it.
    """
    if not parts:
        return None
    channels = list(dict.fromkeys(name for _, part in parts for name in part.channels))
    hours = max(part.contributions.shape[1] for _, part in parts)
    shape = len(parts[0][1].contributions), hours, len(channels)
    whole = Moments(channels, np.full(shape, np.nan, dtype=np.float32), np.zeros(shape, dtype=np.float32))
    for weight, part in parts:
        at = (slice(None), slice(part.contributions.shape[1]), [channels.index(name) for name in part.channels])
        whole.contributions[at] += np.float32(weight) * part.contributions
        whole.values[at] = np.where(np.isnan(whole.values[at]), part.values, whole.values[at])
    return whole


def _largest(contributions: NDArray[Any], k: int) -> Ints:
    """The places (n, k) of each row's largest contributions, either way, largest first; ties in their order."""
    k = min(k, contributions.shape[1])
    size = -np.abs(contributions)
    largest = np.sort(np.argpartition(size, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(np.take_along_axis(size, largest, axis=1), axis=1, kind="stable")
    return np.take_along_axis(largest, order, axis=1)
