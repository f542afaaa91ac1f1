"""Model-ready description of each stay of the cohort: one row a stay, one DOUBLE column a feature.

Key `stay_id`; from the cohort, `silver.stays`, `silver.events`, `silver.admissions`, `silver.diagnoses` and how
common codes are. Must never contain: anything measured after the window's end, the label or any column of the outcome
files, this admission's diagnosis codes. Missing is null; a model's own pipeline imputes. Columns of a feature group
that the task turns off are null, so that the contract stays the same.
"""

from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gold.mortality import composites, demographics, history, retrospective, saps, sofa, urine
from gold.mortality.feature import Feature, features_ddl, known_by_its_end, within_window
from gold.mortality.feature_columns import feature_columns
from gold.mortality.hourly import hourly
from gold.mortality.statistics import statistics, statistics_features
from lakehouse.settings import check_keys
from lakehouse.table import Table
from lakehouse.tasks import Task

GROUPS: dict[str, tuple[Feature, ...]] = {
    "demographics": demographics.FEATURES,
    "statistics": statistics_features(),
    "composites": (*composites.FEATURES, *urine.FEATURES),
    "severity": (*sofa.FEATURES, *saps.FEATURES),
    "history": history.FEATURES,
}
"""Features by the name under which a task turns them off; `retrospective_codes` is a table of its own."""

FEATURES = tuple(feature for group in GROUPS.values() for feature in group)

TABLE = Table(
    name="gold.mortality_features",
    description="Features of each stay from the prediction window and from what was known before it.",
    ddl=features_ddl(FEATURES),
    key=("stay_id",),
    key_check=False,  # a row of the cohort each, and every part is grouped by stay: a sort of wide rows for nothing
    inputs=(
        "gold.mortality_cohort",
        "silver.stays",
        "silver.events",
        "silver.admissions",
        "silver.diagnoses",
        "gold.mortality_code_frequencies",
        "conf.comorbidities",
    ),
    by="stay_id",
    task="mortality",
)


def build(
    mortality_cohort: DataFrame,
    stays: DataFrame,
    events: DataFrame,
    admissions: DataFrame,
    diagnoses: DataFrame,
    mortality_code_frequencies: DataFrame,
    comorbidities: DataFrame,
    task: Task,
) -> DataFrame:
    """One row for every stay of the cohort, also for those without a single measurement.

    ConfigError where the task names a feature group that there is not.
    """
    check_keys(task.feature_groups, (*GROUPS, retrospective.GROUP), f"feature_groups of task {task.name}")
    inside, known = (of(events, mortality_cohort, task) for of in (within_window, known_by_its_end))
    parts = (
        demographics.demographics(mortality_cohort, stays, admissions, known),
        history.history(mortality_cohort, admissions, diagnoses, comorbidities, mortality_code_frequencies),
        composites.composites(hourly(inside, task.window_hours), task.window_hours),
        statistics(inside, task.window_hours),
    )
    joined = mortality_cohort.select("stay_id", "source")
    for place, part in enumerate(parts):
        # By keys of two names: to merge two columns into one, the embedded engine names all others anew.
        own = f"_stay_{place}"
        joined = joined.join(part.withColumnRenamed("stay_id", own), F.col("stay_id") == F.col(own), how="left")
    made = (partial(urine.urine, task.window_hours), sofa.sofa, saps.saps)
    off = {f.name for group, features in GROUPS.items() if not task.feature_groups.get(group, True) for f in features}
    return feature_columns(joined, FEATURES, made, off)
