"""A hyperparameter search whose trials run on Spark's executors, kept in MLflow: resumed as one on this machine is.

Trials at work at once do not see each other's results, and end in another order each time: the same seed repeats the
first trial, and the parameters of a random one, not the search.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import mlflow
import optuna
from mlflow.optuna.storage import MlflowStorage
from mlflow.pyspark.optuna.study import MlflowSparkStudy
from optuna.trial import FrozenTrial, TrialState

from models.tuning import FINISHED, Budget, Tried, pruner, sampler

if TYPE_CHECKING:  # an executor imports this module for each process that it starts
    from jobs.training.spread.cluster import Cluster


def search(
    cluster: Cluster,
    objective: Callable[[optuna.Trial], float],
    *,
    name: str,
    defaults: Mapping[str, Any],
    budget: Budget,
    seed: int,
    told: Callable[[Tried], None] = lambda _tried: None,
) -> optuna.Study:
    """The study after it has minimised `objective(trial)` within the budget, as `models.tuning.search` does.

    `defaults` is tried first, alone, so that every later trial has something to be pruned by. `objective` is pickled;
    no trial begins past the budget's seconds.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("mlflow.pyspark.optuna").setLevel(logging.WARNING)
    with _tracking(cluster.tracking_uri):
        storage = MlflowStorage(experiment_id=cluster.experiment_id)
        started = time.monotonic()
        study = _study(name, storage, seed)
        for stale in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            storage.set_trial_state_values(stale._trial_id, TrialState.FAIL)  # left by a killed run
        before = len(_finished(study))
        if not any(trial.state is TrialState.COMPLETE for trial in _finished(study)):
            if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
                study.enqueue_trial(dict(defaults))
                storage.flush_all_batches()  # by its clock, an executor that is quick would not find them
            study.optimize(objective, n_trials=1, n_jobs=1)
            told(_tried(study, before, budget, started))
        left, seconds = budget.trials - len(_finished(study)), budget.seconds - (time.monotonic() - started)
        if left > 0 and seconds > 0:
            study = _study(name, storage, seed + len(_finished(study)))
            study.optimize(objective, n_trials=left, n_jobs=min(left, cluster.slots), timeout=seconds)
            told(_tried(study, before, budget, started))
        return study


def _study(name: str, storage: MlflowStorage, seed: int) -> MlflowSparkStudy:
    return MlflowSparkStudy(name, storage, sampler(seed), pruner(), direction="minimize")


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=FINISHED)


def _tried(study: optuna.Study, before: int, budget: Budget, started: float) -> Tried:
    return Tried.after(_finished(study), before, budget, time.monotonic() - started)


@contextmanager
def _tracking(uri: str) -> Iterator[None]:
    """MLflow's own setting within, from which a study and its executors take where to write."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
