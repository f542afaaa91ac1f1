"""Trains a question's models on its training split, registers each, promotes the best where it earns it."""

import hashlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table as RichTable

from jobs.context import Context
from jobs.matrix import Matrix, load_matrix
from lakehouse.code import code_version
from lakehouse.errors import ConfigError
from lakehouse.ledger import Outcome
from lakehouse.tasks import Task, load_task
from models import boosting, linear
from models.base import Trained
from models.bootstrap import Interval, intervals, paired_differences
from models.features import FeatureMismatchError, FeatureSchema, describe
from models.metrics import choose_threshold, scores
from models.registry import RegisteredModel, Registry
from models.registry import code_version as commit
from models.scorer import Scorer
from models.splits import patient_folds
from models.tuning import Budget

SHOWN = ("auroc", "auprc", "log_loss", "brier", "event1", "calibration_slope")
CODE = ("models.boosting", "models.linear", "models.metrics", "models.splits", "models.tuning", "models.features")


def open_registry(context: Context, task: Task) -> Registry:
    """The experiment and registry of a task; in the lake's own folder unless the settings name another."""
    folder = context.settings.lake.resolve() / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return Registry(context.settings.tracking_uri, folder / "artifacts", experiment=task.name)


def train(context: Context, task_name: str) -> list[Outcome]:
    """One outcome a model; all unchanged where data, code, task and seed are those of the last training."""
    task = load_task(task_name)
    context.console.print(f"[bold]train: models of {task.name}")
    matrix = load_matrix(context.lake, task)
    code = code_version(*CODE)
    fingerprint = _fingerprint(context, task, matrix, code)
    last = {kind: context.ledger.last_built(f"models.{task.name}[{kind}]") for kind in task.models}
    if all(record and record["fingerprint"] == fingerprint for record in last.values()):
        context.console.print("  features, code and settings are those of the last training: nothing was trained")
        return [Outcome(f"models.{task.name}[{kind}]", f"models.{task.name}", "unchanged") for kind in task.models]

    train_rows, test_rows = matrix.part("train"), matrix.part("test")
    _check_rows(task, train_rows, test_rows)
    schema = describe(train_rows.features)
    folds = patient_folds(train_rows.outcomes, train_rows.patient, seed=context.settings.seed)
    registry = open_registry(context, task)
    outcomes, candidates = [], {}
    for kind, spec in task.models.items():
        started, clock = datetime.now(UTC), time.perf_counter()
        with context.console.status(f"{kind}: {len(train_rows.features):,} stays, {len(schema.names):,} features"):
            trained = _fit(context, kind, spec, train_rows, folds, schema)
            scorer = Scorer(trained.model, choose_threshold(train_rows.outcomes, trained.out_of_fold))
            figures = _held_out(scorer, test_rows, context.settings.seed)
            registered = _register(context, task, registry, kind, trained, scorer, figures, matrix)
        seconds = time.perf_counter() - clock
        candidates[kind] = (registered, scores(train_rows.outcomes, trained.out_of_fold, scorer.threshold))
        outcome = Outcome(
            f"models.{task.name}[{kind}]", f"models.{task.name}", "built", version=registered.version,
            rows_in=len(train_rows.features), rows_out=1, seconds=seconds,
        )  # fmt: skip
        context.ledger.record_run(
            context.run_id, outcome, started, code=code, fingerprint=fingerprint, input_versions=matrix.versions
        )
        outcomes.append(outcome)
        context.console.print(f"  [green]✓[/] {kind:<12} {len(trained.trials):>3} candidates {seconds:6.1f} s")
    # The choice is by out-of-fold figures of training rows: the test rows only report and gate.
    best = max(candidates, key=lambda kind: candidates[kind][1][task.champion_metric])
    _promote(context, registry, candidates[best][0], test_rows)
    context.console.print(_figures(candidates, test_rows, context.settings.seed))
    return outcomes


