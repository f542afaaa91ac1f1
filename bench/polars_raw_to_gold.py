"""The rival: Challenge tarballs to features and sequences by hand, in polars, stage after stage through Parquet files.

python -m bench.polars_raw_to_gold RAW OUT

The same parsing, rules, combination of duplicates, ranges, 1,281 features and sequences as the lake's, with equal
results (tests/integration/test_bench.py). What it does not do: refuse single lines that do not parse (it stops),
account for rows, check keys and contracts, keep versions, skip what is up to date, read any other source.
Records never share a row, so that each file of records goes through all stages by itself and memory stays small.
"""

from argparse import ArgumentParser
from pathlib import Path

import polars as pl

from bench.polars_events import events, stays
from bench.polars_features import LAST_MINUTE, cohort, features, sequences
from bench.polars_measurements import measurements, outcomes


def raw_to_gold(raw: Path, out: Path) -> None:
    """Writes `<out>/<table>/*.parquet`. `out` must not be there yet."""
    files = measurements(raw, out / "measurements")
    outcomes(raw, out / "outcomes.parquet")
    for table in ("stays", "events", "events_quarantine", "cohort", "features", "sequences"):
        (out / table).mkdir()
    for file in files:
        _silver(out, file.name)
    for file in files:
        _gold(out, file.name)


def _silver(out: Path, name: str) -> None:
    rows = pl.read_parquet(out / "measurements" / name)
    known = stays(rows, pl.read_parquet(out / "outcomes.parquet"))
    known.write_parquet(out / "stays" / name)
    good, refused = events(rows, known)
    good.write_parquet(out / "events" / name)
    refused.write_parquet(out / "events_quarantine" / name)


def _gold(out: Path, name: str) -> None:
    asked = cohort(pl.read_parquet(out / "stays" / name))
    asked.write_parquet(out / "cohort" / name)
    ids = pl.Enum(asked["stay_id"])  # numbers under the hood, which group faster than text
    asked = asked.with_columns(pl.col("stay_id").cast(ids))
    inside = (
        pl.read_parquet(out / "events" / name, columns=["stay_id", "concept", "minute", "value"])
        .with_columns(pl.col("stay_id").cast(ids, strict=False))
        .filter(pl.col("minute").is_between(0, LAST_MINUTE) & pl.col("stay_id").is_not_null())
        .sort("stay_id", "minute", "concept")
    )
    for table, build in (("features", features), ("sequences", sequences)):
        build(asked, inside).cast({"stay_id": pl.String}).write_parquet(out / table / name)


if __name__ == "__main__":
    parser = ArgumentParser(description="Challenge records, raw to gold, in polars.")
    parser.add_argument("raw", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    raw_to_gold(given.raw, given.out)
