"""Judges a question's models: those of the registry on held-out or foreign stays, or models of a protocol, trained
anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from jobs.console import results
from jobs.context import Context
from jobs.evaluation.evaluations import Evaluation, document, keep
from jobs.evaluation.judging import Part, attributes_of, baselines, check_outcomes, judged, measure, title_of
from jobs.evaluation.protocols import by_protocol
from jobs.evaluation.reports import print_measured
from jobs.training.matrix import Matrix, load_matrix
from jobs.training.registry import open_registry
from lakehouse.errors import ConfigError, ModelError
from lakehouse.settings import check_keys
from lakehouse.tasks import Task, load_task
from models.features import Kind
from models.registry import RegisteredModel, Registry

REGISTERED = "registered"


@dataclass(frozen=True)
class Asked:
    """What of an evaluation is wanted. `protocol`: train anew by it; `external`: stays of other sources."""

    protocol: str | None = None
    external: bool = False
    subgroups: bool = False
    report: bool = False
    as_json: bool = False
    keep: bool = True


def evaluate(context: Context, task_name: str, asked: Asked | None = None) -> None:
    """Prints each model's figures with bootstrap intervals, and keeps them in MLflow and the table of evaluations."""
    asked = asked or Asked()
    task = load_task(task_name, context.settings.preset)
    if asked.protocol and asked.external:
        raise ConfigError("--external judges the registered champion: it goes with no --protocol.")
    if asked.protocol:
        check_keys([asked.protocol], task.protocols, f"protocols of conf/tasks/{task.name}.yml")
        parts = by_protocol(context, task, asked.protocol)
    else:
        parts = external(context, task) if asked.external else registered(context, task)
    found = []
    for part in parts:
        with context.console.status(f"{part.n:,} stays, {len(part.models)} models: 1,000 resamples"):
            groups = attributes_of(context.lake, part.rows) if asked.subgroups or asked.as_json else None
            found.append(measure(part, context.settings.seed, groups))
    evaluation = Evaluation(context.run_id, task, asked.protocol or REGISTERED, datetime.now(UTC), found)
    if asked.as_json:
        print(json.dumps(document(evaluation), indent=2, allow_nan=False))
    else:
        print_measured(results(), task, found, subgroups=asked.subgroups, report=asked.report)
    if asked.keep and (table := keep(context, evaluation)):
        context.console.print(f"kept in MLflow and in {table} as evaluation {evaluation.id}")


def registered(context: Context, task: Task) -> list[Part]:
    """The newest version of each registered model, the champion and the clinical scores on the test stays."""
    registry, champion = _champion(context, task)
    with context.console.status("loading features and models"):
        newest = registry.newest(context.settings.model_name(task.name))
        by_version = {model.version: model for model in (champion, *newest.values())}
        models = [by_version[version] for version in sorted(by_version)]
        matrix = _matrix(context, task, models)
    rows = _unseen(context, registry, models, matrix.part("test"))
    check_outcomes(rows, task, "test split")
    by_set = f"train {'+'.join(task.split.train)}, test {'+'.join(task.split.test)}"
    title = title_of(by_set if task.split.by == "record_set" else "patients by hash", rows, task)
    own = {model.version: judged(model, rows) for model in models}
    everyone = (*baselines(task, matrix.part("train"), rows), *own.values())
    return [Part("test", title, rows, everyone, own[champion.version].name)]


def external(context: Context, task: Task) -> list[Part]:
    """The champion and the clinical scores on stays of sources that it was neither trained nor tested on, by source."""
    registry, champion = _champion(context, task)
    with context.console.status("loading features"):
        matrix = _matrix(context, task, [champion])
    foreign = _unseen(context, registry, [champion], matrix.part("external"))
    if foreign.label.empty:
        raise ConfigError(
            f"task {task.name} has no labelled external stay: every stay is in its train or test split "
            f"(split in conf/tasks/{task.name}.yml)."
        )
    parts = []
    for source in sorted(foreign.cohort["source"].unique()):
        rows = foreign.rows((foreign.cohort["source"] == source).to_numpy())
        one = judged(champion, rows)
        title = title_of(f"external, {source}", rows, task)
        everyone = (*baselines(task, matrix.part("train"), rows), one)
        parts.append(Part("external", title, rows, everyone, one.name, subgroup=f"source={source}"))
    return parts


def _champion(context: Context, task: Task) -> tuple[Registry, RegisteredModel]:
    registry = open_registry(context, task)
    champion = registry.champion(context.settings.model_name(task.name))
    if champion is None:
        raise ModelError(f"no model of {task.name} is registered: run ehr train first.")
    return registry, champion


def _matrix(context: Context, task: Task, models: Sequence[RegisteredModel]) -> Matrix:
    reads_events = any(model.scorer.model.schema.of(Kind.SERIES) for model in models)
    return load_matrix(context.lake, task, sequences=reads_events)


def _unseen(context: Context, registry: Registry, models: Sequence[RegisteredModel], rows: Matrix) -> Matrix:
    """The stays of patients on whom none of the models was trained, perhaps under another split than today's."""
    seen: set[str] = set()
    for model in models:
        try:
            seen |= set(registry.document(model.run_id, "patients"))
        except LookupError:
            context.console.print(f"[yellow]version {model.version} does not say whom it was trained on[/]")
    trained_on = rows.of_patients(seen)
    if trained_on.any():
        number = f"{int(trained_on.sum()):,} of {len(trained_on):,}"
        context.console.print(f"[yellow]without {number} stays, on whose patients a model was trained[/]")
    return rows.rows(~trained_on)
