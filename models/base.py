"""What every risk model is, whatever is inside: features in, risks and contributions out, saved as plain
files.

A new kind of model (a network, an ensemble) is one class here implemented and one import in `models.kinds`;
registry and scoring stay as they are.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from models.features import FeatureSchema

FILE = "model.json"
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Moments:
    """When C `channels` moved each of n risks: `contributions` (n, H, C) in log odds by the hour of the window, and the
    `values` (n, H, C) in force then, NaN where nothing was measured yet."""

    channels: list[str]
    values: NDArray[np.float32]
    contributions: NDArray[np.float32]


@dataclass(frozen=True)
class Reasons:
    """What moved each of n risks: q named `values` (n, q) and their `contributions` (n, q) in log odds.

    A row's contributions and its `bias` (n,) sum to its margin, the log odds of its risk, in `margins` (n,). Where a
    model reads the course of a stay, `moments` says which hours made up the contribution of each channel.
    """

    names: list[str]
    values: Floats
    contributions: Floats
    bias: Floats
    margins: Floats
    moments: Moments | None = None


class RiskModel(ABC):
    """A fitted model of the risk of one outcome. `n` rows, `p` features (the schema's, in its order)."""

    known: ClassVar[dict[str, type[RiskModel]]] = {}  # every imported kind of model, by its name
    kind: ClassVar[str]
    requirements: tuple[str, ...]  # distributions that loading and scoring need
    schema: FeatureSchema

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        RiskModel.known[cls.kind] = cls

    @abstractmethod
    def margins(self, features: pd.DataFrame) -> Floats:
        """Log odds, shape (n,). Refuses frames that do not fit the schema (ValueError)."""

    @abstractmethod
    def contributions(self, features: pd.DataFrame) -> tuple[Floats, Floats]:
        """(n, q) contributions in log odds and (n,) bias; a row's sum is its margin. q is p unless `reasons` says
        otherwise."""

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

    def reasons(self, features: pd.DataFrame) -> Reasons:
        """The contributions with the names and values they belong to."""
        contributions, bias = self.contributions(features)
        values = self.schema.codes(features).to_numpy(dtype=np.float64)
        return Reasons(self.schema.names, values, contributions, bias, self.margins(features))


def store(model: RiskModel, folder: Path) -> None:
    """Writes a model with its kind and schema into `folder`, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder)
    (folder / FILE).write_text(json.dumps({"kind": model.kind, "schema": model.schema.to_dict()}))


def restore(folder: Path) -> RiskModel:
    """The model that `store` wrote. Raises ValueError for a kind of model that this code does not know."""
    plain = json.loads((folder / FILE).read_text())
    kind = RiskModel.known.get(plain["kind"])
    if kind is None:
        raise ValueError(f"{folder}: unknown kind of model {plain['kind']!r}; known are {', '.join(RiskModel.known)}")
    return kind.load(folder, FeatureSchema.from_dict(plain["schema"]))


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
