"""What every risk model is, whatever is inside: features in, risks and contributions out, saved as plain
files.

A new kind of model (a network, an ensemble, a calibrated wrapper) is one class here implemented and one line
in `models.scorer.KINDS`; training jobs, registry and scoring stay as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from models.features import FeatureSchema

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class RiskModel(ABC):
    """A fitted model of the risk of one outcome. `n` rows, `p` features (the schema's, in its order)."""

    kind: ClassVar[str]
    requirements: ClassVar[tuple[str, ...]]  # distributions that loading and scoring need
    schema: FeatureSchema

    @abstractmethod
    def margins(self, features: pd.DataFrame) -> Floats:
        """Log odds, shape (n,). Refuses frames that do not fit the schema (ValueError)."""

    @abstractmethod
    def contributions(self, features: pd.DataFrame) -> tuple[Floats, Floats]:
        """(n, p) contributions in log odds and (n,) bias; a row's sum is its margin."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes the model into an existing folder, without pickle."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, schema: FeatureSchema) -> Self:
        """The model that `save` wrote; answers the same to the last bit."""

    def risks(self, features: pd.DataFrame) -> Floats:
        """Probabilities of the outcome, shape (n,)."""
        return expit(self.margins(features))


@dataclass(frozen=True)
class Trained:
    """What training gives back.

    `out_of_fold` (n,) are risks of the training rows by models that did not see them, with the chosen
    `parameters`: the only thing a threshold, a calibration or a stack may be fitted on. `trials` is one row
    a candidate tried.
    """

    model: RiskModel
    out_of_fold: Floats
    parameters: dict[str, Any]
    trials: list[dict[str, Any]] = field(default_factory=list)
