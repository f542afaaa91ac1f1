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

from models import kinds  # noqa: F401  (whatever kind of model was stored, its class is known)
from models.base import RiskModel, restore, store
from models.explain import Contribution, top_contributions

FILE = "scorer.json"


@dataclass(frozen=True)
class Scorer:
    """A fitted model and the risk at or above which a stay is flagged."""

    model: RiskModel
    threshold: float

    def score(self, features: pd.DataFrame, top: int = 0) -> pd.DataFrame:
        """The risk of each row of `features`, same index: columns risk, flagged, threshold.

        With `top` > 0 also top_features: the `top` Contributions that moved this risk most, as a list.
        Raises ValueError naming missing or unknown features.
        """
        if features.empty:  # no rows: there is nothing to predict, but the columns must fit all the same
            self.model.schema.check(features)
        risk = self.model.risks(features) if len(features) else np.empty(0)
        scored = pd.DataFrame(
            {"risk": risk, "flagged": risk >= self.threshold, "threshold": self.threshold}, index=features.index
        )
        if top > 0:
            moved = self.explain(features, top) if len(features) else []
            scored["top_features"] = pd.Series(moved, index=features.index, dtype=object)
        return scored

    def explain(self, features: pd.DataFrame, top: int) -> list[list[Contribution]]:
        """The features that moved each row's risk most (see `explain.top_contributions`)."""
        found = self.model.reasons(features)
        return top_contributions(found.names, found.values, found.contributions, top)

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
        """`Scorer.score`, with `params` {"top": k} for the k largest contributions, as JSON text."""
        top = int((params or {}).get("top", 0))
        scored = self.scorer.score(model_input, top)
        if top > 0:
            scored["top_features"] = [json.dumps([one._asdict() for one in row]) for row in scored["top_features"]]
        return scored


def _load_pyfunc(path: str) -> ServedScorer:
    """MLflow's entry: the scorer in the folder `path`."""
    return ServedScorer(Scorer.load(Path(path)))
