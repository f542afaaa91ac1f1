"""A hyperparameter search that can be stopped, resumed and repeated: Optuna's TPE over a plain search space.

Each trial's sampler is seeded by the study's seed and the number of finished trials, so that a study stopped
after any trial goes on to the same trials as one that was never stopped. Trials cut by the clock or by a
kill do not count: they are run again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class OutOfTime(Exception):  # noqa: N818 (a signal, not an error)
    """Raised by an objective that saw its `deadline` pass."""


@dataclass(frozen=True)
class Budget:
    """When a search ends: after `trials` finished trials of the study, or after `seconds` of this call.

    The first trial always runs to its end.
    """

    trials: int
    seconds: float


@dataclass(frozen=True)
class Tried:
    """After a trial of a search: how many are finished of how many, the least value (None before one is complete) and
    the seconds that are left, at most."""

    number: int
    trials: int
    best: float | None
    left: float

    @classmethod
    def after(cls, done: Sequence[FrozenTrial], before: int, budget: Budget, seconds: float) -> Self:
        """`before` of the trials that are `done` were those of earlier calls; the others took `seconds`."""
        values = [trial.value for trial in done if trial.state is TrialState.COMPLETE and trial.value is not None]
        left = seconds / max(len(done) - before, 1) * max(budget.trials - len(done), 0)
        return cls(len(done), budget.trials, min(values, default=None), min(left, max(budget.seconds - seconds, 0.0)))


def suggest(trial: optuna.Trial, space: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One value of each parameter of a plain space.

    An entry is {choices: [...]} or {low, high[, log, step]}; whole-numbered bounds give a whole number.
    Raises ValueError for another entry, naming the parameter.
    """
    values = {}
    for name, entry in space.items():
        if set(entry) == {"choices"}:
            values[name] = trial.suggest_categorical(name, entry["choices"])
        elif {"low", "high"} <= set(entry) <= {"low", "high", "log", "step"}:
            whole = isinstance(entry["low"], int) and isinstance(entry["high"], int)
            values[name] = (trial.suggest_int if whole else trial.suggest_float)(name, **entry)
        else:
            raise ValueError(f"search space of {name}: want choices, or low and high, not {sorted(entry)}")
    return values


def study_name(prefix: str, features: pd.DataFrame, *others: Any) -> str:
    """`prefix` and a digest of the training rows and of whatever else the trials' values depend on.

    Trials of other rows, folds or spaces are not comparable: they must never be resumed as if they were.
    """
    digest = hashlib.blake2b(digest_size=6)
    digest.update(json.dumps(list(features.columns)).encode())
    for array in (features, *others):
        if isinstance(array, (pd.DataFrame, pd.Series, np.ndarray)):
            digest.update(np.ascontiguousarray(np.asarray(array, dtype=np.float64)).tobytes())
        else:
            digest.update(json.dumps(array, sort_keys=True).encode())
    return f"{prefix}-{digest.hexdigest()}"


def search(
    objective: Callable[[optuna.Trial, float], float],
    *,
    name: str,
    defaults: Mapping[str, Any],
    budget: Budget,
    seed: int,
    storage: str | None = None,
    told: Callable[[Tried], None] = lambda _tried: None,
) -> optuna.Study:
    """The study after it has minimised `objective(trial, deadline)` within the budget.

    `defaults` is tried first. `storage` is a database URL (sqlite:///...); None keeps the study in memory.
    The objective reports after each fold, raises optuna.TrialPruned when told to, and OutOfTime past the
    deadline (time.monotonic seconds; infinite until a first trial is complete). `told` hears of each finished trial.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=name, storage=storage, direction="minimize", pruner=pruner(), load_if_exists=True
    )
    for stale in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(stale.number, state=TrialState.FAIL)  # left by a killed run
    started, before = time.monotonic(), len(study.get_trials(deepcopy=False, states=FINISHED))
    while True:
        done = study.get_trials(deepcopy=False, states=FINISHED)
        if len(done) > before:
            told(Tried.after(done, before, budget, time.monotonic() - started))
        complete = any(past.state is TrialState.COMPLETE for past in done)
        deadline = started + budget.seconds if complete else np.inf
        if len(done) >= budget.trials or time.monotonic() > deadline:
            return study
        if not done and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            study.enqueue_trial(dict(defaults))
        study.sampler = sampler(seed + len(done))
        trial = study.ask()
        try:
            study.tell(trial, objective(trial, deadline))
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
        except OutOfTime:
            study.tell(trial, state=TrialState.FAIL)
            return study
        except BaseException:
            study.tell(trial, state=TrialState.FAIL)
            raise


def pruner() -> optuna.pruners.BasePruner:
    """Stops a trial whose mean over the folds so far is worse than the median of earlier trials at that fold."""
    return optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=1)


def sampler(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=4, multivariate=True)
