"""Logistic regression as one scikit-learn pipeline, fitted on training rows alone.

Numbers: useless columns out, median for missing with flags that say so, capped at training quantiles, skew
corrected. Categories: one-hot without order, codes 0, 1, 2, ... with one. Then all on one scale, so that the
penalty treats columns alike, and a logistic regression whose penalty is chosen by cross-validated log loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from models import metrics
from models.base import Floats, Ints, RiskModel, Trained
from models.explain import linear_contributions
from models.features import FeatureSchema, Kind
from models.preprocessing import MISSING, MedianFill, MissingFlags, QuantileCap, Unskew, UsefulColumns
from models.splits import in_order

FILE = "pipeline.skops"
LEVEL = "|is|"  # between a category's name and its level in the name of a one-hot column
STEPS = (UsefulColumns, MissingFlags, MedianFill, QuantileCap, Unskew)
TRUSTED = [*(f"models.preprocessing.{step.__name__}" for step in STEPS), "models.linear.level_name"]


class LogisticModel(RiskModel):
    """A fitted pipeline: ("columns", "scale", "regression")."""

    kind: ClassVar[str] = "logistic"
    requirements: tuple[str, ...] = ("scikit-learn", "skops")

    def __init__(self, pipeline: Pipeline, schema: FeatureSchema) -> None:
        self.pipeline, self.schema = pipeline, schema
        position = {name: i for i, name in enumerate(schema.names)}
        made = pipeline[:-1].get_feature_names_out()
        self._sources: Ints = np.array([position[_source(name)] for name in made], dtype=np.int64)

    def margins(self, features: pd.DataFrame) -> Floats:
        return self.pipeline.decision_function(self.schema.check(features))

    def contributions(self, features: pd.DataFrame) -> tuple[Floats, Floats]:
        columns = self.pipeline[:-1].transform(self.schema.check(features))
        fitted = self.pipeline[-1]
        return linear_contributions(
            columns, fitted.coef_[0], fitted.intercept_[0], self._sources, len(self.schema.features)
        )

    # skops imports all of scikit-learn, which takes longer than to score: whoever stores no pipeline does without.
    def save(self, folder: Path) -> None:
        import skops.io  # noqa: PLC0415

        skops.io.dump(self.pipeline, folder / FILE)

    @classmethod
    def load(cls, folder: Path, schema: FeatureSchema) -> Self:
        import skops.io  # noqa: PLC0415

        return cls(skops.io.load(folder / FILE, trusted=TRUSTED), schema)


def build_pipeline(
    schema: FeatureSchema,
    *,
    max_missing: float = 0.95,
    max_same: float = 0.995,
    cap: tuple[float, float] = (0.005, 0.995),
    skew: float = 1.0,
    C: float = 0.003,
    l1_ratio: float = 0.0,
) -> Pipeline:
    """The unfitted pipeline for frames of this schema (see the transformers for the settings).

    `C` is the inverse strength of the penalty, `l1_ratio` its kind: 0 is L2 (lbfgs), 1 is L1 (liblinear),
    between them elastic net (saga, slow on wide matrices).
    """
    numbers, flags, nominal = schema.of(Kind.NUMERIC), schema.of(Kind.FLAG), schema.of(Kind.NOMINAL)
    ordered = [feature for feature in schema.features if feature.kind is Kind.ORDERED]
    words = [feature for feature in ordered if feature.levels]
    useful = UsefulColumns(max_missing=max_missing, max_same=max_same)
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False, feature_name_combiner=level_name)
    codes = OrdinalEncoder(
        categories=[list(feature.levels) for feature in words],
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
    )
    steps = [("useful", useful), ("fill", MedianFill()), ("cap", QuantileCap(*cap)), ("unskew", Unskew(skew))]
    parts = [
        ("numbers", Pipeline(steps), numbers),
        ("flags", Pipeline([("useful", clone(useful)), ("fill", MedianFill())]), flags),
        ("missing", MissingFlags(), numbers + flags),
        ("nominal", one_hot, nominal),
        ("words", Pipeline([("code", codes), ("fill", MedianFill())]), [feature.name for feature in words]),
        ("ordered", MedianFill(), [feature.name for feature in ordered if not feature.levels]),
    ]
    columns = ColumnTransformer([part for part in parts if part[2]], verbose_feature_names_out=False)
    return Pipeline([("columns", columns), ("scale", StandardScaler()), ("regression", _regression(C, l1_ratio))])


def _regression(C: float, l1_ratio: float = 0.0) -> LogisticRegression:
    solver = {0.0: "lbfgs", 1.0: "liblinear"}.get(float(l1_ratio), "saga")
    return LogisticRegression(C=C, l1_ratio=l1_ratio, solver=solver, max_iter=500, random_state=0)


def train(
    features: pd.DataFrame,
    labels: ArrayLike,
    folds: Ints,
    schema: FeatureSchema,
    *,
    search: Mapping[str, list[float]],
    preprocessing: Mapping[str, Any] | None = None,
    threads: int = 2,
) -> Trained:
    """The pipeline with the penalty of least cross-validated log loss, fitted on all rows given: training rows.

    `search` lists values of `C` and `l1_ratio`; every pair is tried. Preprocessing is fitted anew inside
    each fold, on that fold's training rows, once for all candidates. `folds` (n,) is the fold of each row.
    Deterministic.
    """
    y = np.asarray(labels, dtype=np.int64)
    features = schema.check(features)
    candidates: list[dict[str, Any]] = [dict(zip(search, values, strict=True)) for values in product(*search.values())]
    with threadpool_limits(1):
        prepare = build_pipeline(schema, **(preprocessing or {}))[:-1]
        risks = _out_of_fold(prepare, features, y, folds, candidates, threads)
        trials = [{**candidate, **_figures(y, risk)} for candidate, risk in zip(candidates, risks, strict=True)]
        best = int(np.argmin([trial["log_loss"] for trial in trials]))
        chosen = {**(preprocessing or {}), **candidates[best]}
        fitted = build_pipeline(schema, **chosen).fit(features, y)
    return Trained(LogisticModel(fitted, schema), risks[best], chosen, trials)


def _out_of_fold(
    prepare: Pipeline, features: pd.DataFrame, y: Ints, folds: Ints, candidates: list[dict[str, Any]], threads: int
) -> Floats:
    """(candidates, n) risks of each row by pipelines fitted on the other folds."""
    risks = np.full((len(candidates), len(y)), np.nan)

    def held_out(fold: int) -> list[Floats]:
        held = folds == fold
        fitted = clone(prepare).fit(features[~held])
        inside, outside = fitted.transform(features[~held]), fitted.transform(features[held])
        return [_regression(**one).fit(inside, y[~held]).predict_proba(outside)[:, 1] for one in candidates]

    names = np.unique(folds).tolist()
    for fold, found in zip(names, in_order(held_out, names, threads), strict=True):
        risks[:, folds == fold] = found
    return risks


def _figures(y: Ints, risk: Floats) -> dict[str, float]:
    found = metrics.scores(y, risk, metrics.choose_threshold(y, risk))
    return {name: found[name] for name in ("log_loss", "auroc", "auprc")}


def level_name(feature: str, level: Any) -> str:
    """The name of a one-hot column. (A named function: the stored pipeline refers to it.)"""
    return f"{feature}{LEVEL}{level}"


def _source(made: str) -> str:
    return made.removesuffix(MISSING).split(LEVEL)[0]
