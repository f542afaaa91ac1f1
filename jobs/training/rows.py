"""The rows of a training as plain Parquet files in a folder, and how they are read again: whole, or part by part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from models.sequence.events import COLUMNS, attach
from models.sequence.plan import parts_of

if TYPE_CHECKING:  # an executor imports this module for each process that it starts
    from jobs.training.matrix import Matrix

COHORT, FEATURES, SEQUENCES, CONCEPTS = (
    f"{name}.parquet" for name in ("cohort", "features", "sequences", "concepts")
)  # fmt: skip
GROUP = 4096
"""Stays a row group: how many are in memory at a time where a file is read part by part."""


def write_rows(rows: Matrix, folder: Path) -> None:
    """Writes them into an existing folder; features and sequences hold the same stays, in one order."""
    rows.cohort.to_parquet(folder / COHORT)
    rows.features.to_parquet(folder / FEATURES, row_group_size=GROUP)
    pq.write_table(pa.Table.from_pylist([dict(one) for one in rows.concepts]), folder / CONCEPTS)
    if (events := rows.events()) is not None:
        pq.write_table(events, folder / SEQUENCES, row_group_size=GROUP)


def feature_groups(folder: Path) -> Iterator[pd.DataFrame]:
    """The features, a row group at a time."""
    with pq.ParquetFile(folder / FEATURES) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group).to_pandas()


def stays_with_events(folder: Path) -> Iterator[pd.DataFrame]:
    """Features with events beside them, as many stays at a time as a network's training lays out at once."""
    with pq.ParquetFile(folder / SEQUENCES) as sequences:
        for group, features in enumerate(feature_groups(folder)):
            part = attach(features, sequences.read_row_group(group, columns=["stay_id", *COLUMNS]))
            for rows in parts_of(len(part)):
                yield part.iloc[rows]
