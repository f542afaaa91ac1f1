"""Statistics of each concept's series: over the whole window, its first 24 h and its last 24, 12 and 6 h.

Made in two steps: one aggregation to a long table (a row a stay and concept), which is small, then those rows in a
list. A thousand conditional aggregates over the events themselves would read every event a thousand times.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gold.mortality.feature import Feature
from lakehouse.reference import read_dictionary


@dataclass(frozen=True)
class Span:
    """A part of the window: its first or last `hours`, or all of it where `hours` is None."""

    words: str = ""
    first: bool = False
    hours: int | None = None

    def inside(self, window_hours: int) -> Column | None:
        """Condition on `minute`: first h is [0, h], last h is (end - h, end]; None where every event is inside."""
        if self.hours is None or self.hours >= window_hours:
            return None
        if self.first:
            return F.col("minute") <= self.hours * 60
        return F.col("minute") > (window_hours - self.hours) * 60

    def inside_hours(self, window_hours: int) -> Column:
        """The same for whole hours counted from 0 in a column `hour`."""
        if self.hours is None:
            return F.lit(True)
        return F.col("hour") < self.hours if self.first else F.col("hour") >= window_hours - self.hours


SPANS = {
    "": Span(),
    "_first_24h": Span(" in the first 24 h", first=True, hours=24),
    "_last_24h": Span(" in the last 24 h", hours=24),
    "_last_12h": Span(" in the last 12 h", hours=12),
    "_last_6h": Span(" in the last 6 h", hours=6),
}
"""By the suffix of a column's name."""


@dataclass(frozen=True)
class Statistic:
    """One statistic: what it says of a series, and its unit, in which `{unit}` is the series' own."""

    name: str
    words: str
    unit: str = "{unit}"


COUNT = Statistic("count", "number of measurements", "")
MEAN = Statistic("mean", "mean")
STD = Statistic("std", "sample standard deviation")
MIN = Statistic("min", "minimum")
MAX = Statistic("max", "maximum")
SLOPE = Statistic("slope", "least-squares slope", "{unit} per h")
SUM = Statistic("sum", "sum")
FIRST = Statistic("first", "first value")
LAST = Statistic("last", "last value")
CHANGE = Statistic("change", "last minus first value")
DEVIATION = Statistic("deviation", "last value minus mean")
TREND = Statistic("trend", "mean of the last 6 h minus mean of the first 24 h")
HOURS_SINCE_LAST = Statistic("hours_since_last", "time from the last measurement to the end of the window", "h")
HOURS_TO_FIRST = Statistic("hours_to_first", "time from the start of the stay to the first measurement", "h")

WHOLE = (FIRST, LAST, CHANGE, DEVIATION, TREND, HOURS_SINCE_LAST, HOURS_TO_FIRST)

Plan = dict[str, tuple[Statistic, ...]]
"""Suffix of a span to the statistics that are kept of it."""

_SERIES = (COUNT, MEAN, STD, MIN, MAX, SLOPE)
CONTINUOUS: Plan = {
    "": (*_SERIES, *WHOLE),
    "_first_24h": (MEAN, MIN, MAX),
    "_last_24h": _SERIES,
    "_last_12h": (COUNT, MEAN, MIN, MAX),
    "_last_6h": _SERIES,
}
"""Charted about hourly."""
SPARSE: Plan = {
    "": (*_SERIES, *WHOLE),
    "_first_24h": (MEAN, MIN, MAX),
    "_last_24h": _SERIES,
    "_last_12h": (COUNT, MEAN, MIN, MAX),
    "_last_6h": (COUNT, MEAN),
}
"""Drawn a few times a day: a spread or slope over few hours would rest on one or two values."""
OUTPUT: Plan = {span: (*kept, SUM) for span, kept in CONTINUOUS.items()}
"""Amounts since the entry before: sums matter too."""
FLAG: Plan = {
    "": (COUNT, HOURS_SINCE_LAST, HOURS_TO_FIRST),
    "_first_24h": (COUNT,),
    "_last_24h": (COUNT,),
    "_last_12h": (COUNT,),
    "_last_6h": (COUNT,),
}
"""Charted as present only: the value is always one."""
BODY: Plan = {"": (COUNT, MEAN, MIN, MAX, SLOPE, FIRST, LAST, CHANGE, HOURS_SINCE_LAST)}
"""Body weight: changes by fluid balance over days."""

PLANS = (CONTINUOUS, SPARSE, OUTPUT, FLAG, BODY)

NOT_SERIES = frozenset({"height", "gcs_eye", "gcs_verbal", "gcs_motor"})
"""Height is a constant (see demographics); only some sources chart the parts of the GCS, and its total holds them."""

_PLAN_OF_KIND = {
    "vital": CONTINUOUS,
    "neuro": CONTINUOUS,
    "support": CONTINUOUS,
    "output": OUTPUT,
    "lab": SPARSE,
    "gas": SPARSE,
    "body": BODY,
}


