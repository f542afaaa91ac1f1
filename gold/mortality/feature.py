"""What a feature column is, and the window that every feature keeps to."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.tasks import Task

Values = NDArray[np.float64]
"""Values of a feature, one a stay; NaN where it has none."""
ByName = Callable[[str], Values]
"""Features of the same stays by their names."""


@dataclass(frozen=True)
class Feature:
    """One DOUBLE column of a feature table; the comment says what it is, with its unit.

    `zero` marks counts and shares, which are 0 where nothing was measured; every other feature is null there.
    """

    name: str
    comment: str
    zero: bool = False

    @property
    def ddl(self) -> str:
        return f"{self.name} DOUBLE COMMENT '{self.comment.replace(chr(39), chr(39) * 2)}'"


def features_ddl(features: Iterable[Feature]) -> str:
    """DDL of a feature table: stay, source, then the features in their order."""
    keys = ("stay_id STRING NOT NULL COMMENT 'ICU stay'", "source STRING NOT NULL COMMENT 'source system'")
    return ", ".join((*keys, *(feature.ddl for feature in features)))


def within_window(events: DataFrame, mortality_cohort: DataFrame, task: Task) -> DataFrame:
    """Events of the cohort's stays from the stay's start to the window's end, both minutes included.

    The Challenge publishes measurements up to and including 48:00, so a window of 48 h is minute 0 to minute 2,880.
    Every series and sequence is made from this frame: stay_id, concept, minute, value.
    """
    return known_by_its_end(events, mortality_cohort, task).where(F.col("minute") >= 0)


def known_by_its_end(events: DataFrame, mortality_cohort: DataFrame, task: Task) -> DataFrame:
    """`within_window`, and what was charted before the stay began: its minutes are negative."""
    known = events.where(F.col("minute") <= task.window_hours * 60)
    return known.join(mortality_cohort.select("stay_id"), on="stay_id", how="left_semi").select(
        "stay_id", "concept", "minute", "value"
    )
