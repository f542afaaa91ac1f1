"""Keeps references whole: marks rows whose parent another silver table has."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def with_known(frame: DataFrame, parents: DataFrame, column: str) -> DataFrame:
    """Adds `_known_<column> BOOLEAN`: whether `parents` (unique on `column`) has the row's, of the same patient; null
    stays null."""
    known = parents.select(F.col(column).alias("_parent"), F.col("patient_id").alias("_parent_patient"))
    meets = (F.col(column) == F.col("_parent")) & (F.col("patient_id") == F.col("_parent_patient"))
    found = F.when(F.col(column).isNotNull(), F.col("_parent").isNotNull())
    return (
        frame.join(F.broadcast(known), meets, how="left")
        .withColumn(f"_known_{column}", found)
        .drop("_parent", "_parent_patient")
    )
