"""Models trained anew by a protocol of the task file, and judged on stays that they did not learn from."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.context import Context
from jobs.evaluation.judging import Judged, Part, baselines, check_outcomes, title_of
from jobs.evaluation.variant import variant_matrix
from jobs.progress import ModelProgress
from jobs.training.fitting import Fitted, fit_models, kind_of, needs_sequences
from jobs.training.matrix import Matrix
from lakehouse.errors import ConfigError
from lakehouse.settings import Settings
from lakehouse.tasks import Protocol, Task
from models.metrics import best, scores
from models.splits import patient_folds


def by_protocol(context: Context, task: Task, name: str) -> list[Part]:
    """Out-of-fold risks of the training stays, and risks of the test stays if there are any; once a repeat."""
    protocol = task.protocols[name]
    asked = _within(task.under(protocol))
    with context.console.status(f"protocol {name}: stays of {_who(protocol)}, first {asked.window_hours} h"):
        matrix = _dealt(variant_matrix(context, asked, needs_sequences(asked)), protocol)
    train_rows, test_rows = matrix.part("train"), matrix.part("test")
    check_outcomes(train_rows, asked, f"training part of protocol {name}")
    if protocol.by == "patient_hash" or protocol.test:
        check_outcomes(test_rows, asked, f"test part of protocol {name}")
    parts: list[Part] = []
    for repeat in range(protocol.repeats):
        settings = _settings(context.settings, name, repeat)
        if protocol.repeats > 1:
            context.console.print(f"[bold]training {repeat + 1} of {protocol.repeats}")
        with ModelProgress(context.console, list(asked.models)) as progress:
            fitted = fit_models(asked, train_rows, settings, progress)
        parts += _parts(asked, protocol, fitted, train_rows, test_rows, settings.seed, repeat)
    return parts


def _within(task: Task) -> Task:
    """Networks whose grid ends with the window, where their settings do not say otherwise."""
    models = dict(task.models)
    for name, spec in task.models.items():
        if kind_of(name, spec) == "sequence":
            models[name] = {**spec, "layout": {"hours": task.window_hours, **spec.get("layout", {})}}
    return task.model_copy(update={"models": models})


def _dealt(matrix: Matrix, protocol: Protocol) -> Matrix:
    """The rows of the protocol's record sets."""
    if not protocol.sets:
        return matrix
    if "record_set" not in matrix.cohort:
        raise ConfigError("this question's cohort has no column record_set, which the protocol's sets name.")
    return matrix.rows(matrix.cohort["record_set"].isin(protocol.sets).to_numpy(dtype=bool))


def _settings(settings: Settings, protocol: str, repeat: int) -> Settings:
    """Another seed for each repeat, and a folder beside the models' own for studies and checkpoints."""
    folder = settings.lake.resolve() / "mlflow" / "protocols" / protocol / str(repeat)
    return settings.model_copy(update={"lake": folder, "seed": settings.seed + repeat})


def _parts(
    task: Task,
    protocol: Protocol,
    fitted: Mapping[str, Fitted],
    train_rows: Matrix,
    test_rows: Matrix,
    seed: int,
    repeat: int,
) -> list[Part]:
    """The reference of both parts is the model of the best out-of-fold risks: no test stay has a say in it."""
    y = train_rows.outcomes
    own = {name: scores(y, one.out_of_fold, one.scorer.threshold) for name, one in fitted.items()}
    reference = best(own, task.champion_metric)
    folds = patient_folds(y, train_rows.patient, task.folds, seed)
    inside = [
        *baselines(task, train_rows, train_rows, folds),
        *(Judged(name, one.out_of_fold, one.scorer.threshold) for name, one in fitted.items()),
    ]
    words = f"{_who(protocol)}, first {task.window_hours} h"
    title = title_of(f"out of fold, {words}", train_rows, task)
    parts = [Part("out_of_fold", title, train_rows, tuple(inside), reference, repeat=repeat)]
    if len(test_rows.label):
        outside = [
            *baselines(task, train_rows, test_rows),
            *(
                Judged(name, one.scorer.model.risks(test_rows.inputs(one.scorer)), one.scorer.threshold)
                for name, one in fitted.items()
            ),
        ]
        title = title_of(f"test, {words}", test_rows, task)
        parts.append(Part("test", title, test_rows, tuple(outside), reference, repeat=repeat))
    return parts


def _who(protocol: Protocol) -> str:
    """`a+b to c`, or how patients are dealt."""
    if protocol.by == "patient_hash":
        of = "+".join(protocol.sets) or "all stays"
        return f"{of}, {protocol.test_fraction:.0%} of patients by hash held out"
    return " to ".join("+".join(sets) for sets in (protocol.train, protocol.test) if sets)
