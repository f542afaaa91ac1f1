"""What a report draws of risks and outcomes, as numbers: curves with bootstrap bands, and rates with limits.

A curve is a function of weights (n,), how often each stay counts: once for the line itself, as often as it was
drawn for a resample. What depends on the order of the risks alone is worked out once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from models.base import Floats
from models.evaluation import THRESHOLDS

GRID: Floats = np.linspace(0, 1, 101)
RESAMPLES = 300
LEVEL = 0.95
Z = 1.959964
"""The normal quantile of that level."""

Weighed = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Curve:
    """y (k,) over x (k,), with the limits (k,) of its 95 % band."""

    x: Floats
    y: Floats
    low: Floats
    high: Floats


def banded(x: Floats, curve: Weighed, patients: ArrayLike, seed: int, resamples: int = RESAMPLES) -> Curve:
    """The curve over x with a percentile band, pointwise; whole patients are drawn, as for every other interval."""
    patient = np.unique(np.asarray(patients), return_inverse=True)[1]
    number = int(patient.max()) + 1
    rng = np.random.default_rng(seed)
    drawn = [
        curve(np.bincount(rng.integers(number, size=number), minlength=number)[patient].astype(np.float64))
        for _ in range(resamples)
    ]
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(np.array(drawn), [tail, 1 - tail], axis=0)
    return Curve(x, curve(np.ones(len(patient))), low, high)


def roc(labels: ArrayLike, risks: ArrayLike) -> Weighed:
    """Sensitivity at each false positive rate of GRID."""
    sorted_ = _Sorted(labels, risks)

    def curve(weights: Floats) -> Floats:
        tp, fp = sorted_.flagged(weights)
        if not (tp[-1] and fp[-1]):
            return np.full(len(GRID), np.nan)
        return np.interp(GRID, fp / fp[-1], tp / tp[-1])

    return curve


def precision_recall(labels: ArrayLike, risks: ArrayLike) -> Weighed:
    """Precision at each recall of GRID: that of the highest threshold which reaches it (no interpolation between
    thresholds, which would flatter: Davis & Goadrich, ICML 2006)."""
    sorted_ = _Sorted(labels, risks)

    def curve(weights: Floats) -> Floats:
        tp, fp = (counts[1:] for counts in sorted_.flagged(weights))
        if not tp[-1]:
            return np.full(len(GRID), np.nan)
        at = np.minimum(np.searchsorted(tp / tp[-1], np.maximum(GRID, 1e-9) - 1e-12), len(tp) - 1)
        return tp[at] / (tp[at] + fp[at])

    return curve


def net_benefit(labels: ArrayLike, risks: ArrayLike, thresholds: Floats = THRESHOLDS) -> Weighed:
    """Net benefit at each threshold, as `models.evaluation.decision_curve` has it."""
    y, r = np.asarray(labels, dtype=np.float64), np.asarray(risks, dtype=np.float64)
    flagged = (r[:, None] >= thresholds[None, :]).astype(np.float64)
    worth = np.where(y[:, None] == 1, 1.0, -(thresholds / (1 - thresholds))[None, :]) * flagged
    return lambda weights: weights @ worth / weights.sum()


def wilson(events: ArrayLike, rows: ArrayLike) -> tuple[Floats, Floats]:
    """95 % limits of a share (Wilson, JASA 1927;22:209-212); within 0 and 1 where no or every row is an event."""
    k, n = np.asarray(events, dtype=np.float64), np.asarray(rows, dtype=np.float64)
    share, spread = k / n, Z**2 / n
    center = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * np.sqrt(share * (1 - share) / n + spread / (4 * n))
    return np.maximum(center - half, 0.0), np.minimum(center + half, 1.0)


class _Sorted:
    """Stays from the highest risk to the lowest; a threshold flags all of one risk or none."""

    def __init__(self, labels: ArrayLike, risks: ArrayLike) -> None:
        y, r = np.asarray(labels, dtype=np.float64), np.asarray(risks, dtype=np.float64)
        self.order = np.argsort(-r, kind="stable")
        self.y, sorted_risks = y[self.order], r[self.order]
        self.last = np.flatnonzero(np.append(sorted_risks[:-1] != sorted_risks[1:], True))

    def flagged(self, weights: Floats) -> tuple[Floats, Floats]:
        """True and false positives at each threshold, from none flagged to all."""
        drawn = weights[self.order]
        tp, fp = np.cumsum(drawn * self.y)[self.last], np.cumsum(drawn * (1 - self.y))[self.last]
        return np.append(0.0, tp), np.append(0.0, fp)
