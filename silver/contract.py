"""What a source does not tell, as nulls of the contract's types."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.table import Table


def complete(frame: DataFrame, table: Table) -> DataFrame:
    """The frame with every column of the contract: those that it lacks are null, its own stay as they are."""
    lacking = {c.name: F.lit(None).cast(c.type) for c in table.columns if c.name not in frame.columns}
    return frame.withColumns(lacking) if lacking else frame
