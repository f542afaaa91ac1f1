"""One row a stay and hour that has any of the measurements which the clinical composites combine.

Two measurements are combined only where they belong together: those of one hour, and FiO2 or ventilation as last
charted before.
"""

from collections.abc import Callable

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

CARRIED_HOURS = 8
"""How long a charted FiO2 or ventilation is taken to hold: a nursing shift, within which settings are charted anew."""

_MEANS = ("hr", "resp_rate", "sao2", "bun", "creatinine", "na", "k", "hco3", "glucose", "paco2")
_PRESSURES = {"sys": ("sys_abp", "ni_sys_abp"), "dias": ("dias_abp", "ni_dias_abp"), "map": ("map", "ni_map")}
"""Arterial line before cuff."""
_EXTREMES = ("pao2", "fio2", "mech_vent")
_USED = (*_MEANS, *_EXTREMES, *(concept for pair in _PRESSURES.values() for concept in pair))


def hourly(events: DataFrame, window_hours: int) -> DataFrame:
    """Columns stay_id, hour (0 .. window_hours - 1; the window's very last minute belongs to the last hour), then:

    the hour's means, `sys`, `dias`, `map` (arterial, else cuff) [mmHg], lowest `pao2` [mmHg], `fio2`
    (highest of the hour, else as charted in the `CARRIED_HOURS` before) and `ventilated` (1 charted in the hour or
    in those before, else 0).
    """
    rows = events.where(F.col("concept").isin(*_USED)).withColumn(
        "hour", F.least(F.floor(F.col("minute") / 60).cast("int"), F.lit(window_hours - 1))
    )
    by_hour = rows.groupBy("stay_id", "hour").agg(
        *(_of(F.avg, concept).alias(concept) for concept in _MEANS),
        *(F.coalesce(*(_of(F.avg, c) for c in pair)).alias(name) for name, pair in _PRESSURES.items()),
        _of(F.min, "pao2").alias("pao2"),
        _of(F.max, "fio2").alias("charted_fio2"),
        _of(F.max, "mech_vent").alias("charted_ventilated"),
    )
    return by_hour.withColumns(
        {"fio2": _carried("charted_fio2"), "ventilated": F.coalesce(_carried("charted_ventilated"), F.lit(0.0))}
    )


def _of(aggregate: Callable[[Column], Column], concept: str) -> Column:
    return aggregate(F.when(F.col("concept") == concept, F.col("value")))


def _carried(column: str) -> Column:
    """The hour's value, else the latest of at most `CARRIED_HOURS` before."""
    before = Window.partitionBy("stay_id").orderBy("hour").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    there = F.col(column).isNotNull()
    charted_at = F.last(F.when(there, F.col("hour")), ignorenulls=True).over(before)
    value = F.last(F.col(column), ignorenulls=True).over(before)
    return F.when(F.col("hour") - charted_at <= CARRIED_HOURS, value)
