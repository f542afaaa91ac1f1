"""The gold tables of a question as a feature matrix in memory, with the versions that were read."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from lakehouse.errors import ContractError
from lakehouse.io import Lake
from lakehouse.tasks import Task
from models.features import Kind
from models.scorer import Scorer
from models.sequence.events import attach


@dataclass(frozen=True)
class Matrix:
    """Rows of one cohort: `features` (n, p) and `cohort` (n rows of the cohort table), both indexed by stay, and the
    event sequences of all stays where they were asked for."""

    features: pd.DataFrame
    cohort: pd.DataFrame
    label_name: str
    versions: dict[str, int]
    sequences: pa.Table | None = None

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

    def rows(self, keep: np.ndarray) -> "Matrix":
        """The rows where `keep` (n,) is true."""
        return replace(self, features=self.features[keep], cohort=self.cohort[keep])

    def part(self, split: str) -> "Matrix":
        """The labelled rows of one split."""
        return self.rows(((self.cohort["split"] == split) & self.label.notna()).to_numpy())

    def with_sequences(self) -> pd.DataFrame:
        """The features with the events of each stay beside them; ContractError where the sequences were not read."""
        if self.sequences is None:
            raise ContractError("this matrix was read without sequences.")
        return attach(self.features, self.sequences)

    def inputs(self, scorer: Scorer) -> pd.DataFrame:
        """What a model reads: the features, with events where it asks for them."""
        return self.with_sequences() if scorer.model.schema.of(Kind.SERIES) else self.features


def load_matrix(lake: Lake, task: Task, sequences: bool) -> Matrix:
    """Features and cohort of a task joined stay by stay; ContractError where one lacks the other's stays."""
    names = [f"gold.{task.name}_{part}" for part in ("cohort", "features", *(["sequences"] if sequences else []))]
    for name in names:
        if not lake.exists(name) or lake.row_count(name) == 0:
            raise ContractError(f"{name} has no rows: run ehr ingest, refine and featurize first.")
    versions = {name: lake.version(name) or 0 for name in names}
    cohort, features = (lake.read_arrow(name).to_pandas().set_index("stay_id").sort_index() for name in names[:2])
    if task.label not in cohort:
        raise ContractError(f"{names[0]} has no column {task.label}, the label in conf/tasks/{task.name}.yml.")
    if not cohort.index.equals(features.index):
        apart = cohort.index.symmetric_difference(features.index)
        raise ContractError(f"{names[1]} and {names[0]} differ by {len(apart)} stays: run ehr featurize.")
    events = lake.read_arrow(names[2]) if sequences else None
    return Matrix(features.drop(columns="source"), cohort, task.label, versions, events)
