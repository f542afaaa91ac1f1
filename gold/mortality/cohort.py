"""One row a stay that the mortality question is asked about.

Key `stay_id`; from `silver.stays`. The rule is the Challenge's own: at least `min_age` years old and at least
`min_icu_hours` in the ICU (Silva et al., Computing in Cardiology 2012;39:245-248). A stay without a label keeps its
row and its split, so that it can be scored; whoever trains or evaluates takes the labelled rows alone. All of a
patient's stays are in one split.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from lakehouse.table import Rule, Table
from lakehouse.tasks import Split, Task

TABLE = Table(
    name="gold.mortality_cohort",
    description="Stays that the mortality question is asked about, with label and split.",
    ddl="""
        stay_id STRING NOT NULL COMMENT 'ICU stay',
        source STRING NOT NULL COMMENT 'source system',
        patient_id STRING NOT NULL COMMENT 'patient; all stays of a patient are in one split',
        admission_id STRING COMMENT 'hospital admission',
        record_set STRING COMMENT 'record set of the publisher (Challenge: a, b, c)',
        split STRING NOT NULL COMMENT 'train | test | external (in neither record set)',
        window_hours INT NOT NULL COMMENT 'h since the stay began that a prediction may look at',
        in_hospital_death INT COMMENT 'label: 1 died in this hospital admission, 0 left it alive; null: unknown'
    """,
    key=("stay_id",),
    inputs=("silver.stays",),
    consumes=("silver.stays",),
    by="stay_id",
    task="mortality",
    rules=(
        Rule("split_known", "split IN ('train', 'test', 'external')", "fail"),
        Rule("labelled", "split = 'external' OR in_hospital_death IS NOT NULL", "warn"),
    ),
)


def build(stays: DataFrame, task: Task) -> DataFrame:
    """Stays that meet the task's rule; the others carry the reason in `_left_out`."""
    return stays.select(
        "stay_id",
        "source",
        "patient_id",
        "admission_id",
        "record_set",
        split_of(task.split).alias("split"),
        F.lit(task.window_hours).cast("int").alias("window_hours"),
        F.col(task.label).cast("int").alias("in_hospital_death"),
        left_out(task).alias("_left_out"),
    )


def left_out(task: Task) -> Column:
    """Why a stay is not asked about; null where it is."""
    return (
        F.when(F.col("age").isNull(), "age_unknown")
        .when(F.col("age") < task.min_age, f"under_{task.min_age}")
        .when(F.col("icu_hours").isNull(), "icu_hours_unknown")
        .when(F.col("icu_hours") < task.min_icu_hours, f"shorter_than_{task.min_icu_hours:g}_h")
    )


def split_of(split: Split) -> Column:
    """`train`, `test` or `external` for each stay, the same for all of a patient's stays.

    By record set, a patient with stays in several sets goes where it does least harm: test before train before
    external. By hash, the first 48 bits of SHA-256 of seed and patient give a number in [0, 1) that is compared
    with `test_fraction`.
    """
    if split.by == "patient_hash":
        digest = F.sha2(F.concat(F.lit(f"{split.seed}:"), F.col("patient_id")), 256)
        share = F.conv(F.substring(digest, 1, 12), 16, 10).cast("double") / float(16**12)
        return F.when(share < split.test_fraction, "test").otherwise("train")
    rank = F.when(F.col("record_set").isin(*split.test), 2).when(F.col("record_set").isin(*split.train), 1).otherwise(0)
    of_patient = F.max(rank).over(Window.partitionBy("patient_id"))
    return F.when(of_patient == 2, "test").when(of_patient == 1, "train").otherwise("external")
