"""What moved a risk: each feature's contribution in log odds, exact for trees and for linear models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xgboost as xgb

from models.base import Floats, Ints


class Contribution(NamedTuple):
    """One feature's share of one risk: its value (None when missing), its contribution in log odds."""

    feature: str
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
    k = min(k, len(names))
    size = -np.abs(contributions)
    largest = np.sort(np.argpartition(size, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(np.take_along_axis(size, largest, axis=1), axis=1, kind="stable")
    largest = np.take_along_axis(largest, order, axis=1)
    features = np.asarray(names, dtype=object)[largest]
    found = np.take_along_axis(values, largest, axis=1).astype(object)
    found[np.isnan(found.astype(np.float64))] = None
    moved = np.take_along_axis(contributions, largest, axis=1).astype(object)
    return [[Contribution(*one) for one in zip(*row, strict=True)] for row in zip(features, found, moved, strict=True)]
