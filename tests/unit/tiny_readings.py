"""One small contract with a rule of each severity, and one commit of made-up rows to it."""

from typing import Any

from pyspark.sql import DataFrame, SparkSession

from lakehouse.commit import Committed, Scope, commit
from lakehouse.io import Lake
from lakehouse.table import Rule, Table

READINGS = Table(
    name="silver.readings",
    ddl="id BIGINT NOT NULL, value DOUBLE COMMENT 'mmHg', note STRING NOT NULL",
    key=("id",),
    rules=(
        Rule("positive", "value > 0"),
        Rule("below_limit", "value < coalesce(_limit, 300)"),
        Rule("usual", "value < 200", "warn"),
        Rule("known_unit", "note <> 'furlong'", "fail"),
    ),
)
GIVEN = "id BIGINT, value DOUBLE, note STRING, _left_out STRING, _rows BIGINT, _merged_as STRING, _limit DOUBLE"


def frame(spark: SparkSession, *rows: dict[str, Any]) -> DataFrame:
    """Rows with a note `ok` unless they say otherwise."""
    names = [part.split()[0] for part in GIVEN.split(", ")]
    return spark.createDataFrame([tuple({"note": "ok", **row}.get(n) for n in names) for row in rows], GIVEN)


def put(lake: Lake, given: DataFrame, table: Table = READINGS, run_id: str = "run-1", **rest: Any) -> Committed:
    return commit(lake, table, given, node=table.name, run_id=run_id, scope=Scope(), default_from="bronze.r", **rest)


def stored(lake: Lake, name: str, *columns: str) -> list[tuple[Any, ...]]:
    return sorted((tuple(row.values()) for row in lake.read_arrow(name, list(columns)).to_pylist()), key=repr)
