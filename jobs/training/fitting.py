"""Fits a question's models on its training rows: each calibrated on its own out-of-fold risks, with a threshold."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.progress import Doing
from jobs.training.matrix import Matrix
from lakehouse.errors import ConfigError
from lakehouse.settings import Settings
from lakehouse.tasks import Task
from models import boosting, linear, stack
from models.base import Floats, Ints, Trained
from models.features import describe
from models.metrics import choose_threshold
from models.scorer import Scorer
from models.sequence import model as sequence
from models.sequence.events import COLUMNS
from models.sequence.folds import Told
from models.sequence.plan import Brief
from models.splits import patient_folds
from models.stack import StackedModel
from models.tuning import Budget, Tried

if TYPE_CHECKING:  # a machine that only trains has no Spark
    from pyspark.sql import DataFrame

    from jobs.training.spread.cluster import Cluster


@dataclass(frozen=True)
class Fitted:
    """One model, ready to score. `out_of_fold` (n,) are its calibrated risks of the training rows, each by weights
    that did not see it."""

    name: str
    scorer: Scorer
    out_of_fold: Floats
    parameters: dict[str, Any]
    trials: list[dict[str, Any]]
    seconds: float


Note = Callable[[str, Fitted | Doing | None], None]


def fit_models(
    task: Task,
    rows: Matrix,
    settings: Settings,
    note: Note = lambda _n, _f: None,
    gold: Callable[[], DataFrame] | None = None,
) -> dict[str, Fitted]:
    """The task's models by name, in its order; `note` hears a name when its turn comes, then what it is doing, and the
    model when it is done. `gold` is the table of features that a spread training reads where it lies."""
    if settings.train_engine == "local":
        return _fit_models(task, rows, settings, note, None)
    from jobs.training.spread.cluster import cluster_of  # noqa: PLC0415  (a machine that only trains has no Spark)

    with cluster_of(settings, rows, gold) as cluster:
        return _fit_models(task, rows, settings, note, cluster)


def _fit_models(task: Task, rows: Matrix, settings: Settings, note: Note, cluster: Cluster | None) -> dict[str, Fitted]:
    folds = patient_folds(rows.outcomes, rows.patient, task.folds, settings.seed)
    trained: dict[str, Trained] = {}
    fitted: dict[str, Fitted] = {}
    for name, spec in task.models.items():
        note(name, None)
        clock = time.perf_counter()
        if kind_of(name, spec) == "stack":
            members = {member: trained[member] for member in spec["members"] if member in trained}
            if not members:
                raise ConfigError(f"model {name} stacks {', '.join(spec['members'])}, none of which stands before it.")
            parameters: dict[str, Any] = {"members": list(members)}
            trials: list[dict[str, Any]] = []
        else:
            trained[name] = _Turn(name, spec, rows, folds, settings, note, cluster).train()
            members = {name: trained[name]}
            parameters, trials = trained[name].parameters, trained[name].trials
        scorer, out_of_fold = _stacked(members, rows, folds)
        fitted[name] = Fitted(name, scorer, out_of_fold, parameters, trials, time.perf_counter() - clock)
        note(name, fitted[name])
    return fitted


def kind_of(name: str, spec: Mapping[str, Any]) -> str:
    """What a model is: its `type`, or its name where that says it already."""
    return str(spec.get("type", name))


def needs_sequences(task: Task) -> bool:
    return any(kind_of(name, spec) == "sequence" for name, spec in task.models.items())


def _stacked(members: Mapping[str, Trained], rows: Matrix, folds: Ints) -> tuple[Scorer, Floats]:
    """Members weighed and calibrated together on their out-of-fold risks; of one member, the calibrated member."""
    risks = np.column_stack([member.out_of_fold for member in members.values()])
    weights, intercept = stack.fit_weights(risks, rows.outcomes)
    out_of_fold = stack.out_of_fold(risks, rows.outcomes, folds)
    model = StackedModel({name: member.model for name, member in members.items()}, weights, intercept)
    return Scorer(model, choose_threshold(rows.outcomes, out_of_fold)), out_of_fold


@dataclass(frozen=True)
class _Turn:
    """The training of one model on training rows alone; on the cluster where there is one and the model has something
    to gain from it, which a linear one of some seconds has not."""

    name: str
    spec: Mapping[str, Any]
    rows: Matrix
    folds: Ints
    settings: Settings
    note: Note
    cluster: Cluster | None

    def train(self) -> Trained:
        """The model of its kind, tuned and fitted."""
        match kind_of(self.name, self.spec):
            case "logistic":
                return self._linear()
            case "xgboost":
                return self._trees()
            case "sequence":
                return self._networks()
            case kind:
                raise ConfigError(f"model {self.name}: type {kind!r} is none of logistic, xgboost, sequence, stack.")

    def _linear(self) -> Trained:
        rows, search = self.rows, self.spec["search"]
        schema = describe(rows.features)
        return linear.train(
            rows.features, rows.outcomes, self.folds, schema, search=search, threads=self.settings.cores
        )

    def _trees(self) -> Trained:
        spec, settings, schema = self.spec, self.settings, describe(self.rows.features)
        defaults = {**boosting.DEFAULTS, **spec.get("defaults", {})}
        each_round = spec.get("parallel_trees", 1)
        recipe = boosting.Recipe(spec["space"], defaults, parallel_trees=each_round, seed=settings.seed)
        budget = Budget(spec["budget"]["trials"], settings.train_seconds or spec["budget"]["seconds"])

        def told(tried: Tried) -> None:
            self.note(self.name, _searching(tried))

        if self.cluster is not None:
            from jobs.training.spread import trees  # noqa: PLC0415

            return trees.train(self.cluster, self.rows, self.folds, schema, recipe=recipe, budget=budget, told=told)
        studies = settings.lake.resolve() / "mlflow" / "studies.db"
        studies.parent.mkdir(parents=True, exist_ok=True)
        return boosting.train(
            self.rows.features, self.rows.outcomes, self.folds, schema, recipe=recipe, budget=budget,
            threads=settings.cores, storage=f"sqlite:///{studies}", told=told,
        )  # fmt: skip

    def _networks(self) -> Trained:
        rows, settings, features = self.rows, self.settings, self.rows.with_sequences()
        # A checkpoint is written anew and renamed, which a volume does not do well: there, a network begins anew.
        kept = self.cluster is None or not settings.volume
        brief = Brief.of(
            rows.outcomes,
            self.folds,
            describe(features, series=COLUMNS),
            dictionary=rows.concepts,
            settings={part: self.spec[part] for part in ("layout", "network", "training") if part in self.spec},
            patients=rows.patient,
            seed=settings.seed,
            checkpoints=settings.lake.resolve() / "mlflow" / "checkpoints" / self.name if kept else None,
        )

        def told(step: Told) -> None:
            self.note(self.name, _learning(step))

        if self.cluster is not None:
            from jobs.training.spread import networks  # noqa: PLC0415

            return networks.train(self.cluster, brief, told)
        return sequence.train(features, brief, settings.cores, told)


def _searching(tried: Tried) -> Doing:
    best = "none yet" if tried.best is None else f"{tried.best:.4f}"
    return Doing(f"trial {tried.number} of {tried.trials}, best log loss {best}", tried.left, True)


def _learning(step: Told) -> Doing:
    at = step.progress
    network = f", network {step.network + 1} of {step.networks}" if step.networks > 1 else ""
    validation = "" if at.validation is None else f", validation {at.validation:.4f}"
    text = f"fold {step.fold + 1} of {step.folds}{network}, epoch {at.epoch} of {at.epochs}, loss {at.loss:.4f}"
    return Doing(text + validation, step.left, at.epoch == at.epochs)
