"""Clinical composites: quantities that combine several measurements, from the hourly table.

Shock index: Allgower & Burri, Dtsch Med Wochenschr 1967;92:1947-1950. Modified shock index: Liu et al., World J
Emerg Med 2012;3:114-117. ROX index: Roca et al., J Crit Care 2016;35:200-205. PaO2/FiO2: Bernard et al., Am J
Respir Crit Care Med 1994;149:818-824; SpO2/FiO2: Rice et al., Chest 2007;132:410-417. Alveolar gas equation at sea
level with a respiratory quotient of 0.8. Serum osmolality: Dorwart & Chalmers, Clin Chem 1975;21:190-194 (in its
simple form 2 Na + glucose / 18 + BUN / 2.8).
"""

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gold.mortality.feature import Feature
from gold.mortality.statistics import LAST, MAX, MEAN, MIN, SLOPE, SPANS, STD, Plan, Statistic, slope


@dataclass(frozen=True)
class Composite:
    """A quantity of one hour as a Spark SQL expression over the hourly table; null where a part is missing."""

    name: str
    words: str
    unit: str
    expression: str


COMPOSITES = (
    Composite("shock_index", "Shock index, heart rate / systolic pressure", "1/min/mmHg", "hr / nullif(sys, 0)"),
    Composite(
        "modified_shock_index", "Modified shock index, heart rate / mean pressure", "1/min/mmHg", "hr / nullif(map, 0)"
    ),
    Composite("pulse_pressure", "Pulse pressure, systolic minus diastolic", "mmHg", "sys - dias"),
    Composite("pf_ratio", "PaO2/FiO2", "mmHg", "pao2 / nullif(fio2, 0)"),
    Composite("sf_ratio", "SaO2/FiO2", "%", "sao2 / nullif(fio2, 0)"),
    Composite("rox_index", "ROX index, SaO2/FiO2 / respiratory rate", "% min", "sao2 / nullif(fio2 * resp_rate, 0)"),
    Composite("aa_gradient", "Alveolar-arterial oxygen gradient", "mmHg", "fio2 * 713 - paco2 / 0.8 - pao2"),
    Composite("bun_creatinine", "BUN/creatinine", "1", "bun / nullif(creatinine, 0)"),
    Composite("osmolality", "Calculated serum osmolality", "mOsm/kg", "2 * na + glucose / 18 + bun / 2.8"),
    Composite(
        "cation_gap", "Sodium + potassium minus bicarbonate: chloride and unmeasured anions", "mmol/L", "na + k - hco3"
    ),
)

_KEPT: Plan = {
    "": (MEAN, STD, MIN, MAX, LAST, SLOPE),
    "_first_24h": (MEAN,),
    "_last_24h": (MEAN, MIN, MAX),
    "_last_6h": (MEAN,),
}

FEATURES = (
    *(
        Feature(
            f"{c.name}_{s.name}{span}",
            f"{c.words}: {s.words} of the hours{SPANS[span].words} [{s.unit.format(unit=c.unit)}]",
        )
        for c in COMPOSITES
        for span, kept in _KEPT.items()
        for s in kept
    ),
    *(
        Feature(f"ventilated_share{span}", f"Share of hours with mechanical ventilation{words.words}", zero=True)
        for span, words in SPANS.items()
    ),
)

_PERIODS = ("_first_24h", "_last_24h")


def composites(by_hour: DataFrame, window_hours: int) -> DataFrame:
    """One row a stay with `FEATURES`, and what SOFA's respiratory component needs of each period:

    `_pf_ratio_min<period>` and, of ventilated hours alone, `_pf_ratio_ventilated_min<period>` [mmHg].
    """
    values = by_hour.withColumns({c.name: F.expr(c.expression).cast("double") for c in COMPOSITES})
    aggregates: list[Column] = []
    for span, kept in _KEPT.items():
        within = SPANS[span].inside_hours(window_hours)
        aggregates += [
            _statistic(s, F.when(within, F.col(c.name))).alias(f"{c.name}_{s.name}{span}")
            for c in COMPOSITES
            for s in kept
        ]
    for suffix, part in SPANS.items():
        hours = min(part.hours or window_hours, window_hours)
        ventilated = F.sum(F.when(part.inside_hours(window_hours), F.col("ventilated")))
        aggregates.append((ventilated / float(hours)).alias(f"ventilated_share{suffix}"))
    for period in _PERIODS:
        inside = SPANS[period].inside_hours(window_hours)
        ratio = F.when(inside, F.col("pf_ratio"))
        aggregates += [
            F.min(ratio).alias(f"_pf_ratio_min{period}"),
            F.min(F.when(F.col("ventilated") == 1, ratio)).alias(f"_pf_ratio_ventilated_min{period}"),
        ]
    return values.groupBy("stay_id").agg(*aggregates)


def _statistic(statistic: Statistic, value: Column) -> Column:
    by_name = {
        MEAN: F.avg(value),
        STD: F.stddev_samp(value),
        MIN: F.min(value),
        MAX: F.max(value),
        LAST: F.max_by(value, F.when(value.isNotNull(), F.col("hour"))),
        SLOPE: slope(value, F.col("hour")),
    }
    return by_name[statistic]
