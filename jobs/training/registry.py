"""Who may serve: the versions of a question's models, and the champion that a person appoints or takes back."""

import json as jsons
from datetime import UTC, datetime
from typing import Any

from rich.table import Table as RichTable

from jobs.console import results
from jobs.context import Context, operator
from jobs.evaluation.figures import WORDS
from lakehouse.errors import ConfigError, ModelError
from lakehouse.tasks import Task, load_task
from models.promotion import Appointment, line_of
from models.registry import CHAMPION, RegisteredModel, Registry, Version

SHOWN = ("auroc", "auprc", "log_loss", "calibration_slope")


def open_registry(context: Context, task: Task) -> Registry:
    """The experiment and registry of a task; in the lake's own folder unless the settings name another."""
    settings = context.settings
    folder = settings.lake.resolve() / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    experiment = settings.experiment or task.name
    return Registry(settings.tracking_uri, folder / "artifacts", experiment, settings.registry_uri)


def champion_of(context: Context, task: Task) -> RegisteredModel:
    """The model that serves; ModelError where there is none."""
    try:
        return open_registry(context, task).load(context.settings.model_name(task.name), CHAMPION)
    except LookupError as error:
        raise ModelError(f"{error}.") from None


def models(context: Context, task_name: str, as_json: bool = False) -> None:
    """Prints the versions with their held-out figures and what the gate said, and how each champion came to be."""
    task = load_task(task_name)
    registry = open_registry(context, task)
    name = context.settings.model_name(task.name)
    versions, history = registry.versions(name), registry.history(name)
    if as_json:
        print(jsons.dumps({"versions": [_plain(one) for one in versions], "champions": [vars(h) for h in history]}))
        return
    if not versions:
        raise ModelError(f"no model of {task.name} is registered: run ehr train first.")
    results().print(_versions(task, versions))
    view = RichTable(title="champions", title_justify="left", header_style="bold")
    for column in ("version", "how", "who", "when (UTC)", "why"):
        view.add_column(column, overflow="fold")
    for one in history:
        view.add_row(str(one.version), one.how, one.by, one.at[:19].replace("T", " "), one.reason)
    results().print(view)


def _versions(task: Task, versions: list[Version]) -> RichTable:
    view = RichTable(title=f"{task.name}: registered models, figures of held-out stays", title_justify="left")
    for column in ("version", "model", "alias", "made (UTC)"):
        view.add_column(column)
    for figure in SHOWN:
        view.add_column(WORDS[figure], justify="right")
    view.add_column("gate")
    for one in versions:
        figures = (one.figures.get(f"test_{name}") for name in SHOWN)
        view.add_row(
            str(one.version),
            one.tags.get("model", one.tags["kind"]),
            ", ".join(one.aliases),
            f"{one.made_at:%Y-%m-%d %H:%M}",
            *("" if figure is None else f"{figure:.3f}" for figure in figures),
            one.tags.get("decision", ""),
            style="bold" if CHAMPION in one.aliases else None,
        )
    return view


def _plain(one: Version) -> dict[str, Any]:
    return {
        "version": one.version,
        "run_id": one.run_id,
        "made_at": one.made_at.isoformat(),
        "aliases": list(one.aliases),
        "tags": dict(one.tags),
        "figures": dict(one.figures),
    }


def promote(context: Context, task_name: str, version: int, reason: str) -> None:
    """Makes a version champion by a person's decision, whatever the gate said."""
    if not reason.strip():
        raise ConfigError("a promotion needs a reason that a later reader understands.")
    task = load_task(task_name)
    registry = open_registry(context, task)
    history = registry.history(context.settings.model_name(task.name))
    if history and history[-1].version == version:
        context.console.print(f"  version {version} is the champion already: nothing was changed")
        return
    _appoint(context, registry, task, Appointment(version, "person", operator(context.settings), _now(), reason))


def rollback(context: Context, task_name: str, reason: str = "") -> None:
    """Makes the champion before this one champion again; called again, the one before that."""
    task = load_task(task_name)
    registry = open_registry(context, task)
    line = line_of(registry.history(context.settings.model_name(task.name)))
    if len(line) < 2:
        raise ModelError(f"no champion of {task.name} is recorded before this one: ehr promote takes any version.")
    said = reason.strip() or f"version {line[-1]} was taken back"
    one = Appointment(line[-2], "rollback", operator(context.settings), _now(), said)
    _appoint(context, registry, task, one)


def _appoint(context: Context, registry: Registry, task: Task, one: Appointment) -> None:
    try:
        registry.appoint(context.settings.model_name(task.name), one)
    except LookupError as error:
        raise ModelError(f"{error}: ehr models lists them.") from None
    context.console.print(f"  version {one.version} is the champion; ehr score scores every stay anew with it")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
