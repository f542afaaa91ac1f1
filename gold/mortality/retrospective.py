"""This admission's own diagnosis codes as features: RETROSPECTIVE, never for prediction.

Key `stay_id`. Codes are assigned after discharge and tell of the outcome, so they are kept in a table of their own
that no model is trained on by default; they serve case-mix adjustment and studies that look back. The table has
rows only where the task turns on its feature group `retrospective_codes` (off unless it says so).
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gold.mortality.feature import features_ddl
from gold.mortality.history import RETROSPECTIVE, code_features, code_frequencies, coded, codes_of
from lakehouse.table import Table
from lakehouse.tasks import Task

GROUP = "retrospective_codes"

FEATURES = code_features(RETROSPECTIVE, "this admission - RETROSPECTIVE: assigned after discharge, leaks the outcome")

TABLE = Table(
    name="gold.mortality_features_retrospective",
    description="RETROSPECTIVE: codes of the admission itself, assigned after discharge; never for prediction.",
    ddl=features_ddl(FEATURES),
    key=("stay_id",),
    inputs=("gold.mortality_cohort", "silver.diagnoses", "conf.comorbidities"),
    task="mortality",
)


def build(mortality_cohort: DataFrame, diagnoses: DataFrame, comorbidities: DataFrame, task: Task) -> DataFrame:
    """One row a stay with codes of its own admission; no row where the group is off."""
    asked = mortality_cohort.where(F.lit(task.feature_groups.get(GROUP, False)))
    with_codes = asked.join(diagnoses.select("admission_id").distinct(), on="admission_id", how="left_semi")
    codes = codes_of(with_codes, diagnoses)
    features = coded(RETROSPECTIVE, with_codes, codes, comorbidities, code_frequencies(with_codes, codes))
    return (
        with_codes.select("stay_id", "source")
        .join(features, on="stay_id", how="inner")
        .select("stay_id", "source", *(F.col(f.name).cast("double").alias(f.name) for f in FEATURES))
    )
