"""Keeps references whole: marks rows whose parent another silver table has."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def with_known(frame: DataFrame, parents: DataFrame, column: str) -> DataFrame:
    """Adds `_known_<column> BOOLEAN`: whether `parents` (unique on `column`) has the row's; null stays null."""
    known = parents.select(F.col(column).alias("_parent"))
    found = F.when(F.col(column).isNotNull(), F.col("_parent").isNotNull())
    return (
        frame.join(F.broadcast(known), F.col(column) == F.col("_parent"), how="left")
        .withColumn(f"_known_{column}", found)
        .drop("_parent")
    )