def _fingerprint(context: Context, task: Task, matrix: Matrix, code: str) -> str:
    parts = [task.model_dump(mode="json"), matrix.versions, code, context.settings.seed, context.settings.train_seconds]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _check_rows(task: Task, train_rows: Matrix, test_rows: Matrix) -> None:
    for name, rows in (("train", train_rows), ("test", test_rows)):
        if rows.label.nunique() < 2:
            raise ConfigError(
                f"task {task.name}: its {name} split has {len(rows.label)} labelled stays and needs both outcomes; "
                f"see split in conf/tasks/{task.name}.yml."
            )


def _fit(context: Context, kind: str, spec: dict[str, Any], rows: Matrix, folds: Any, schema: FeatureSchema) -> Trained:
    """The model of one kind, tuned and fitted on training rows alone."""
    settings = context.settings
    if kind == "logistic":
        return linear.train(rows.features, rows.outcomes, folds, schema, search=spec["search"])
    if kind == "xgboost":
        budget = Budget(spec["budget"]["trials"], settings.train_seconds or spec["budget"]["seconds"])
        studies = settings.lake.resolve() / "mlflow" / "studies.db"
        return boosting.train(
            rows.features, rows.outcomes, folds, schema,
            space=spec["space"], budget=budget, defaults={**boosting.DEFAULTS, **spec.get("defaults", {})},
            seed=settings.seed, threads=settings.cores, storage=f"sqlite:///{studies}",
        )  # fmt: skip
    raise ConfigError(f"model {kind!r} is none of logistic, xgboost.")


def _held_out(scorer: Scorer, rows: Matrix, seed: int) -> dict[str, Interval]:
    risks = scorer.model.risks(rows.features)
    return intervals(rows.outcomes, risks, scorer.threshold, patients=rows.patient, seed=seed)


def _register(
    context: Context,
    task: Task,
    registry: Registry,
    kind: str,
    trained: Trained,
    scorer: Scorer,
    figures: dict[str, Interval],
    matrix: Matrix,
) -> RegisteredModel:
    return registry.log(
        scorer,
        task.name,
        run_name=f"{kind} {context.run_id}",
        parameters={**trained.parameters, "kind": kind, "window_hours": task.window_hours, "split": task.split.by},
        figures={f"test_{name}": interval for name, interval in figures.items()},
        tables=matrix.versions,
        code_version=commit(Path(__file__).parent),
        tags={"kind": kind, "run_id": context.run_id},
        documents={"trials": trained.trials, "task": task.model_dump(mode="json")},
    )


def _promote(context: Context, registry: Registry, challenger: RegisteredModel, rows: Matrix) -> None:
    """Champion against challenger on the same held-out rows."""
    champion = registry.champion(challenger.name)
    differences = None
    if champion is not None:
        try:
            theirs = champion.scorer.model.risks(rows.features)
        except FeatureMismatchError:
            context.console.print(f"  champion version {champion.version} does not know today's features: replaced")
        else:
            differences = paired_differences(
                rows.outcomes, challenger.scorer.model.risks(rows.features), theirs,
                challenger.scorer.threshold, champion.scorer.threshold,
                patients=rows.patient, seed=context.settings.seed,
            )  # fmt: skip
    promoted = registry.promote(challenger, differences)
    kind = challenger.tags.get("kind", "")
    word = "is the champion" if promoted else "stays challenger: it is worse than the champion on the held-out stays"
    context.console.print(f"  {kind} version {challenger.version} {word}")


def _figures(candidates: dict[str, Any], rows: Matrix, seed: int) -> RichTable:
    return figures_table(
        {f"{kind} v{model.version}": _held_out(model.scorer, rows, seed) for kind, (model, _) in candidates.items()},
        f"held-out stays: {len(rows.label):,}, {int(rows.outcomes.sum()):,} deaths; 95 % bootstrap intervals",
    )


def figures_table(models: dict[str, dict[str, Interval]], title: str) -> RichTable:
    """A row a model, a column a figure, each with its interval."""
    view = RichTable(title=title, title_justify="left", header_style="bold")
    view.add_column("model")
    for name in SHOWN:
        view.add_column(name, justify="right")
    for model, figures in models.items():
        view.add_row(model, *(f"{f.value:.3f} ({f.low:.3f}-{f.high:.3f})" for f in (figures[name] for name in SHOWN)))
    return view
