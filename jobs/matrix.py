"""The gold tables of a question as a feature matrix in memory, with the versions that were read."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lakehouse.errors import ContractError
from lakehouse.io import Lake
from lakehouse.tasks import Task

IDENTIFIERS = ("stay_id", "source")


@dataclass(frozen=True)
class Matrix:
    """Rows of one cohort. `features` (n, p) is indexed by stay; the arrays are (n,) in its order."""

    features: pd.DataFrame
    source: pd.Series
    split: pd.Series
    patient: pd.Series
    label: pd.Series
    versions: dict[str, int]

    def part(self, split: str, labelled: bool = True) -> "Matrix":
        """The rows of one split, without those whose outcome is unknown."""
        keep = (self.split == split).to_numpy()
        if labelled:
            keep &= self.label.notna().to_numpy()
        return Matrix(
            self.features[keep],
            self.source[keep],
            self.split[keep],
            self.patient[keep],
            self.label[keep],
            self.versions,
        )

    @property
    def outcomes(self) -> np.ndarray:
        """Labels (n,) as 0 and 1; of labelled rows alone."""
        return self.label.to_numpy(dtype=np.float64)


def load_matrix(lake: Lake, task: Task) -> Matrix:
    """Features and cohort of a task joined stay by stay; ContractError where one lacks the other's stays."""
    cohort_name, features_name = f"gold.{task.name}_cohort", f"gold.{task.name}_features"
    for name in (cohort_name, features_name):
        if not lake.exists(name) or lake.row_count(name) == 0:
            raise ContractError(f"{name} has no rows: run ehr ingest, refine and featurize first.")
    versions = {name: lake.version(name) or 0 for name in (cohort_name, features_name)}
    cohort = lake.read_arrow(cohort_name).to_pandas().set_index("stay_id").sort_index()
    features = lake.read_arrow(features_name).to_pandas().set_index("stay_id").sort_index()
    if not cohort.index.equals(features.index):
        apart = cohort.index.symmetric_difference(features.index)
        raise ContractError(f"{features_name} and {cohort_name} differ by {len(apart)} stays: run ehr featurize.")
    return Matrix(
        features.drop(columns="source"),
        cohort["source"],
        cohort["split"],
        cohort["patient_id"],
        cohort[task.label],
        versions,
    )