def series() -> Iterator[tuple[str, str, str, Plan]]:
    """(concept, label, unit, plan) of each concept of `conf/concepts.csv` whose series is described."""
    for row in read_dictionary("concepts"):
        concept, kind = str(row["concept"]), str(row["kind"])
        if concept in NOT_SERIES:
            continue
        plan = FLAG if row["aggregate"] == "max" else _PLAN_OF_KIND[kind]
        yield concept, str(row["label"]), str(row["unit"] or ""), plan


def statistics_features() -> tuple[Feature, ...]:
    """The columns of `statistics`, in their order."""
    return (
        *(
            Feature(f"events_count{span}", f"Measurements of any concept{SPANS[span].words}", zero=True)
            for span in SPANS
        ),
        Feature("concepts_count", "Concepts measured at least once", zero=True),
        Feature(
            "events_hours_since_last", "Time from the last measurement of any concept to the end of the window [h]"
        ),
        *(
            _feature(concept, label, unit, statistic, span)
            for concept, label, unit, plan in series()
            for statistic, span in _kept(plan)
        ),
    )


def _kept(plan: Plan) -> list[tuple[Statistic, str]]:
    """Each statistic of a plan with its span's suffix."""
    return [(statistic, span) for span, kept in plan.items() for statistic in kept]


def _feature(concept: str, label: str, unit: str, statistic: Statistic, span: str) -> Feature:
    shown = statistic.unit.format(unit=unit).strip()
    comment = f"{label}: {statistic.words}{SPANS[span].words}{f' [{shown}]' if shown else ''}"
    return Feature(f"{concept}_{statistic.name}{span}", comment, zero=statistic is COUNT)


def long_statistics(events: DataFrame, window_hours: int) -> DataFrame:
    """One row a stay and concept with the statistics of every span, from events inside the window."""
    aggregates: list[Column] = []
    for suffix, span in SPANS.items():
        inside = span.inside(window_hours)
        value = F.col("value") if inside is None else F.when(inside, F.col("value"))
        by_name = {
            COUNT: F.count(value).cast("double"),
            MEAN: F.avg(value),
            STD: F.stddev_samp(value),
            MIN: F.min(value),
            MAX: F.max(value),
            SLOPE: slope(value, F.col("minute")) * 60,
            SUM: F.sum(value),
        }
        wanted = {COUNT, *(statistic for plan in PLANS for statistic in plan.get(suffix, ()))}
        aggregates += [column.alias(s.name + suffix) for s, column in by_name.items() if s in wanted]
    return (
        events.groupBy("stay_id", "concept")
        .agg(
            *aggregates,
            F.min_by("value", "minute").alias("first"),
            F.max_by("value", "minute").alias("last"),
            ((window_hours * 60 - F.max("minute")) / 60.0).alias("hours_since_last"),
            (F.min("minute") / 60.0).alias("hours_to_first"),
        )
        .withColumns(
            {
                "change": F.col("last") - F.col("first"),
                "deviation": F.col("last") - F.col("mean"),
                "trend": F.col("mean_last_6h") - F.col("mean_first_24h"),
            }
        )
    )


def slope(value: Column, at: Column) -> Column:
    """Least-squares slope of `value` over `at`, a whole number, as an aggregate; null unless two of `at` differ.

    By sums: `regr_slope` took the embedded engine longer than all other statistics together. Sums of products cancel
    where the values of `at` are near one another, so the value is taken in two parts. Multiples of 2^-10 add up
    without an error, and of the rest, which is smaller than that, no error matters.
    """
    x = F.when(value.isNotNull(), at.cast("bigint"))
    n, total = F.count(value), F.sum(x)
    coarse = F.floor(value * 1024) / 1024.0

    def covariation(part: Column) -> Column:
        return n * F.sum(x * part) - total * F.sum(part)

    spread = n * F.sum(x * x) - total * total
    return (covariation(coarse) + covariation(value - coarse)) / F.when(spread != 0, spread.cast("double"))


SERIES = "_series"
"""The list of a stay's statistics: a struct a concept."""
PLACES = {
    f"{concept}_{statistic.name}{span}": (concept, statistic.name + span)
    for concept, _, _, plan in series()
    for statistic, span in _kept(plan)
}
"""Where in that list a feature is: of which concept, in which field. `feature_columns` finds it there."""


def statistics(events: DataFrame, window_hours: int) -> DataFrame:
    """One row a stay that has events: counts over all concepts, and the statistics of each concept in the list."""
    fields = sorted({field for _, field in PLACES.values()})
    return (
        long_statistics(events, window_hours)
        .groupBy("stay_id")
        .agg(
            *(F.sum(f"count{span}").alias(f"events_count{span}") for span in SPANS),
            F.count("*").cast("double").alias("concepts_count"),
            F.min("hours_since_last").alias("events_hours_since_last"),
            F.collect_list(F.struct("concept", *fields)).alias(SERIES),
        )
    )
