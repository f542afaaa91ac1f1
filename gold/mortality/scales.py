"""Point scales of severity scores: a value's points by the band that it falls in."""

import math

from pyspark.sql import Column
from pyspark.sql import functions as F

Bands = tuple[tuple[float, int], ...]
"""(lowest value of the band, points), highest band first; the last begins at -infinity."""

REST = -math.inf


def points(value: Column, bands: Bands) -> Column:
    """Points of `value` as DOUBLE; null where the value is."""
    chain = F.when(value.isNull(), F.lit(None))
    for lowest, score in bands:
        chain = chain.when(value >= lowest if lowest > REST else F.lit(True), F.lit(score))
    return chain.cast("double")


def total(components: list[Column]) -> Column:
    """Sum of components, an unmeasured one taken as normal (0 points); null where none was measured."""
    measured = F.coalesce(*components).isNotNull()
    return F.when(measured, sum((F.coalesce(c, F.lit(0.0)) for c in components), F.lit(0.0)))
