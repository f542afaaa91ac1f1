"""Table 1 of a cohort: who the patients are, by split and by outcome, how the groups differ, what is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.base import Floats

DIFFERS = 0.1
"""A standardised difference that is no longer negligible (Austin, Stat Med 2009;28:3083-3107)."""


@dataclass(frozen=True)
class Line:
    """One line of the table: `cells` a group, `differences` of each pair of groups, `missing` a group as shares.

    Differences and missing shares are those of the whole variable: the levels of a categorical one have none.
    """

    label: str
    cells: tuple[str, ...]
    differences: tuple[float, ...] = ()
    missing: tuple[float, ...] = ()
    is_level: bool = False


def table_one(
    variables: pd.DataFrame,
    labels: Mapping[str, str],
    groups: Mapping[str, np.ndarray],
    pairs: Sequence[tuple[str, str]],
) -> list[Line]:
    """The lines of each variable (n, v): numbers as median (quartiles), categories as counts and shares of the known.

    `groups` name masks (n,) of the stays, `pairs` those that are compared. Variables of one value are left out.
    """
    lines = []
    everyone = np.any(list(groups.values()), axis=0)
    for name in variables:
        column = variables[name]
        if column[everyone].nunique() < 2:  # nothing to tell groups apart by
            continue
        parts = {group: column[here] for group, here in groups.items()}
        missing = tuple(float(part.isna().mean()) if len(part) else np.nan for part in parts.values())
        if isinstance(column.dtype, pd.CategoricalDtype):
            differences = tuple(category_difference(parts[a], parts[b]) for a, b in pairs)
            lines.append(Line(labels[str(name)], ("",) * len(parts), differences, missing))
            levels = column.cat.categories[column.cat.categories.isin(column[everyone].unique())]
            for level in levels:
                cells = tuple(_share(part, level) for part in parts.values())
                lines.append(Line(str(level), cells, is_level=True))
        else:
            differences = tuple(number_difference(parts[a], parts[b]) for a, b in pairs)
            digits = _digits(column[everyone].dropna())
            cells = tuple(_quartiles(part.dropna(), digits) for part in parts.values())
            lines.append(Line(labels[str(name)], cells, differences, missing))
    return lines


def number_difference(one: pd.Series, other: pd.Series) -> float:
    """Difference of the means in units of the pooled standard deviation; NaN where a group has no spread or rows."""
    a, b = one.dropna().to_numpy(dtype=np.float64), other.dropna().to_numpy(dtype=np.float64)
    if min(len(a), len(b)) < 2:
        return float("nan")
    spread = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    return float((a.mean() - b.mean()) / spread) if spread > 0 else float("nan")


def category_difference(one: pd.Series, other: pd.Series) -> float:
    """The distance of the levels' shares in units of their covariance (Yang & Dalton, SAS Global Forum 2012, 335); for
    two levels, the usual one of a share. Never negative; infinite where a level tells the groups apart for certain."""
    a, b = one.dropna(), other.dropna()
    if not (len(a) and len(b)):
        return float("nan")
    p, q = (_shares(part) for part in (a, b))
    if not len(p):
        return float("nan")
    covariance, apart = (_covariance(p) + _covariance(q)) / 2, p - q
    scaled = np.linalg.pinv(covariance) @ apart
    if not np.allclose(covariance @ scaled, apart):  # what differs does not vary within either group
        return math.inf
    return math.sqrt(max(float(apart @ scaled), 0.0))


def _shares(known: pd.Series) -> Floats:
    """Shares of all levels but the first."""
    return np.asarray(known.value_counts(normalize=True, sort=False), dtype=np.float64)[1:]


def _covariance(shares: Floats) -> Floats:
    return np.diag(shares) - np.outer(shares, shares)


def _digits(known: pd.Series) -> int:
    """Decimals of a variable, the same in each of its cells: three digits of a usual value, none of whole numbers."""
    usual = abs(float(known.median()))
    return 0 if usual >= 100 or (known % 1 == 0).all() else 1 if usual >= 10 else 2


def _quartiles(known: pd.Series, digits: int) -> str:
    if known.empty:
        return "-"
    low, middle, high = (f"{value:,.{digits}f}" for value in known.quantile([0.25, 0.5, 0.75]))
    return f"{middle} ({low} to {high})" if low.startswith("-") else f"{middle} ({low}-{high})"


def _share(part: pd.Series, level: object) -> str:
    known = part.notna().sum()
    count = int((part == level).sum())
    return f"{count:,} ({100 * count / known:.1f} %)" if known else "-"
