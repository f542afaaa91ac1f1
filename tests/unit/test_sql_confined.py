"""`ehr sql` reads the tables that a query names: no other file, no variable, and nothing is written."""

import time
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from jobs.sql import query_duckdb
from lakehouse.errors import ConfigError
from lakehouse.io import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two tables, and a file beside the lake."""
    lake = Lake(tmp_path / "lake")
    for name in ("silver.ward", "silver.other"):
        write_deltalake(str(lake.location(name)), pa.table({"id": [1, 2], "kind": ["a", "b"]}))
    (tmp_path / "secret.csv").write_text("name\nJane Roe\n")
    return lake


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT count(*) AS n FROM silver.ward", [{"n": 2}]),
        ("WITH w AS (SELECT id FROM silver.ward) SELECT max(id) AS n FROM w;", [{"n": 2}]),
        ("FROM silver.ward SELECT min(id) AS n", [{"n": 1}]),
        ("PIVOT silver.ward ON kind USING max(id)", [{"a": 1, "b": 2}]),
        ("SELECT column_name AS c FROM (DESCRIBE silver.ward)", [{"c": "id"}, {"c": "kind"}]),
    ],
)
def test_what_a_query_is(lake: Lake, query: str, rows: list[dict[str, object]]) -> None:
    assert query_duckdb(lake, query).to_pylist() == rows


def test_times_are_utc_wherever_the_machine_is(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    noon = "SELECT strftime(TIMESTAMPTZ '2020-01-01 12:00:00+00', '%H') AS hour FROM silver.ward LIMIT 1"
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "America/New_York")
        time.tzset()
        told = query_duckdb(lake, noon).to_pylist()
    time.tzset()
    assert told == [{"hour": "12"}]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('{outside}/secret.csv')",
        "SELECT * FROM '{outside}/secret.csv'",
        "SELECT * FROM read_text('{ward}/../../../secret.csv'), silver.ward",
        "SELECT * FROM glob('{outside}/*'), silver.ward",
        "SELECT * FROM delta_scan('file://{other}'), silver.ward",
        "SELECT getenv('HOME')",
        "COPY (SELECT * FROM silver.ward) TO '{ward}/x.parquet'",
        "EXPLAIN ANALYZE COPY (SELECT * FROM silver.ward) TO '{ward}/x.parquet'",
        "SELECT 1; COPY (SELECT * FROM silver.ward) TO '{outside}/x.csv'",
        "ATTACH '{outside}/x.db'",
        "EXPORT DATABASE '{outside}/x'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "DELETE FROM silver.ward",
    ],
)
def test_what_a_query_may_not(lake: Lake, query: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    told = query.format(outside=tmp_path, ward=lake.location("silver.ward"), other=lake.location("silver.other"))
    with pytest.raises(ConfigError):
        query_duckdb(lake, told)
    assert sorted(tmp_path.rglob("*")) == before
