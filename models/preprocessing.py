"""Small scikit-learn transformers for wide clinical matrices. All learn from the rows given to `fit` and
only apply later.

scikit-learn's own steps (SimpleImputer, PowerTransformer) take a minute on 1,264 columns because they go
column by column; these work on the whole matrix at once. Shapes: n rows, p columns, float64, NaN for missing.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from models.base import Floats

MISSING = "|missing"  # suffix of the name of a missing-value flag
# No columns are well: a feature group that is turned off leaves none.
CHECKS: dict[str, Any] = {"dtype": np.float64, "ensure_all_finite": "allow-nan", "ensure_min_features": 0}
POWERS = np.arange(-2.0, 2.01, 0.25)  # the Yeo-Johnson powers tried


class UsefulColumns(TransformerMixin, BaseEstimator):
    """Keeps the columns that are measured often enough and vary: the others teach noise and cost time.

    Dropped: a share of missing rows above `max_missing`; a share of measured rows above `max_same` at one
    value.
    """

    def __init__(self, max_missing: float = 0.95, max_same: float = 0.995) -> None:
        self.max_missing = max_missing
        self.max_same = max_same

    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: ARG002
        values = _learn(self, X)
        ordered = np.sort(values, axis=0)  # NaN last
        measured = np.sum(~np.isnan(values), axis=0)
        # A value that fills a share s > 1/2 of the sorted column fills its middle: the median is that value.
        middle = ordered[np.maximum(measured - 1, 0) // 2, np.arange(values.shape[1])]
        same = np.sum(values == middle, axis=0)
        often = (measured > 0) & (len(values) - measured <= self.max_missing * len(values))
        self.kept_ = np.flatnonzero(often & (same <= self.max_same * measured))
        return self

    def transform(self, X: ArrayLike) -> Floats:
        return _seen(self, X)[:, self.kept_]

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        return _names(self, input_features)[self.kept_]


class MissingFlags(TransformerMixin, BaseEstimator):
    """1 where a value is missing. Columns that go missing together (a laboratory panel) share one flag,
    named after the first of them; columns that are missing or present in less than `min_share` of the rows
    have none."""

    def __init__(self, min_share: float = 0.02) -> None:
        self.min_share = min_share

    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: ARG002
        missing = np.isnan(_learn(self, X))
        share = missing.mean(axis=0)
        varied = np.flatnonzero((share >= self.min_share) & (share <= 1 - self.min_share))
        first: dict[bytes, int] = {}
        for column in varied:
            first.setdefault(np.packbits(missing[:, column]).tobytes(), int(column))
        self.flagged_ = np.array(list(first.values()), dtype=np.int64)
        return self

    def transform(self, X: ArrayLike) -> Floats:
        return np.isnan(_seen(self, X)[:, self.flagged_]).astype(np.float64)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        return np.array([f"{name}{MISSING}" for name in _names(self, input_features)[self.flagged_]], dtype=object)


class MedianFill(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """The training median for a missing value (0 for a column without any)."""

    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: ARG002
        values = _learn(self, X)
        ordered = np.sort(values, axis=0)  # NaN last
        measured = np.sum(~np.isnan(values), axis=0)
        columns = np.arange(values.shape[1])
        lower = ordered[np.maximum(measured - 1, 0) // 2, columns]
        halves = lower + ordered[np.minimum(measured // 2, len(values) - 1), columns]
        self.medians_ = np.where(measured > 0, halves / 2, 0.0)
        return self

    def transform(self, X: ArrayLike) -> Floats:
        values = _seen(self, X)
        return np.where(np.isnan(values), self.medians_, values)


class QuantileCap(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Caps each column at its training quantiles, so that no single record pulls a coefficient."""

    def __init__(self, low: float = 0.005, high: float = 0.995) -> None:
        self.low = low
        self.high = high

    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: ARG002
        self.low_, self.high_ = np.quantile(_learn(self, X), [self.low, self.high], axis=0)
        return self

    def transform(self, X: ArrayLike) -> Floats:
        return np.clip(_seen(self, X), self.low_, self.high_)


class Unskew(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Yeo-Johnson (Biometrika 2000;87:954-959) for the columns whose training skew exceeds `skew`; others
    pass.

    The power is the most likely of POWERS. Columns are standardised first, so that it does not depend on the
    unit.
    """

    def __init__(self, skew: float = 1.0) -> None:
        self.skew = skew

    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: ARG002
        values = _learn(self, X)
        self.mean_, spread = values.mean(axis=0), values.std(axis=0)
        self.spread_ = np.where(spread > 0, spread, 1.0)
        z = (values - self.mean_) / self.spread_
        self.columns_ = np.flatnonzero(np.abs(np.mean(z**3, axis=0)) > self.skew)
        z = z[:, self.columns_]
        jacobian = np.sum(np.sign(z) * np.log1p(np.abs(z)), axis=0)
        likelihood = [
            -0.5 * len(z) * np.log(_yeo_johnson(z, np.full(z.shape[1], power)).var(axis=0)) + (power - 1) * jacobian
            for power in POWERS
        ]
        self.powers_ = POWERS[np.argmax(likelihood, axis=0)]
        return self

    def transform(self, X: ArrayLike) -> Floats:
        z = (_seen(self, X) - self.mean_) / self.spread_
        z[:, self.columns_] = _yeo_johnson(z[:, self.columns_], self.powers_)
        return z


def _yeo_johnson(z: Floats, powers: Floats) -> Floats:
    """The transform of z (n, p) by one power a column (p,)."""
    power = np.where(z >= 0, powers, 2 - powers)
    logged = np.log1p(np.abs(z))
    divisor = np.where(power == 0, 1.0, power)
    return np.sign(z) * np.where(power == 0, logged, np.expm1(power * logged) / divisor)


def _learn(step: BaseEstimator, X: ArrayLike) -> Floats:
    return validate_data(step, X, **CHECKS)


def _seen(step: BaseEstimator, X: ArrayLike) -> Floats:
    check_is_fitted(step)
    return validate_data(step, X, reset=False, **CHECKS)


def _names(step: BaseEstimator, given: ArrayLike | None) -> np.ndarray:
    names = getattr(step, "feature_names_in_", None) if given is None else given
    return np.array([f"x{i}" for i in range(step.n_features_in_)] if names is None else names, dtype=object)
