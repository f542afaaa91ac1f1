"""A calibrated ensemble: a logistic regression on the members' log odds, fitted on out-of-fold risks alone.

Stacking (Wolpert 1992) and Platt scaling (Platt 1999) are the same model here: with one member the stack calibrates
it, with several it also weighs them. Weights are kept at zero or more, so that no member's risk counts backwards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit, logit

from models.base import Floats, Ints, Reasons, RiskModel, restore, store
from models.explain import joined
from models.features import FeatureSchema

FILE = "stack.json"
RISK_FLOOR = 1e-6
"""Risks are kept this far from 0 and 1, where log odds are infinite."""


class StackedModel(RiskModel):
    """Members by name, their weights (m,) and an intercept."""

    kind: ClassVar[str] = "stack"

    def __init__(self, members: Mapping[str, RiskModel], weights: ArrayLike, intercept: float) -> None:
        self.members = dict(members)
        self.weights = np.asarray(weights, dtype=np.float64)
        self.intercept = float(intercept)
        self.requirements = tuple(dict.fromkeys(r for member in self.members.values() for r in member.requirements))
        features = {feature.name: feature for member in self.members.values() for feature in member.schema.features}
        self.schema = FeatureSchema(tuple(features.values()))

    def margins(self, features: pd.DataFrame) -> Floats:
        checked = self.schema.check(features)
        margins = np.full(len(checked), self.intercept)  # all that is left where no member has a weight
        for weight, member in self._weighed():
            margins += weight * member.margins(checked[member.schema.names])
        return margins

    def contributions(self, features: pd.DataFrame) -> tuple[Floats, Floats]:
        found = self.reasons(features)
        return found.contributions, found.bias

    def reasons(self, features: pd.DataFrame) -> Reasons:
        """The members' contributions times their weights; those of one name are added up."""
        checked = self.schema.check(features)
        parts = [(weight, member.reasons(checked[member.schema.names])) for weight, member in self._weighed()]
        names = list(dict.fromkeys(name for _, part in parts for name in part.names))
        place = {name: i for i, name in enumerate(names)}
        values = np.full((len(checked), len(names)), np.nan)
        contributions = np.zeros((len(checked), len(names)))
        bias, margins = np.full(len(checked), self.intercept), np.full(len(checked), self.intercept)
        for weight, part in parts:
            columns = [place[name] for name in part.names]
            values[:, columns] = part.values
            contributions[:, columns] += weight * part.contributions
            bias += weight * part.bias
            margins += weight * part.margins
        moments = joined([(weight, part.moments) for weight, part in parts if part.moments is not None])
        return Reasons(names, values, contributions, bias, margins, moments)

    def _weighed(self) -> list[tuple[float, RiskModel]]:
        pairs = zip(self.weights, self.members.values(), strict=True)
        return [(float(weight), member) for weight, member in pairs if weight > 0]

    def save(self, folder: Path) -> None:
        for name, member in self.members.items():
            store(member, folder / name)
        plain = {"members": list(self.members), "weights": self.weights.tolist(), "intercept": self.intercept}
        (folder / FILE).write_text(json.dumps(plain))

    @classmethod
    def load(cls, folder: Path, schema: FeatureSchema) -> Self:  # noqa: ARG003  (that of the members)
        plain = json.loads((folder / FILE).read_text())
        return cls({name: restore(folder / name) for name in plain["members"]}, plain["weights"], plain["intercept"])


def clipped_logit(risks: ArrayLike) -> Floats:
    """Log odds (n,) of risks that are kept off 0 and 1."""
    return np.asarray(logit(np.clip(np.asarray(risks, dtype=np.float64), RISK_FLOOR, 1 - RISK_FLOOR)))


def fit_weights(risks: ArrayLike, labels: ArrayLike) -> tuple[Floats, float]:
    """Weights (m,), each at least 0, and intercept of the logistic regression of labels (n,) on the log odds of the
    members' out-of-fold risks (n, m); the maximum of the likelihood, without a penalty."""
    x, y = clipped_logit(risks), np.asarray(labels, dtype=np.float64)
    members = x.shape[1]

    def loss(parameters: Floats) -> tuple[float, Floats]:
        margins = x @ parameters[:-1] + parameters[-1]
        error = expit(margins) - y
        gradient = np.append(x.T @ error, error.sum()) / len(y)
        return float(np.mean(np.logaddexp(0.0, margins) - y * margins)), gradient

    start = np.append(np.full(members, 1.0 / members), 0.0)
    bounds = [(0.0, None)] * members + [(None, None)]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": 1000, "ftol": 1e-14})
    return np.asarray(found.x[:-1]), float(found.x[-1])


def out_of_fold(risks: ArrayLike, labels: ArrayLike, folds: Ints) -> Floats:
    """Risks (n,) of the stack, each row's by weights fitted on the other folds' rows: what its threshold is chosen
    on, and how it is compared with its members."""
    risks, labels = np.asarray(risks, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    stacked = np.full(len(labels), np.nan)
    for fold in np.unique(folds):
        held = folds == fold
        weights, intercept = fit_weights(risks[~held], labels[~held])
        stacked[held] = weighed(risks[held], weights, intercept)
    return stacked


def weighed(risks: ArrayLike, weights: Floats, intercept: float) -> Floats:
    """Stacked risks (n,) of the members' risks (n, m)."""
    return np.asarray(expit(clipped_logit(risks) @ weights + intercept))
