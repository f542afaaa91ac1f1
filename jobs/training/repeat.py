"""Trains a registered model again from its record, and says whether it comes out the same; keeps nothing."""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table as RichTable

from jobs.console import results
from jobs.context import Context
from jobs.evaluation.figures import held_out_figures
from jobs.progress import ModelProgress
from jobs.training.admit import HELD_OUT, OUT_OF_FOLD, Training
from jobs.training.fitting import fit_models, kind_of
from jobs.training.matrix import Matrix, load_matrix
from jobs.training.registry import open_registry
from jobs.training.training_record import CODE
from lakehouse.code import code_version
from lakehouse.errors import LakehouseError, ModelError
from lakehouse.tasks import Task, load_task
from models.provenance import environment
from models.record import Record
from models.registry import Registry, Version
from models.tracking import metrics_of

TOLERANCE = 1e-6


class NotReproducedError(LakehouseError):
    """The figures of a training are not those of its record."""


@dataclass(frozen=True)
class Repeated:
    """A figure as it was recorded and as it is now."""

    name: str
    then: float
    now: float

    @property
    def same(self) -> bool:
        both_unknown = math.isnan(self.then) and math.isnan(self.now)
        return both_unknown or abs(self.then - self.now) <= TOLERANCE

    @property
    def is_limit(self) -> bool:
        """Whether it is an end of an interval."""
        return self.name.endswith(("_low", "_high"))


def repeat(context: Context, task_name: str, which: str) -> None:
    """Trains version, alias or MLflow run `which` again; NotReproducedError, naming what differs, where figures do."""
    registry = open_registry(context, load_task(task_name))
    version, record, judged = _recorded(context, registry, task_name, which)
    name = version.tags["model"]
    task = _alone(Task(**record.task), record, name)
    _check_engine(version, record, task)
    context.console.print(f"[bold]train: {name} of {task.name} as version {version.version} was")
    rows = _matrix(context, task, record, record.tables).part("train")
    with tempfile.TemporaryDirectory() as work, ModelProgress(context.console, list(task.models)) as progress:
        # A search or checkpoint of the first time would only be read again: this one begins anew.
        # How sums are shared among cores decides their last bits.
        then = {key: record.settings[key] for key in ("seed", "cores")}
        then |= {"train_seconds": None, "train_engine": "local", "lake": Path(work)}
        settings = context.settings.model_copy(update=then)
        fitted = fit_models(task, rows, settings, progress)
    test_rows = _matrix(context, task, record, judged["tables"]).part("test")
    figures: dict[str, Any] = {
        f"{OUT_OF_FOLD}{figure}": value for figure, value in Training(record, fitted, rows).out_of_fold(name).items()
    }
    seen = test_rows.patient.isin(set(rows.patient)).to_numpy()
    outside = held_out_figures(fitted[name].scorer, test_rows.rows(~seen), judged["seed"])
    figures |= {f"{HELD_OUT}{figure}": interval for figure, interval in outside.items()}
    compared = _compared(version.figures, {one.key: one.value for one in metrics_of(figures)})
    shown = [one for one in compared if not (one.same and one.is_limit)]
    results().print(_table(shown, f"{name} version {version.version}, trained again; limits only where they differ"))
    differences = record.differences(data=rows.digest(), code=code_version(*CODE), environment=environment())
    _verdict(context, version, compared, differences)


def _recorded(
    context: Context, registry: Registry, task_name: str, which: str
) -> tuple[Version, Record, dict[str, Any]]:
    try:
        version = registry.find(context.settings.model_name(task_name), which)
    except LookupError as error:
        raise ModelError(f"{error}: ehr models lists them.") from None
    try:
        record = Record.from_dict(registry.document(version.run_id, "record"))
        return version, record, registry.document(version.run_id, "held_out")
    except LookupError as error:
        raise ModelError(f"version {version.version} cannot be trained again: {error}.") from None


def _alone(task: Task, record: Record, name: str) -> Task:
    """The question with this model and those that it stacks, each search as long as it was."""
    spec = task.models[name]
    names = [*spec["members"], name] if kind_of(name, spec) == "stack" else [name]
    return task.model_copy(update={"models": record.repeatable(names)})


def _check_engine(version: Version, record: Record, task: Task) -> None:
    """ModelError for trees that executors grew: networks and linear models are the same wherever they are trained."""
    trees = [name for name, spec in task.models.items() if kind_of(name, spec) == "xgboost"]
    if trees and record.settings.get("train_engine") == "spark":
        raise ModelError(
            f"version {version.version} cannot be trained again to the same figures: {trees[0]} was trained by "
            "train_engine spark, whose trials end in another order each time."
        )


def _matrix(context: Context, task: Task, record: Record, tables: Mapping[str, int]) -> Matrix:
    for table, known in record.table_ids.items():
        if context.lake.table_id(table) != known:
            raise ModelError(f"{table} was made anew since: its version {tables[table]} of then is gone.")
    sequences = f"gold.{task.name}_sequences" in tables
    return replace(load_matrix(context.lake, task, sequences, versions=tables), concepts=record.concepts)


def _compared(then: Mapping[str, float], now: Mapping[str, float]) -> list[Repeated]:
    """Figures that are both recorded and known now, in the order of now."""
    return [Repeated(name, then[name], value) for name, value in now.items() if name in then]


def _table(compared: list[Repeated], title: str) -> RichTable:
    view = RichTable(title=title, title_justify="left", header_style="bold")
    view.add_column("figure")
    for column in ("recorded", "now", "difference", "the same"):
        view.add_column(column, justify="right")
    for one in compared:
        mark = "[green]✓" if one.same else "[red]✗"
        view.add_row(one.name, f"{one.then:.9f}", f"{one.now:.9f}", f"{one.now - one.then:+.1e}", mark)
    return view


def _verdict(context: Context, version: Version, compared: list[Repeated], differences: Mapping[str, str]) -> None:
    apart = [one for one in compared if not one.same]
    changed = "; ".join(f"{name}: {told}" for name, told in differences.items())
    if not compared:
        raise ModelError(f"version {version.version} has no figures to compare with.")
    if apart:
        worst = max(apart, key=lambda one: abs(one.now - one.then))
        raise NotReproducedError(
            f"version {version.version} was not reproduced: {len(apart)} of {len(compared)} figures differ by more "
            f"than {TOLERANCE:g}, {worst.name} by {worst.now - worst.then:+.2g}. "
            + (f"What differs: {changed}." if changed else "Code, environment and data are those of the record.")
        )
    context.console.print(f"  version {version.version} was reproduced: {len(compared)} figures agree to {TOLERANCE:g}")
    if changed:
        context.console.print(f"  though not all is as it was: {changed}", soft_wrap=True)
