"""Each stay's events as they came, for models that read sequences: one row a stay of the cohort, three arrays of
equal length.

Key `stay_id`; from the cohort, `silver.events` and `conf.concepts`. Must never contain anything measured after the
window's end. A stay without measurements has empty arrays. Values are in the concept's unit, neither scaled nor
imputed.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from gold.mortality.feature import within_window
from lakehouse.table import Rule, Table
from lakehouse.tasks import Task

TABLE = Table(
    name="gold.mortality_sequences",
    description="Irregular event sequences of the prediction window, ordered by minute, then by concept.",
    ddl="""
        stay_id STRING NOT NULL COMMENT 'ICU stay',
        source STRING NOT NULL COMMENT 'source system',
        minutes ARRAY<INT> NOT NULL COMMENT 'minutes since the stay began, ascending, at most the window',
        concepts ARRAY<INT> NOT NULL COMMENT 'id in conf/concepts.csv; ascending within a minute',
        values ARRAY<DOUBLE> NOT NULL COMMENT 'value in the concept''s unit'
    """,
    key=("stay_id",),
    inputs=("gold.mortality_cohort", "silver.events", "conf.concepts"),
    by="stay_id",
    task="mortality",
    rules=(
        Rule("same_length", "size(minutes) = size(concepts) AND size(minutes) = size(values)", "fail"),
        Rule("ordered", "minutes = array_sort(minutes)", "fail"),
    ),
)


def build(mortality_cohort: DataFrame, events: DataFrame, concepts: DataFrame, task: Task) -> DataFrame:
    """One row for every stay of the cohort; an event whose concept the dictionary lacks has no id and is not told."""
    ids = concepts.select(F.col("concept"), F.col("id").cast("int").alias("id"))
    steps = (
        within_window(events, mortality_cohort, task)
        .join(ids, on="concept", how="inner")
        .groupBy("stay_id")
        .agg(F.array_sort(F.collect_list(F.struct("minute", "id", "value"))).alias("steps"))
    )
    none = F.array()
    return (
        mortality_cohort.select("stay_id", "source")
        .join(steps, on="stay_id", how="left")
        .select(
            "stay_id",
            "source",
            F.coalesce(F.col("steps.minute"), none).cast("array<int>").alias("minutes"),
            F.coalesce(F.col("steps.id"), none).cast("array<int>").alias("concepts"),
            F.coalesce(F.col("steps.value"), none).cast("array<double>").alias("values"),
        )
    )
