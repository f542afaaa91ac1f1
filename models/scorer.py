"""A risk model with its threshold: what is registered, loaded and scored with, whatever the model inside.

Stored as a folder of plain files (scorer.json and the model's own), never a pickle. `_load_pyfunc` lets
MLflow load the same folder, so that `mlflow models serve` answers what the scoring job writes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import expit

from models import kinds  # noqa: F401  (whatever kind of model was stored, its class is known)
from models.base import RiskModel, restore, store
from models.explain import top_contributions, top_moments

FILE = "scorer.json"


@dataclass(frozen=True)
class Scorer:
    """A fitted model and the risk at or above which a stay is flagged."""

    model: RiskModel
    threshold: float

    def score(self, features: pd.DataFrame, top: int = 0) -> pd.DataFrame:
        """The risk of each row of `features`, same index: columns risk, flagged, threshold.

        With `top` > 0 also why: top_features, the `top` Contributions that moved this risk most, and moments, the
        `top` Moments (none where the model reads no course), as lists.
        Raises ValueError naming missing or unknown features.
        """
        if features.empty:  # no rows: there is nothing to predict, but the columns must fit all the same
            self.model.schema.check(features)
            risk, why = np.empty(0), None
        elif top > 0:
            why = self.model.reasons(features)
            risk = expit(why.margins)
        else:
            risk, why = self.model.risks(features), None
        scored = pd.DataFrame(
            {"risk": risk, "flagged": risk >= self.threshold, "threshold": self.threshold}, index=features.index
        )
        if top > 0:
            told = top_contributions(why.names, why.values, why.contributions, top) if why else []
            scored["top_features"] = pd.Series(told, index=features.index, dtype=object)
            when = top_moments(why.moments, top) if why and why.moments else [[] for _ in risk]
            scored["moments"] = pd.Series(when, index=features.index, dtype=object)
        return scored

    def save(self, folder: Path) -> None:
        """Writes the scorer into `folder`, made if need be."""
        store(self.model, folder)
        (folder / FILE).write_text(json.dumps({"threshold": self.threshold}))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The scorer that `save` wrote. Raises ValueError for a kind of model that this code does not know."""
        plain = json.loads((folder / FILE).read_text())
        return cls(restore(folder), float(plain["threshold"]))


class ServedScorer:
    """A scorer as MLflow calls it."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """`Scorer.score`, with `params` {"top": k} for the k largest contributions and moments, as JSON text."""
        top = int((params or {}).get("top", 0))
        scored = self.scorer.score(model_input, top)
        if top > 0:
            for column in ("top_features", "moments"):
                scored[column] = [json.dumps([one._asdict() for one in row]) for row in scored[column]]
        return scored


def _load_pyfunc(path: str) -> ServedScorer:
    """MLflow's entry: the scorer in the folder `path`."""
    return ServedScorer(Scorer.load(Path(path)))
