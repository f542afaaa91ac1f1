"""One row a risk whose outcome is known: what was said of a stay beside what became of it.

Key: stay_id, scored_at. From the history of risks and `silver.stays`; outcomes that arrive later find the risks that
were given before. Accuracy over time is a query: `select scored_at::date, avg(correct::int) ... group by all`.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.table import Table

TABLE = Table(
    name="gold.mortality_outcomes",
    description="Risks beside the outcomes that are known by now.",
    ddl="""
        stay_id STRING NOT NULL COMMENT 'ICU stay',
        scored_at TIMESTAMP NOT NULL COMMENT 'time of scoring, UTC',
        source STRING NOT NULL COMMENT 'source system',
        split STRING NOT NULL COMMENT 'train | test | external: risks of training stays flatter',
        model_version INT NOT NULL COMMENT 'version of the model that gave the risk',
        risk DOUBLE NOT NULL COMMENT 'probability of in-hospital death, 0 to 1',
        flagged BOOLEAN NOT NULL COMMENT 'true: the risk was at least the threshold',
        in_hospital_death INT NOT NULL COMMENT '1 died in this hospital admission, 0 left it alive',
        correct BOOLEAN NOT NULL COMMENT 'true: flagged and died, or neither'
    """,
    key=("stay_id", "scored_at"),
    inputs=("gold.mortality_risk_history", "silver.stays"),
    key_check=False,
    by="stay_id",
)


def build(mortality_risk_history: DataFrame, stays: DataFrame) -> DataFrame:
    """Risks of the stays whose outcome is known."""
    known = stays.where(F.col("in_hospital_death").isNotNull()).select(
        "stay_id", F.col("in_hospital_death").cast("int").alias("in_hospital_death")
    )
    joined = mortality_risk_history.join(known, on="stay_id", how="inner")
    return joined.select(
        "stay_id",
        "scored_at",
        "source",
        "split",
        "model_version",
        "risk",
        "flagged",
        "in_hospital_death",
        (F.col("flagged") == (F.col("in_hospital_death") == 1)).alias("correct"),
    )
