"""Gradient boosted trees (XGBoost), tuned inside the training split.

Cross-validation keeps patients whole (the folds come from outside), stops each fold early, and averages the
rounds; a trial that does worse than earlier ones is stopped after any fold. The final model grows that many
rounds on all training rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import optuna
import pandas as pd
import xgboost as xgb
from numpy.typing import ArrayLike

from models.base import Floats, Ints, Reasons, RiskModel, Trained
from models.explain import tree_contributions
from models.features import FeatureSchema
from models.splits import in_order
from models.tuning import Budget, OutOfTime, Tried, search, study_name, suggest

FILE = "booster.json"
# Good on 4,000 to 8,000 stays with about 1,300 statistics of 48 hours; the search starts here and stays near.
DEFAULTS: dict[str, Any] = {
    "eta": 0.034,
    "max_depth": 6,
    "min_child_weight": 7.0,
    "subsample": 0.76,
    "colsample_bytree": 0.42,
    "colsample_bynode": 0.35,
}
FoldPair = tuple[xgb.DMatrix, xgb.DMatrix]
FIXED: dict[str, Any] = {"objective": "binary:logistic", "eval_metric": "logloss", "tree_method": "hist", "nthread": 1}


class BoostedModel(RiskModel):
    """A fitted booster."""

    kind: ClassVar[str] = "xgboost"
    requirements: tuple[str, ...] = ("xgboost",)

    def __init__(self, booster: xgb.Booster, schema: FeatureSchema) -> None:
        self.booster, self.schema = booster, schema

    def margins(self, features: pd.DataFrame) -> Floats:
        return self.booster.predict(self._matrix(features), output_margin=True).astype(np.float64)

    def contributions(self, features: pd.DataFrame) -> tuple[Floats, Floats]:
        return tree_contributions(self.booster, self._matrix(features))

    def reasons(self, features: pd.DataFrame) -> Reasons:
        """Exact contributions; the features are read once for all three answers."""
        values = self.schema.codes(features).to_numpy(dtype=np.float64)
        data = xgb.DMatrix(values.astype(np.float32))
        contributions, bias = tree_contributions(self.booster, data)
        margins = self.booster.predict(data, output_margin=True).astype(np.float64)
        return Reasons(self.schema.names, values, contributions, bias, margins)

    def save(self, folder: Path) -> None:
        self.booster.save_model(folder / FILE)

    @classmethod
    def load(cls, folder: Path, schema: FeatureSchema) -> Self:
        return cls(xgb.Booster(model_file=str(folder / FILE)), schema)

    def _matrix(self, features: pd.DataFrame) -> xgb.DMatrix:
        # Names stay outside: the schema has checked them, and XGBoost forbids some characters in its own.
        return xgb.DMatrix(values_of(self.schema, features))


@dataclass(frozen=True)
class Recipe:
    """How trees are searched for and grown.

    `space` is a plain search space (see `tuning.suggest`); parameters outside it stay at `defaults`. At most `rounds`
    trees, stopped after `patience` rounds without gain. `max_bin` cuts each feature into that many bins (64 cost half
    of 256 and rank no worse at this size). `parallel_trees` is how many trees the chosen model grows a round, each of
    its own sample of rows and columns, and averages: less variance for that multiple of the cost, so the search does
    without.
    """

    space: Mapping[str, Mapping[str, Any]]
    defaults: Mapping[str, Any] = field(default_factory=lambda: DEFAULTS)
    rounds: int = 1000
    patience: int = 40
    max_bin: int = 64
    parallel_trees: int = 1
    seed: int = 0

    @property
    def fixed(self) -> dict[str, Any]:
        """What no trial changes."""
        return {**FIXED, "max_bin": self.max_bin, "seed": self.seed}

    @property
    def first(self) -> dict[str, Any]:
        """The parameters of the first trial, of those that are searched."""
        return {name: value for name, value in self.defaults.items() if name in self.space}

    @property
    def judged_by(self) -> dict[str, Any]:
        """All that the value of a trial depends on beside the rows and the trial's own parameters."""
        space = dict(self.space)
        return {**self.fixed, **self.defaults, "rounds": self.rounds, "patience": self.patience, "space": space}

    def loss(
        self, trial: optuna.Trial, pairs: Sequence[FoldPair], threads: int = 1, deadline: float = math.inf
    ) -> float:
        """The cross-validated log loss of a trial's parameters; the trial keeps the mean of the rounds.

        Raises optuna.TrialPruned after a fold where the trial is hopeless, OutOfTime past the `deadline`.
        """
        parameters = {**self.fixed, **self.defaults, **suggest(trial, self.space)}
        losses, best = [], []
        grown = in_order(lambda pair: _grow(parameters, *pair, self.rounds, self.patience), pairs, threads)
        for fold, booster in enumerate(grown):
            losses.append(booster.best_score)
            best.append(booster.best_iteration + 1)
            trial.report(float(np.mean(losses)), fold)
            if fold < len(pairs) - 1:
                if trial.should_prune():
                    raise optuna.TrialPruned
                if time.monotonic() > deadline:
                    raise OutOfTime
        trial.set_user_attr("rounds", round(float(np.mean(best))))
        return float(np.mean(losses))

    def chosen(self, study: optuna.Study) -> Chosen:
        """What the best trial of a study found."""
        best = study.best_trial
        return Chosen(self, {**self.defaults, **best.params}, int(best.user_attrs["rounds"]))


