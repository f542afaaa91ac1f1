"""Trains a question's models on its training split, registers each, promotes the best where it earns it."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table as RichTable

from jobs.context import Context
from jobs.fitting import Fitted, fit_models, needs_sequences
from jobs.matrix import Matrix, load_matrix
from jobs.progress import ModelProgress
from lakehouse.code import code_version
from lakehouse.errors import ConfigError
from lakehouse.ledger import Outcome
from lakehouse.tasks import Task, load_task
from models.bootstrap import Interval, intervals, paired_differences
from models.features import FeatureMismatchError
from models.metrics import scores
from models.registry import RegisteredModel, Registry
from models.registry import code_version as commit
from models.scorer import Scorer

LOWER_IS_BETTER = ("log_loss", "brier", "event2")
SHOWN = ("auroc", "auprc", "log_loss", "brier", "event1", "calibration_slope")
CODE = ("models.kinds", "models.metrics", "models.splits")
"""Modules that, with all they import, decide what a training gives."""


def open_registry(context: Context, task: Task) -> Registry:
    """The experiment and registry of a task; in the lake's own folder unless the settings name another."""
    folder = context.settings.lake.resolve() / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return Registry(context.settings.tracking_uri, folder / "artifacts", experiment=task.name)


def train(context: Context, task_name: str) -> list[Outcome]:
    """One outcome a model; all unchanged where data, code, task and seed are those of the last training."""
    task = load_task(task_name, context.settings.profile)
    context.console.print(f"[bold]train: models of {task.name}")
    matrix = load_matrix(context.lake, task, sequences=needs_sequences(task))
    code = code_version(*CODE)
    fingerprint = _fingerprint(context, task, matrix, code)
    last = {name: context.ledger.last_built(_node(task, name)) for name in task.models}
    registry = open_registry(context, task)
    trained = all(record and record["fingerprint"] == fingerprint for record in last.values())
    if trained and registry.has_champion(task.name):
        context.console.print("  features, code and settings are those of the last training: nothing was trained")
        return [Outcome(_node(task, name), f"models.{task.name}", "unchanged") for name in task.models]

    train_rows, test_rows = matrix.part("train"), matrix.part("test")
    check_rows(task, train_rows, test_rows)
    with ModelProgress(context.console, list(task.models)) as progress:
        started = datetime.now(UTC)
        fitted = fit_models(task, train_rows, context.settings, progress)
    outcomes, registered = [], {}
    figures = {name: held_out_figures(one.scorer, test_rows, context.settings.seed) for name, one in fitted.items()}
    for name, one in fitted.items():
        registered[name] = _register(context, task, registry, one, figures[name], matrix)
        outcome = Outcome(_node(task, name), f"models.{task.name}", "built", version=registered[name].version)
        outcome.rows_in, outcome.rows_out, outcome.seconds = len(train_rows.label), 1, one.seconds
        context.ledger.record_run(
            context.run_id, outcome, started, code=code, fingerprint=fingerprint, input_versions=matrix.versions
        )
        outcomes.append(outcome)
    # The choice is by out-of-fold figures of training rows: the test rows only report and gate.
    sign = -1.0 if task.champion_metric in LOWER_IS_BETTER else 1.0
    best = max(fitted, key=lambda name: sign * _by_out_of_fold(fitted[name], train_rows)[task.champion_metric])
    _promote(context, registry, registered[best], test_rows)
    shown = {f"{name} v{registered[name].version}": found for name, found in figures.items()}
    context.console.print(figures_table(shown, f"{held_out(test_rows, task)}; 95 % bootstrap intervals"))
    return outcomes


def _node(task: Task, name: str) -> str:
    return f"models.{task.name}[{name}]"


def _fingerprint(context: Context, task: Task, matrix: Matrix, code: str) -> str:
    parts = [task.model_dump(mode="json"), matrix.versions, code, context.settings.seed, context.settings.train_seconds]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def check_rows(task: Task, train_rows: Matrix, test_rows: Matrix) -> None:
    """ConfigError where a split cannot train or test: both need stays with and without the outcome."""
    for name, rows in (("train", train_rows), ("test", test_rows)):
        if rows.label.nunique() < 2:
            raise ConfigError(
                f"task {task.name}: its {name} split has {len(rows.label)} labelled stays and needs both outcomes; "
                f"see split in conf/tasks/{task.name}.yml."
            )


def held_out_figures(scorer: Scorer, rows: Matrix, seed: int) -> dict[str, Interval]:
    """Figures of rows that the model did not see, with bootstrap intervals over patients."""
    risks = scorer.model.risks(rows.inputs(scorer))
    return intervals(rows.outcomes, risks, scorer.threshold, patients=rows.patient, seed=seed)


def _by_out_of_fold(fitted: Fitted, rows: Matrix) -> dict[str, float]:
    return scores(rows.outcomes, fitted.out_of_fold, fitted.scorer.threshold)


def _register(
    context: Context, task: Task, registry: Registry, fitted: Fitted, figures: dict[str, Interval], matrix: Matrix
) -> RegisteredModel:
    name = fitted.name
    return registry.log(
        fitted.scorer,
        task.name,
        run_name=f"{name} {context.run_id}",
        parameters={**fitted.parameters, "model": name, "window_hours": task.window_hours, "split": task.split.by},
        figures={f"test_{figure}": interval for figure, interval in figures.items()},
        tables=matrix.versions,
        code_version=commit(Path(__file__).parent),
        tags={"model": name, "run_id": context.run_id},
        documents={"trials": fitted.trials, "task": task.model_dump(mode="json")},
    )


def _promote(context: Context, registry: Registry, challenger: RegisteredModel, rows: Matrix) -> None:
    """Champion against challenger on the same held-out rows."""
    champion = registry.champion(challenger.name)
    differences = None
    if champion is not None:
        try:
            theirs = champion.scorer.model.risks(rows.inputs(champion.scorer))
        except FeatureMismatchError:
            context.console.print(f"  champion version {champion.version} does not know today's features: replaced")
        else:
            differences = paired_differences(
                rows.outcomes, challenger.scorer.model.risks(rows.inputs(challenger.scorer)), theirs,
                challenger.scorer.threshold, champion.scorer.threshold,
                patients=rows.patient, seed=context.settings.seed,
            )  # fmt: skip
    promoted = registry.promote(challenger, differences)
    kind = challenger.tags.get("model", "")
    word = "is the champion" if promoted else "stays challenger: it is worse than the champion on the held-out stays"
    context.console.print(f"  {kind} version {challenger.version} {word}")


def held_out(rows: Matrix, task: Task) -> str:
    """How many rows there are and how many had the outcome, in words."""
    return f"{len(rows.label):,} held-out stays, {int(rows.outcomes.sum()):,} with {task.label.replace('_', ' ')}"


def figures_table(models: dict[str, dict[str, Interval]], title: str) -> RichTable:
    """A row a model, a column a figure, each with its interval."""
    view = RichTable(title=title, title_justify="left", header_style="bold")
    view.add_column("model")
    for name in SHOWN:
        view.add_column(name, justify="right")
    for model, figures in models.items():
        view.add_row(model, *(f"{f.value:.3f} ({f.low:.3f}-{f.high:.3f})" for f in (figures[name] for name in SHOWN)))
    return view
