"""The gold tables of a question as a feature matrix in memory, with the versions that were read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lakehouse.errors import ContractError
from lakehouse.reference import read_dictionary
from lakehouse.tasks import Task
from models.features import Kind
from models.provenance import patient_digest
from models.scorer import Scorer
from models.sequence.events import COLUMNS, attach

if TYPE_CHECKING:  # a machine that only trains has neither Delta nor Spark
    from lakehouse.io import Lake

CONCEPTS, TOLD = "conf.concepts", ("concept", "id", "log", "aggregate")
"""The clinical dictionary, and what of it a network is told."""


def network_concepts() -> list[dict[str, Any]]:
    """The concepts that a network can read, with what it needs to know of them."""
    return [{key: row[key] for key in TOLD} for row in read_dictionary(CONCEPTS)]


@dataclass(frozen=True)
class Matrix:
    """Rows of one cohort: `features` (n, p) and `cohort` (n rows of the cohort table), both indexed by stay, the event
    sequences of all stays where they were asked for, and the concepts of the clinical dictionary.

    `versions` and `table_ids` say which version of which tables was read.
    """

    features: pd.DataFrame
    cohort: pd.DataFrame
    label_name: str
    versions: dict[str, int]
    sequences: pa.Table | None = None
    table_ids: dict[str, str] = field(default_factory=dict)
    concepts: Sequence[Mapping[str, Any]] = field(default_factory=network_concepts)

    @property
    def label(self) -> pd.Series:
        return self.cohort[self.label_name]

    @property
    def outcomes(self) -> np.ndarray:
        """Labels (n,) as 0 and 1; of labelled rows alone."""
        return self.label.to_numpy(dtype=np.float64)

    @property
    def patient(self) -> pd.Series:
        return self.cohort["patient_id"]

    def rows(self, keep: np.ndarray) -> Matrix:
        """The rows where `keep` (n,) is true."""
        return replace(self, features=self.features[keep], cohort=self.cohort[keep])

    def part(self, split: str) -> Matrix:
        """The labelled rows of one split."""
        return self.rows(((self.cohort["split"] == split) & self.label.notna()).to_numpy())

    def of_patients(self, digests: Collection[str]) -> np.ndarray:
        """Which rows (n,) are of patients with one of these digests: see `models.provenance`."""
        return self.patient.map(patient_digest).isin(set(digests)).to_numpy(dtype=bool)

    def with_sequences(self) -> pd.DataFrame:
        """The features with the events of each stay beside them; ContractError where the sequences were not read."""
        if self.sequences is None:
            raise ContractError("this matrix was read without sequences.")
        return attach(self.features, self.sequences)

    def events(self) -> pa.Table | None:
        """The sequences of these rows alone, in their order."""
        if self.sequences is None:
            return None
        rows = pd.Index(self.sequences["stay_id"].to_pandas()).get_indexer(self.features.index)
        return self.sequences.take(rows[rows >= 0])

    def digest(self) -> str:
        """Sixteen hex digits of SHA-256 over what a training reads: the same rows give the same, however stored."""
        found = hashlib.sha256(json.dumps(list(self.concepts), sort_keys=True).encode())
        numbers = self.features.select_dtypes(["number", "bool"]).astype(np.float64)
        told = self.cohort[["patient_id", self.label_name]].astype({self.label_name: np.float64})
        for frame in (numbers, self.features.drop(columns=numbers.columns), told):
            found.update("\0".join(map(str, frame.columns)).encode())
            found.update(pd.util.hash_pandas_object(frame).to_numpy().tobytes())
        if (events := self.events()) is not None:
            for name in COLUMNS:
                lists = events[name].combine_chunks()
                found.update(np.asarray(lists.value_lengths().fill_null(0)).tobytes())
                found.update(np.asarray(lists.flatten()).tobytes())
        return found.hexdigest()[:16]

    def inputs(self, scorer: Scorer) -> pd.DataFrame:
        """What a model reads: the features, with events where it asks for them."""
        return self.with_sequences() if scorer.model.schema.of(Kind.SERIES) else self.features


def gold_tables(task: str, sequences: bool) -> list[str]:
    """What a question's models read: cohort and features, and the events where they read the course."""
    return [f"gold.{task}_{part}" for part in ("cohort", "features", *(["sequences"] if sequences else []))]


def check_filled(lake: Lake, name: str) -> None:
    """ContractError where a table of gold is not there yet, or is empty."""
    if not lake.exists(name) or lake.row_count(name) == 0:
        raise ContractError(f"{name} has no rows: run ehr ingest, refine and featurize first.")


def load_matrix(lake: Lake, task: Task, sequences: bool, versions: Mapping[str, int] | None = None) -> Matrix:
    """Features and cohort of a task joined stay by stay, as they are or as they were at `versions`.

    ContractError where one lacks the other's stays, or where a version is no longer there.
    """
    names = gold_tables(task.name, sequences)
    for name in names:
        check_filled(lake, name)
    read = (
        {name: lake.data_version(name) or 0 for name in names} if versions is None else {n: versions[n] for n in names}
    )
    tables = [_at(lake, name, None if versions is None else read[name]) for name in names]
    cohort, features = (table.to_pandas().set_index("stay_id").sort_index() for table in tables[:2])
    if task.label not in cohort:
        raise ContractError(f"{names[0]} has no column {task.label}, the label in conf/tasks/{task.name}.yml.")
    if not cohort.index.equals(features.index):
        apart = cohort.index.symmetric_difference(features.index)
        raise ContractError(f"{names[1]} and {names[0]} differ by {len(apart)} stays: run ehr featurize.")
    events = tables[2] if sequences else None
    ids = {name: lake.table_id(name) or "" for name in names}
    return Matrix(features.drop(columns="source"), cohort, task.label, read, events, ids)


def _at(lake: Lake, name: str, version: int | None) -> pa.Table:
    try:
        return lake.read_arrow(name, version=version)
    except Exception as error:
        if version is None:
            raise
        raise ContractError(f"{name} version {version} is no longer there: its files were vacuumed.") from error
