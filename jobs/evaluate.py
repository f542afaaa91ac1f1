"""Held-out figures: of a question's registered models, or of a protocol that trains anew and keeps nothing."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np

from jobs.console import results
from jobs.context import Context
from jobs.fitting import fit_models, needs_sequences
from jobs.matrix import Matrix, load_matrix
from jobs.progress import ModelProgress
from jobs.train import check_rows, figures_table, held_out, held_out_figures, open_registry
from lakehouse.errors import ConfigError, ModelError
from lakehouse.settings import check_keys
from lakehouse.tasks import Split, Task, load_task
from models import stack
from models.bootstrap import Interval, intervals
from models.features import FeatureMismatchError
from models.metrics import choose_threshold

Figures = dict[str, dict[str, Interval]]


def evaluate(context: Context, task_name: str, as_json: bool = False, protocol: str | None = None) -> None:
    """Prints the figures of each model with bootstrap intervals."""
    task = load_task(task_name, context.settings.profile)
    matrix = load_matrix(context.lake, task, sequences=needs_sequences(task))
    if protocol is None:
        rows = matrix.part("test")
        sets = f"train {', '.join(task.split.train)}, test {', '.join(task.split.test)}"
        split = sets if task.split.by == "record_set" else "patients by hash"
        parts = {
            f"{split}; {held_out(rows, task)}": {
                **_baselines(context, task, matrix),
                **_registered(context, task, rows),
            }
        }
    else:
        check_keys([protocol], task.protocols, f"protocols of conf/tasks/{task.name}.yml")
        parts = _by_protocol(context, task, matrix, task.protocols[protocol])
    if as_json:
        plain: dict[str, Any] = {
            title: {name: {k: f._asdict() for k, f in figures.items()} for name, figures in models.items()}
            for title, models in parts.items()
        }
        print(json.dumps({"task": task.name, "at": datetime.now(UTC).isoformat(), "figures": plain}, indent=2))
        return
    for title, models in parts.items():
        results().print(figures_table(models, f"{task.name}: {title}; 95 % intervals"))


def _registered(context: Context, task: Task, rows: Matrix) -> Figures:
    """The newest version of each registered model on the test rows."""
    newest = open_registry(context, task).newest(task.name)
    if not newest:
        raise ModelError(f"no model of {task.name} is registered: run ehr train first.")
    found = {}
    for name, model in newest.items():
        try:
            found[f"{name} v{model.version}"] = held_out_figures(model.scorer, rows, context.settings.seed)
        except FeatureMismatchError as error:
            raise ModelError(
                f"{name} version {model.version} does not fit the features: {error}. Run ehr train."
            ) from None
    return found


def _by_protocol(context: Context, task: Task, matrix: Matrix, split: Split) -> dict[str, Figures]:
    """Trains by a split of its own: out-of-fold figures of the training rows, and those of the test rows if any."""
    train_rows, test_rows = (_of_sets(matrix, sets) for sets in (split.train, split.test))
    check_rows(task, train_rows, test_rows if split.test else train_rows)
    folder = context.settings.lake.resolve() / "mlflow"
    settings = context.settings.model_copy(update={"lake": folder / "protocols"})
    with ModelProgress(context.console, list(task.models)) as progress:
        fitted = fit_models(task, train_rows, settings, progress)
    y, seed = train_rows.outcomes, context.settings.seed
    inside = {
        name: intervals(y, one.out_of_fold, one.scorer.threshold, patients=train_rows.patient, seed=seed)
        for name, one in fitted.items()
    }
    parts = {f"out of fold on {'+'.join(split.train)}; {held_out(train_rows, task)}": inside}
    if split.test:
        outside = {name: held_out_figures(one.scorer, test_rows, seed) for name, one in fitted.items()}
        parts[f"{'+'.join(split.train)} to {'+'.join(split.test)}; {held_out(test_rows, task)}"] = outside
    return parts


def _of_sets(matrix: Matrix, sets: tuple[str, ...]) -> Matrix:
    labelled = matrix.label.notna() & matrix.cohort["record_set"].isin(list(sets))
    return matrix.rows(labelled.to_numpy())


def _baselines(context: Context, task: Task, matrix: Matrix) -> Figures:
    """Clinical scores as risks: one calibrated column each, a missing score at the training rows' median."""
    train_rows, test_rows = matrix.part("train"), matrix.part("test")
    found = {}
    for name in task.baselines:
        if name not in matrix.features:
            raise ConfigError(f"baseline {name} of conf/tasks/{task.name}.yml is no feature.")
        scale = np.nanmax(train_rows.features[name]) + 1
        # A score within (0, 1) orders rows as the score does; the fitted weights make it a risk.
        shares = [
            (rows.features[name].fillna(train_rows.features[name].median()).to_numpy() + 0.5) / scale
            for rows in (train_rows, test_rows)
        ]
        weights, intercept = stack.fit_weights(shares[0][:, None], train_rows.outcomes)
        inside, outside = (stack.weighed(share[:, None], weights, intercept) for share in shares)
        threshold = choose_threshold(train_rows.outcomes, inside)
        found[name] = intervals(
            test_rows.outcomes, outside, threshold, patients=test_rows.patient, seed=context.settings.seed
        )
    return found
