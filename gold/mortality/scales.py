"""Point scales of severity scores: a value's points by the band that it falls in."""

import math
from collections.abc import Sequence

import numpy as np

from gold.mortality.feature import Values

Bands = tuple[tuple[float, int], ...]
"""(lowest value of the band, points), highest band first; the last begins at -infinity."""

REST = -math.inf


def points(values: Values, bands: Bands) -> Values:
    """Points of each value; NaN where there is none."""
    lowest, scores = zip(*reversed(bands), strict=True)
    found = np.asarray(scores, float)[np.searchsorted(lowest, values, side="right") - 1]
    return np.where(np.isnan(values), np.nan, found)


def total(components: Sequence[Values]) -> Values:
    """Sum of components, an unmeasured one taken as normal (0 points); NaN where none was measured."""
    given = np.stack(components)
    return np.where(np.isnan(given).all(axis=0), np.nan, np.nansum(given, axis=0))


def highest(*values: Values) -> Values:
    """Of each stay, among those that it has."""
    return np.fmax.reduce(values)