@dataclass(frozen=True)
class Chosen:
    """The parameters and rounds that a search found."""

    recipe: Recipe
    parameters: dict[str, Any]
    rounds: int

    @property
    def grown(self) -> dict[str, Any]:
        """XGBoost's parameters of the model."""
        return {**self.recipe.fixed, **self.parameters, "num_parallel_tree": self.recipe.parallel_trees}

    @property
    def kept(self) -> dict[str, Any]:
        """What the record of the training says."""
        own = {name: getattr(self.recipe, name) for name in ("parallel_trees", "max_bin", "seed")}
        return {**self.parameters, "rounds": self.rounds, **own}


def train(
    features: pd.DataFrame,
    labels: ArrayLike,
    folds: Ints,
    schema: FeatureSchema,
    *,
    recipe: Recipe,
    budget: Budget,
    threads: int = 2,
    storage: str | None = None,
    prefix: str = "xgboost",
    told: Callable[[Tried], None] = lambda _tried: None,
) -> Trained:
    """The booster with the parameters of least cross-validated log loss, fitted on all rows given: training rows.

    `folds` (n,) is the fold of each row; `threads` of them are grown at a time, by one thread each. The same
    seed, rows and number of trials give the same model on any number of threads; a search that the clock ends has had
    fewer trials on a slower machine. `storage` keeps the study, for a later call to resume; `told` hears of each trial.
    """
    y, rows = np.asarray(labels, dtype=np.float64), values_of(schema, features)
    pairs = fold_pairs(rows, y, folds, recipe.max_bin)
    study = search(
        lambda trial, deadline: recipe.loss(trial, pairs, threads, deadline),
        name=study_name(prefix, pd.DataFrame(rows, columns=schema.names), y, folds, recipe.judged_by),
        defaults=recipe.first,
        budget=budget,
        seed=recipe.seed,
        storage=storage,
        told=told,
    )
    chosen = recipe.chosen(study)
    everything = xgb.QuantileDMatrix(rows, y, max_bin=recipe.max_bin, nthread=1)
    learned = [*(inside for inside, _ in pairs), everything]
    *boosters, booster = in_order(lambda inside: xgb.train(chosen.grown, inside, chosen.rounds), learned, threads)
    out_of_fold = np.full(len(y), np.nan)
    for fold, one, (_, outside) in zip(np.unique(folds), boosters, pairs, strict=True):
        out_of_fold[folds == fold] = one.predict(outside)
    return Trained(BoostedModel(booster, schema), out_of_fold, chosen.kept, trials_of(study))


def values_of(schema: FeatureSchema, features: pd.DataFrame) -> np.ndarray:
    """(n, p) float32: XGBoost's own precision, so that what is stored and what is scored are cut alike."""
    return schema.codes(features).to_numpy(dtype=np.float32)


def fold_pairs(values: np.ndarray, labels: Floats, folds: Ints, max_bin: int) -> list[FoldPair]:
    """Of each fold the rows to learn from and the rows held out, binned once for all trials by the former's
    quantiles."""

    def pair(held: np.ndarray) -> FoldPair:
        inside = xgb.QuantileDMatrix(values[~held], labels[~held], max_bin=max_bin, nthread=1)
        return inside, xgb.DMatrix(values[held], labels[held], nthread=1)

    return [pair(folds == fold) for fold in np.unique(folds)]


def _grow(
    parameters: dict[str, Any], inside: xgb.DMatrix, outside: xgb.DMatrix, rounds: int, patience: int
) -> xgb.Booster:
    return xgb.train(
        parameters, inside, rounds, evals=[(outside, "held")], early_stopping_rounds=patience, verbose_eval=False
    )


def trials_of(study: optuna.Study) -> list[dict[str, Any]]:
    """A row a trial, in their order: its number, how it ended, its loss and its parameters."""
    return [
        {"number": trial.number, "state": trial.state.name.lower(), "log_loss": trial.value, **trial.params}
        for trial in sorted(study.get_trials(deepcopy=False), key=lambda trial: trial.number)
    ]
