"""What a model's figures leave open: for whom it works, and at which threshold it does more good than harm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.metrics import classification_report

from models.base import Floats
from models.bootstrap import Interval, intervals

FEWEST_EVENTS = 5
"""A subgroup with fewer events (or fewer non-events) is named, not measured: its interval would span everything."""
THRESHOLDS = np.round(np.arange(0.02, 0.62, 0.02), 2)
TENTHS = 10


@dataclass(frozen=True)
class Subgroup:
    """One group of rows. `figures` is None where it is too small to be measured."""

    attribute: str
    value: str
    rows: int
    events: int
    figures: dict[str, Interval] | None


def by_subgroup(
    labels: ArrayLike,
    risks: ArrayLike,
    threshold: float,
    attributes: pd.DataFrame,
    *,
    patients: ArrayLike | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> list[Subgroup]:
    """Figures with intervals for each value of each attribute (n, k); rows without a value are a group `unknown`.

    Values come in the order of their categories where a column has them, else in that of the alphabet.
    """
    y, r = np.asarray(labels, dtype=np.float64), np.asarray(risks, dtype=np.float64)
    patient = np.arange(len(y)) if patients is None else np.asarray(patients)
    found = []
    for attribute in attributes:
        column = attributes[attribute]
        values = column.astype(object).where(column.notna(), "unknown").astype(str)
        ordered = list(map(str, column.cat.categories)) if isinstance(column.dtype, pd.CategoricalDtype) else []
        for value in sorted(values.unique(), key=lambda v: (v not in ordered, ordered.index(v) if v in ordered else v)):
            here = (values == value).to_numpy()
            events = int(y[here].sum())
            enough = min(events, int(here.sum()) - events) >= FEWEST_EVENTS
            figures = (
                intervals(y[here], r[here], threshold, patients=patient[here], resamples=resamples, seed=seed)
                if enough
                else None
            )
            found.append(Subgroup(str(attribute), value, int(here.sum()), events, figures))
    return found


def decision_curve(labels: ArrayLike, risks: ArrayLike, thresholds: ArrayLike = THRESHOLDS) -> pd.DataFrame:
    """Net benefit at each threshold: columns threshold, model, treat_all (to treat nobody has none).

    Net benefit is TP/n - FP/n * t/(1 - t): true positives, less false ones at the exchange rate that the threshold t
    itself states (Vickers & Elkin, Med Decis Making 2006;26:565-574).
    """
    y, r, t = (np.asarray(values, dtype=np.float64) for values in (labels, risks, thresholds))
    if ((t <= 0) | (t >= 1)).any():
        raise ValueError("thresholds of a decision curve lie between 0 and 1")
    flagged = r[None, :] >= t[:, None]
    rate = t / (1 - t)
    prevalence = y.mean()
    return pd.DataFrame(
        {
            "threshold": t,
            "model": (flagged * y).mean(axis=1) - (flagged * (1 - y)).mean(axis=1) * rate,
            "treat_all": prevalence - (1 - prevalence) * rate,
        }
    )


def classification(labels: ArrayLike, risks: ArrayLike, threshold: float) -> dict[str, float]:
    """Counts and rates of the flags at a threshold: tp, fp, fn, tn, accuracy, specificity, npv, f1."""
    y: Floats = np.asarray(labels, dtype=np.float64)
    flagged = np.asarray(risks, dtype=np.float64) >= threshold
    tp, fp = float((flagged * y).sum()), float((flagged * (1 - y)).sum())
    fn, tn = float((~flagged * y).sum()), float((~flagged * (1 - y)).sum())

    def ratio(top: float, bottom: float) -> float:
        return top / bottom if bottom else float("nan")

    return {
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "tn": tn,
        "accuracy": ratio(tp + tn, len(y)),
        "specificity": ratio(tn, tn + fp),
        "npv": ratio(tn, tn + fn),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
    }


def classification_text(labels: ArrayLike, risks: ArrayLike, threshold: float, names: Sequence[str]) -> str:
    """scikit-learn's classification report of the flags; `names` are of stays without and with the outcome."""
    y = np.asarray(labels).astype(int)
    flagged = (np.asarray(risks, dtype=np.float64) >= threshold).astype(int)
    text = classification_report(y, flagged, labels=[0, 1], target_names=list(names), digits=3, zero_division=np.nan)
    return str(text)


def risk_groups(labels: ArrayLike, risks: ArrayLike, groups: int = TENTHS) -> pd.DataFrame:
    """Calibration as a table: rows in order of risk, in groups of as equal a size as can be.

    Columns stays, lowest and highest risk, expected (sum of risks) and observed events, and their rates.
    """
    y, r = np.asarray(labels, dtype=np.float64), np.asarray(risks, dtype=np.float64)
    order = np.argsort(r, kind="stable")
    parts = [part for part in np.array_split(order, groups) if len(part)]
    return pd.DataFrame(
        {
            "stays": [len(part) for part in parts],
            "lowest": [r[part].min() for part in parts],
            "highest": [r[part].max() for part in parts],
            "expected": [r[part].sum() for part in parts],
            "observed": [y[part].sum() for part in parts],
            "expected_rate": [r[part].mean() for part in parts],
            "observed_rate": [y[part].mean() for part in parts],
        }
    )
