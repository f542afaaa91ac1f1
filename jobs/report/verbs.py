"""Verbs of the command line that are written for people: a report of the lake, a card of a model."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.options import Env, LakeDir, TaskName, context_of


def add(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    for verb in (report, card):
        app.command()(verb)


def report(
    out: Annotated[Path, typer.Option(help="The .html file to write.")] = Path("report.html"),
    lake: LakeDir = None,
    env: Env = None,
    task: TaskName = "mortality",
    stay: Annotated[
        str | None, typer.Option(help="The stay shown as an example; else one is chosen.", show_default=False)
    ] = None,
    example: Annotated[bool, typer.Option(help="Show one stay's course and reasons, under another name.")] = True,
) -> None:
    """One page in one file: the lake, its quality, the cohort, how good the models are and for whom."""
    context = context_of(env, None, lake)
    from jobs.report.write import report as job  # noqa: PLC0415

    job(context, task, out, stay, example)


def card(
    version: Annotated[str, typer.Argument(help="A version, an alias or an MLflow run.")] = "champion",
    out: Annotated[Path | None, typer.Option(help="File to write instead of the screen.", show_default=False)] = None,
    lake: LakeDir = None,
    env: Env = None,
    task: TaskName = "mortality",
) -> None:
    """A registered model's card: data, cohort, use and misuse, figures with intervals, subgroups, limits."""
    context = context_of(env, None, lake)
    from jobs.report.card import card as job  # noqa: PLC0415

    job(context, task, version, out)
