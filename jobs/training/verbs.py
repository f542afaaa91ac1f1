"""Verbs of the command line that train models here or elsewhere, list them, and decide which one serves."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.options import Env, LakeDir, Preset, Quick, TaskName, context_of
from lakehouse.errors import ConfigError


def add(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    for verb in (train, export_training, register, models, promote, rollback):
        app.command(verb.__name__.replace("_", "-"))(verb)


def train(
    lake: LakeDir = None,
    env: Env = None,
    task: TaskName = "mortality",
    preset: Preset = None,
    quick: Quick = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Train from this exported folder alone, without a lake.", show_default=False),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(help="Train this version or MLflow run again and compare; keep nothing.", show_default=False),
    ] = None,
    train_engine: Annotated[
        str | None, typer.Option(help="local, or spark: on the executors of the engine.", show_default=False)
    ] = None,
) -> None:
    """Tunes and fits the task's models, registers them, and promotes the best where it earns it."""
    context = context_of(env, None, lake, preset=preset, quick=quick, train_engine=train_engine)
    if source and like:
        raise ConfigError("--from and --like exclude each other: what is trained again is read from the lake.")
    if source:
        from jobs.training.train_from import train_from  # noqa: PLC0415

        train_from(context.console, context.settings, context.run_id, source)
    elif like:
        from jobs.training.repeat import repeat  # noqa: PLC0415

        repeat(context, task, like)
    else:
        from jobs.train import train as job  # noqa: PLC0415

        with context.writing("train"):
            job(context, task)


def export_training(
    out: Annotated[Path, typer.Option(help="Folder to write, whole or not at all.")],
    lake: LakeDir = None,
    env: Env = None,
    task: TaskName = "mortality",
) -> None:
    """The training rows as plain Parquet, for a machine without Spark: ehr train --from."""
    from jobs.training.export_training import export_training as job  # noqa: PLC0415

    job(context_of(env, None, lake), task, out)


def register(
    folder: Annotated[Path, typer.Argument(help="An exported folder that ehr train --from has trained from.")],
    lake: LakeDir = None,
    env: Env = None,
) -> None:
    """Takes models that were trained elsewhere into the lake's registry, and puts the best before the gate."""
    from jobs.training.register import register as job  # noqa: PLC0415

    context = context_of(env, None, lake)
    with context.writing("register"):
        job(context, folder)


def models(
    lake: LakeDir = None,
    env: Env = None,
    task: TaskName = "mortality",
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Every registered version: model, alias, figures, what the gate said; and each champion so far."""
    from jobs.training.registry import models as job  # noqa: PLC0415

    job(context_of(env, None, lake), task, as_json=json)


def promote(
    version: Annotated[int, typer.Argument(help="A version that ehr models lists.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the registry with who and when.")],
    lake: LakeDir = None,
    env: Env = None,
    task: TaskName = "mortality",
) -> None:
    """Makes a version champion by your own decision."""
    from jobs.training.registry import promote as job  # noqa: PLC0415

    context = context_of(env, None, lake)
    with context.writing("promote"):
        job(context, task, version, reason)


def rollback(
    lake: LakeDir = None,
    env: Env = None,
    task: TaskName = "mortality",
    reason: Annotated[str, typer.Option(help="Why; kept in the registry with who and when.")] = "",
) -> None:
    """Makes the champion before this one champion again."""
    from jobs.training.registry import rollback as job  # noqa: PLC0415

    context = context_of(env, None, lake)
    with context.writing("rollback"):
        job(context, task, reason)
