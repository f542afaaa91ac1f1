"""Figures of a risk model: how well it ranks, how true its risks are, what its threshold does.

One vectorised implementation serves the point estimate (every row counts once) and the bootstrap (a row
counts as often as it was drawn): rows are sorted by risk once, a resample is a row of counts. Sources: Event
1 and Event 2 are the scores of the PhysioNet/CinC Challenge 2012 (Silva et al., Comput Cardiol
2012;39:245-248); calibration slope and intercept follow Van Calster et al., BMC Medicine 2019;17:230; the
bootstrap is the percentile bootstrap of Efron 1979.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, xlogy

from models.base import Floats

RANK = ("auroc", "auprc")
AT_THRESHOLD = ("event1", "sensitivity", "ppv", "accuracy")
METRICS = (*RANK, "log_loss", "brier", "event2", "calibration_slope", "calibration_intercept", *AT_THRESHOLD)
LOWER_IS_BETTER = ("log_loss", "brier", "event2")
GROUPS = 10  # risk groups of Event 2
STEPS = 60  # of Newton's method, at most
ENOUGH = 1e-9  # a step this small ends it
TINY = 1e-15  # risks of exactly 0 or 1 have no logit


def scores(labels: ArrayLike, risks: ArrayLike, threshold: float) -> dict[str, float]:
    """Every metric of METRICS for labels (n,) of 0 and 1 and risks (n,) within 0 and 1; flagged is risk >=
    threshold.

    A metric that the rows cannot define (AUROC of one class) is NaN. Raises ValueError for other labels,
    risks or shapes.
    """
    rows = SortedRows(labels, risks, threshold)
    return {name: float(value[0]) for name, value in rows.scores(np.ones((1, rows.n))).items()}


def choose_threshold(labels: ArrayLike, risks: ArrayLike) -> float:
    """The threshold with the largest min(sensitivity, positive predictivity): the Challenge's Event 1.

    To be called with out-of-fold risks of training rows. Lies midway between two neighbouring risks, so that
    rounding of a risk moves no flag; of equally good thresholds the lowest is taken. Raises ValueError when
    there is no event.
    """
    y, r = _checked(labels, risks)
    if not y.any():
        raise ValueError("no event among the labels: a threshold cannot be chosen")
    order = np.argsort(-r, kind="stable")
    y, r = y[order], r[order]
    last = np.flatnonzero(np.append(r[:-1] != r[1:], True))  # the end of each run of equal risks
    caught = np.cumsum(y)[last]
    event1 = caught / np.maximum(last + 1, y.sum())  # min(TP / events, TP / flagged)
    best = last[len(event1) - 1 - np.argmax(event1[::-1])]
    below = r[best + 1] if best + 1 < len(r) else 0.0
    return float((r[best] + below) / 2)


class SortedRows:
    """Labels and risks of n rows, sorted by risk; ties stay in the order given."""

    def __init__(self, labels: ArrayLike, risks: ArrayLike, threshold: float) -> None:
        y, r = _checked(labels, risks)
        self.n = len(y)
        self.labels = y
        self.order = np.argsort(r, kind="stable")
        self.y, self.r = y[self.order], r[self.order]
        self.starts = np.flatnonzero(np.append(True, self.r[1:] != self.r[:-1]))  # each run of equal risks
        self.flagged = (self.r >= threshold).astype(np.float64)
        clipped = np.clip(self.r, TINY, 1 - TINY)
        self.logit = np.log(clipped) - np.log1p(-clipped)
        self.loss = -xlogy(self.y, clipped) - xlogy(1 - self.y, 1 - clipped)

    def scores(self, counts: Floats) -> dict[str, Floats]:
        """Each metric, shape (b,), for counts (b, n): how often each sorted row is drawn."""
        total, events = counts.sum(axis=1), counts @ self.y
        caught, flagged = counts @ (self.y * self.flagged), counts @ self.flagged
        sensitivity, ppv = _ratio(caught, events), np.where(flagged > 0, _ratio(caught, flagged), 0.0)
        auroc, auprc = self._rank(counts)
        slope, intercept = self._calibration(counts)
        return {
            "auroc": auroc,
            "auprc": auprc,
            "log_loss": counts @ self.loss / total,
            "brier": counts @ np.square(self.y - self.r) / total,
            "event2": self._event2(counts),
            "calibration_slope": slope,
            "calibration_intercept": intercept,
            "event1": np.minimum(sensitivity, ppv),
            "sensitivity": sensitivity,
            "ppv": ppv,
            "accuracy": (counts @ (self.y == self.flagged)) / total,
        }

    def _rank(self, counts: Floats) -> tuple[Floats, Floats]:
        """Area under the ROC curve (ties count half) and average precision."""
        events = np.add.reduceat(counts * self.y, self.starts, axis=1)
        others = np.add.reduceat(counts * (1 - self.y), self.starts, axis=1)
        all_events, all_others = events.sum(axis=1), others.sum(axis=1)
        below = np.cumsum(others, axis=1) - others
        auroc = _ratio(np.sum(events * (below + others / 2), axis=1), all_events * all_others)
        caught = np.cumsum(events[:, ::-1], axis=1)[:, ::-1]  # events at this risk or above
        alarms = caught + np.cumsum(others[:, ::-1], axis=1)[:, ::-1]
        precision = np.divide(caught, alarms, out=np.zeros_like(caught), where=alarms > 0)
        return auroc, _ratio(np.sum(precision * events, axis=1), all_events)

    def _event2(self, counts: Floats) -> Floats:
        """Hosmer-Lemeshow H over ten groups of floor(N / 10) rows, by the range of the groups' mean risk.

        As the Challenge's own script computes it: rows in order of risk, those left over (of highest risk) in no group.
        """
        h = np.full(len(counts), np.nan)
        for i, row in enumerate(counts):
            # Sums over the first k drawn rows are linear between the ends of each row's copies.
            drawn = np.append(0.0, np.cumsum(row))
            size = int(drawn[-1]) // GROUPS
            if size == 0:
                continue
            edges = size * np.arange(GROUPS + 1.0)
            observed = np.diff(np.interp(edges, drawn, np.append(0.0, np.cumsum(row * self.y))))
            mean = np.diff(np.interp(edges, drawn, np.append(0.0, np.cumsum(row * self.r)))) / size
            spread = mean[-1] - mean[0]
            terms = np.square(observed - size * mean) / (size * mean * (1 - mean) + 0.001)
            h[i] = terms.sum() / spread if spread > 0 else np.nan
        return h

    def _calibration(self, counts: Floats) -> tuple[Floats, Floats]:
        """Slope of the regression of label on logit, and the intercept with the slope held at 1.

        By Newton's method with steps of at most 1 in margins, without which it runs away from risks that are far off.
        NaN where there is no maximum: a single outcome, or risks that part the outcomes perfectly.
        """
        total, events = counts.sum(axis=1), counts @ self.y
        defined = (events > 0) & (events < total)
        center, scale = float(self.logit.mean()), float(self.logit.std()) or 1.0
        x = (self.logit - center) / scale
        a, b, offset = (np.full(len(counts), start) for start in (center, scale, 0.0))
        done = np.zeros(len(counts), dtype=bool)
        for _ in range(STEPS):
            p = expit(a[:, None] + b[:, None] * x)
            residual, weight = counts * (self.y - p), counts * p * (1 - p)
            g0, g1 = residual.sum(axis=1), residual @ x
            h0, h1, h2 = weight.sum(axis=1), weight @ x, weight @ np.square(x)
            determinant = h0 * h2 - h1 * h1
            da = _ratio(h2 * g0 - h1 * g1, determinant)
            db = _ratio(h0 * g1 - h1 * g0, determinant)
            a, b = a + np.clip(da, -1, 1), b + np.clip(db, -1, 1)
            done = np.maximum(np.abs(da), np.abs(db)) < ENOUGH
            if np.all(done | ~np.isfinite(a) | ~defined):
                break
        for _ in range(STEPS):
            p = expit(offset[:, None] + self.logit)
            step = _ratio(np.sum(counts * (self.y - p), axis=1), np.sum(counts * p * (1 - p), axis=1))
            offset = offset + np.clip(step, -1, 1)
            if np.all((np.abs(step) < ENOUGH) | ~defined):
                break
        return np.where(defined & done, b / scale, np.nan), np.where(defined, offset, np.nan)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=np.asarray(bottom) != 0)


def _checked(labels: ArrayLike, risks: ArrayLike) -> tuple[Floats, Floats]:
    y, r = np.asarray(labels, dtype=np.float64), np.asarray(risks, dtype=np.float64)
    if y.ndim != 1 or y.shape != r.shape or len(y) == 0:
        raise ValueError(f"labels and risks must be two equally long, non-empty vectors: {y.shape}, {r.shape}")
    if not np.isin(y, (0.0, 1.0)).all():
        raise ValueError("labels must be 0 or 1")
    if not ((r >= 0) & (r <= 1)).all():
        raise ValueError("risks must lie within 0 and 1")
    return y, r


def best(figures: Mapping[str, Mapping[str, float]], metric: str) -> str:
    """The model of the best `metric` among `figures` by model and metric; of equals the first."""
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    return max(figures, key=lambda name: sign * figures[name][metric])
