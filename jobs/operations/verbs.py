"""Verbs of the command line that operate a lake: what was run, what differs, back to a run, checks, upkeep."""

from typing import Annotated

import typer

from jobs.console import results
from jobs.options import Engine, Env, LakeDir, Only, context_of


def add(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    for verb in (runs, diff, restore, check, maintain):
        app.command()(verb)


def runs(
    lake: LakeDir = None,
    env: Env = None,
    last: Annotated[int, typer.Option(min=1, help="How many, from the last one back.")] = 20,
) -> None:
    """What was run on the lake, the last run first."""
    from jobs.operations import runs as job  # noqa: PLC0415

    results().print(job.as_table(job.runs(context_of(env, None, lake))[:last]))


def diff(
    run: Annotated[str, typer.Argument(help="A run, by its id or its beginning: see `ehr runs`.")],
    other: Annotated[str, typer.Argument(help="The run to compare it with.")],
    lake: LakeDir = None,
    engine: Engine = None,
    env: Env = None,
    table: Annotated[str | None, typer.Option(help="Show the rows of this table.", show_default=False)] = None,
    rows: Annotated[int, typer.Option(min=1, help="How many of them.")] = 20,
) -> None:
    """Rows added, changed and gone between the states in which two runs left the lake, by table."""
    from jobs.operations import diff as job  # noqa: PLC0415

    context = context_of(env, engine, lake)
    found = job.diff(context, run, other) if table is None else None
    results().print(job.as_table(found) if found is not None else job.rows_of(context, run, other, str(table), rows))


def restore(
    run: Annotated[str, typer.Argument(help="A run, by its id or its beginning: see `ehr runs`.")],
    lake: LakeDir = None,
    engine: Engine = None,
    env: Env = None,
) -> None:
    """The whole lake as that run left it."""
    from jobs.operations import restore as job  # noqa: PLC0415

    results().print(job.as_table(job.restore(context_of(env, engine, lake), run)))


def check(lake: LakeDir = None, engine: Engine = None, env: Env = None, only: Only = None) -> None:
    """Every promise of every table, verified on what is stored; exit code 1 where one is broken."""
    from jobs.operations import check as job  # noqa: PLC0415

    found = job.check(context_of(env, engine, lake), only)
    job.show(results(), found)
    if found.findings:
        raise typer.Exit(1)


def maintain(
    lake: LakeDir = None,
    engine: Engine = None,
    env: Env = None,
    retention_hours: Annotated[
        int | None, typer.Option(min=0, help="Delete what no version of the last hours needs.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Even what `ehr restore` may still need.")] = False,
) -> None:
    """Joins small files, orders rows, deletes old files and what killed runs left."""
    from jobs.operations import maintain as job  # noqa: PLC0415

    context = context_of(env, engine, lake)
    with context.writing("maintain"):
        done = job.maintain(context, retention_hours, force=force)
    results().print(job.as_table(done))
