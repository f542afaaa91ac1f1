"""Boosted trees of stays that need not fit one machine: each grown by all executors together, by `xgboost.spark`.

The search is spread the other way, a trial an executor, each with all training rows or, where they are many, those of
some patients: what it is to find, the parameters and the rounds, some of them tell as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pandas as pd
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from xgboost.spark import SparkXGBClassifier, SparkXGBClassifierModel

from jobs.training.rows import feature_groups
from jobs.training.spread.trials import search
from lakehouse.code import digest_of
from models.base import Floats, Ints, Trained
from models.boosting import BoostedModel, Chosen, FoldPair, Recipe, fold_pairs, trials_of, values_of
from models.features import FeatureSchema
from models.tuning import Budget, Tried

if TYPE_CHECKING:  # an executor imports this module for each process that it starts
    from jobs.training.matrix import Matrix
    from jobs.training.spread.cluster import Cluster

SEARCHED = 100_000
"""Stays that a trial learns from, at most: about 0.5 GB of an executor's memory, and as much again binned."""
ROWS_A_WORKER = 1_000
"""Fewer are sooner grown by fewer workers, which add up their histograms after each level of a tree."""


def train(
    cluster: Cluster,
    rows: Matrix,
    folds: Ints,
    schema: FeatureSchema,
    *,
    recipe: Recipe,
    budget: Budget,
    prefix: str = "xgboost",
    told: Callable[[Tried], None] = lambda _tried: None,
) -> Trained:
    """As `models.boosting.train`; only the boosters and the risks out of fold come to this machine.

    Bins are of quantiles that executors sketch together, and samples are drawn by each: the model is another one than
    that of one machine, and as good.
    """
    y = rows.outcomes
    searched = some_patients(rows.patient.to_numpy(), SEARCHED, recipe.seed)
    name = f"{prefix}-{digest_of([cluster.data, folds.tolist(), int(searched.sum()), recipe.judged_by])}"
    study = search(
        cluster,
        Objective(name, cluster.folder, schema, y, folds, searched, recipe),
        name=name,
        defaults=recipe.first,
        budget=budget,
        seed=recipe.seed,
        told=told,
    )
    chosen = recipe.chosen(study)
    labelled = pd.DataFrame({"stay_id": rows.label.index, "label": y, "fold": folds})
    workers = max(1, min(cluster.slots, len(y) // ROWS_A_WORKER))
    frame = training_frame(cluster, labelled, schema, workers).persist()
    try:
        parts = [_out_of_fold(frame, int(fold), chosen, workers) for fold in np.unique(folds)]
        booster = grown(frame, chosen, workers).get_booster()
    finally:
        frame.unpersist()
    out_of_fold = pd.concat(parts).set_index("stay_id")["risk"].reindex(rows.label.index)
    return Trained(BoostedModel(booster, schema), out_of_fold.to_numpy(np.float64), chosen.kept, trials_of(study))


@dataclass(frozen=True)
class Objective:
    """The cross-validated loss of a trial, on an executor: `searched` (n,) of the n stays in the folder."""

    name: str
    folder: Path
    schema: FeatureSchema
    labels: Floats
    folds: Ints
    searched: np.ndarray
    recipe: Recipe

    def __call__(self, trial: optuna.Trial) -> float:
        return self.recipe.loss(trial, self.pairs())

    def pairs(self) -> list[FoldPair]:
        """Read and binned once a process, for all trials that it works on."""
        if self.name not in _pairs:
            _pairs.clear()
            here, start, parts = self.searched, 0, []
            for group in feature_groups(self.folder):
                parts.append(values_of(self.schema, group[here[start : start + len(group)]]))
                start += len(group)
            values = np.concatenate(parts)
            _pairs[self.name] = fold_pairs(values, self.labels[here], self.folds[here], self.recipe.max_bin)
        return _pairs[self.name]


_pairs: dict[str, list[FoldPair]] = {}
"""Of the search that this process works on."""


def some_patients(patients: np.ndarray, most: int, seed: int) -> np.ndarray:
    """The stays (n,) of patients drawn at random, no more than `most` stays; all where there are no more."""
    names, of, stays = np.unique(patients, return_inverse=True, return_counts=True)
    drawn = np.random.default_rng(seed).permutation(len(names))
    kept = np.empty(len(names), dtype=bool)
    kept[drawn] = np.cumsum(stays[drawn]) <= most
    return kept[of]


def training_frame(cluster: Cluster, labelled: pd.DataFrame, schema: FeatureSchema, workers: int) -> DataFrame:
    """stay_id, label, fold and the features, a float array, of the stays of `labelled`, dealt among workers by stay:
    the same rows lie in the same order whenever they are dealt among as many."""
    values = F.array(*(F.coalesce(F.col(f"`{name}`").cast("float"), F.lit(float("nan"))) for name in schema.names))
    return (
        cluster.features.join(F.broadcast(cluster.session.createDataFrame(labelled)), on="stay_id", how="inner")
        .select("stay_id", "label", "fold", values.alias("features"))
        .repartition(workers, "stay_id")
        .sortWithinPartitions("stay_id")
    )


def _out_of_fold(frame: DataFrame, fold: int, chosen: Chosen, workers: int) -> pd.DataFrame:
    """stay_id and risk of the stays of a fold, by trees of the others."""
    model = grown(frame.where(F.col("fold") != fold), chosen, workers)
    risks = vector_to_array(F.col("probability"))[1]
    return model.transform(frame.where(F.col("fold") == fold)).select("stay_id", risks.alias("risk")).toPandas()


def grown(frame: DataFrame, chosen: Chosen, workers: int) -> SparkXGBClassifierModel:
    """The trees of all stays of a `training_frame`."""
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)  # it would print the parameters of every fit
    told: dict[str, Any] = {key: value for key, value in chosen.grown.items() if key not in ("objective", "nthread")}
    estimator = SparkXGBClassifier(
        features_col="features",
        label_col="label",
        num_workers=workers,
        n_estimators=chosen.rounds,
        verbose=False,
        **told,
    )
    return estimator.fit(frame)
