"""The command line `ehr`: one verb a job. Errors end in one sentence and an exit code that a scheduler can act on."""

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from jobs.console import messages, results
from jobs.operations.verbs import add as add_operations
from jobs.options import AcceptRemoved, Engine, Env, LakeDir, Only, Preset, Quick, RawDir, TaskName, audit, context_of
from jobs.privacy.verbs import add as add_privacy
from jobs.report.verbs import add as add_report
from jobs.training.verbs import add as add_modelling
from lakehouse.engines.machine import trouble_of
from lakehouse.errors import ConfigError, LakehouseError, one_sentence
from lakehouse.garbage import spare_the_collector
from lakehouse.settings import PREFIX, load_settings, origins

app = typer.Typer(
    name="ehr",
    help="An EHR lakehouse: raw PhysioNet and MIMIC files to clinical tables, models and queried predictions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _invoked(context: typer.Context) -> None:
    context.call_on_close(lambda: audit(context.invoked_subcommand or ""))


@app.command()
def run(
    raw: RawDir = None,
    lake: LakeDir = None,
    engine: Engine = None,
    env: Env = None,
    task: TaskName = "mortality",
    preset: Preset = None,
    quick: Quick = False,
    accept_removed: AcceptRemoved = False,
    until: Annotated[
        str | None, typer.Option(help="Stop after this stage: ingest, refine, featurize, train.", show_default=False)
    ] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Also print where time and memory went.")] = False,
) -> None:
    """The whole job: ingest, refine, featurize, train, score."""
    context = context_of(env, engine, lake, raw, preset, quick)  # first: what is wrong with settings is said at once
    from jobs.run import run as job  # noqa: PLC0415  (each verb imports its own job, so that `ehr sql` starts fast)

    with context.writing("run"):
        job(context, task, accept_removed, until, profile)


@app.command()
def ingest(
    raw: RawDir = None,
    lake: LakeDir = None,
    engine: Engine = None,
    env: Env = None,
    only: Only = None,
    accept_removed: AcceptRemoved = False,
) -> None:
    """Raw files into bronze: reads what is new or changed, takes out what is gone."""
    from jobs.ingest import ingest as job  # noqa: PLC0415

    context = context_of(env, engine, lake, raw)
    with context.writing("ingest"):
        job(context, only, accept_removed)


@app.command()
def refine(lake: LakeDir = None, engine: Engine = None, env: Env = None, only: Only = None) -> None:
    """Bronze into silver: one clinical model for all sources."""
    from jobs.refine import refine as job  # noqa: PLC0415

    context = context_of(env, engine, lake)
    with context.writing("refine"):
        job(context, only)


@app.command()
def featurize(lake: LakeDir = None, engine: Engine = None, env: Env = None, only: Only = None) -> None:
    """Silver into gold: cohorts, features and sequences."""
    from jobs.featurize import featurize as job  # noqa: PLC0415

    context = context_of(env, engine, lake)
    with context.writing("featurize"):
        job(context, only)


@app.command()
def evaluate(
    lake: LakeDir = None,
    engine: Engine = None,
    env: Env = None,
    task: TaskName = "mortality",
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Train anew by a protocol of the task's file; no registered model changes.", show_default=False
        ),
    ] = None,
    external: Annotated[bool, typer.Option("--external", help="The champion on stays of other sources.")] = False,
    subgroups: Annotated[
        bool, typer.Option("--subgroups", help="Also by gender, age, kind of ICU and source.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Also classification report, calibration by tenths, decision curve.")
    ] = False,
    preset: Preset = None,
    quick: Quick = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON instead of tables.")] = False,
    keep: Annotated[bool, typer.Option(help="Keep the figures in MLflow and in the table of evaluations.")] = True,
) -> None:
    """Figures of the task's latest models on held-out stays, with bootstrap intervals and paired differences."""
    context = context_of(env, engine, lake, preset=preset, quick=quick)
    from jobs.evaluate import Asked  # noqa: PLC0415
    from jobs.evaluate import evaluate as job  # noqa: PLC0415

    job(context, task, Asked(protocol, external, subgroups, report, json, keep))


@app.command()
def score(lake: LakeDir = None, engine: Engine = None, env: Env = None, task: TaskName = "mortality") -> None:
    """Scores the cohort with the champion and merges the predictions table."""
    context = context_of(env, engine, lake)
    from jobs.score import score as job  # noqa: PLC0415

    with context.writing("score"):
        job(context, task)


@app.command()
def explain(
    stay: Annotated[str, typer.Argument(help="A stay of the cohort, as its stay_id.")],
    out: Annotated[
        Path | None, typer.Option(help="Draw it as well: a .png, .svg or .html file.", show_default=False)
    ] = None,
    lake: LakeDir = None,
    env: Env = None,
    task: TaskName = "mortality",
) -> None:
    """Why a stay has its risk: reasons, hours and the course that they were read from."""
    context = context_of(env, None, lake)
    from jobs.explanations.explain import explain as job  # noqa: PLC0415

    job(context, task, stay, out)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="A query over tables such as gold.mortality_predictions.")],
    lake: LakeDir = None,
    engine: Annotated[str, typer.Option(help="duckdb, or sail, spark, databricks.")] = "duckdb",
    output: Annotated[str, typer.Option(help="table, csv, json or parquet.")] = "table",
    out: Annotated[Path | None, typer.Option(help="File to write instead of the screen.", show_default=False)] = None,
    as_of: Annotated[str | None, typer.Option(help="The lake as this run left it.", show_default=False)] = None,
    env: Env = None,
) -> None:
    """Queries the lake: DuckDB over the Delta folders, or a Spark engine."""
    from jobs import sql as job  # noqa: PLC0415

    if engine == "duckdb":
        result = job.query_duckdb(context_of(env, None, lake).lake, query, as_of)
    elif as_of is not None:
        raise ConfigError("--as-of needs the engine duckdb.")
    else:
        result = job.query_spark(context_of(env, "sail" if engine == "spark-connect" else engine, lake), query)
    job.write(result, job.checked_format(output), out)


@app.command()
def tables(lake: LakeDir = None, env: Env = None) -> None:
    """Every table: rows, version, size, quarantined rows, last run."""
    from jobs.tables import tables as job  # noqa: PLC0415

    results().print(job(context_of(env, None, lake)))


@app.command()
def reconcile(
    lake: LakeDir = None,
    env: Env = None,
    markdown: Annotated[bool, typer.Option(help="Print the table of docs/reconciliation.md.")] = False,
) -> None:
    """Where every row of every input went: written, merged, left out or quarantined, and why."""
    from jobs.reconcile import reconcile as job  # noqa: PLC0415

    job(context_of(env, None, lake), markdown=markdown)


@app.command()
def dictionary() -> None:
    """The data dictionary in Markdown, generated from the tables' contracts."""
    from jobs.dictionary import data_dictionary  # noqa: PLC0415

    print(data_dictionary(), end="")


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    patients: Annotated[int, typer.Option(min=20, help="Challenge stays; a tenth as many MIMIC patients each.")] = 600,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal bytes.")] = 7,
) -> None:
    """Raw files of all sources in their published formats, made up."""
    from jobs.generate import generate as job  # noqa: PLC0415

    job(context_of(), out, patients, seed)


@app.command()
def download(
    source: Annotated[str, typer.Argument(help="e.g. challenge-2012, mimiciii-demo-1.4, mimiciv-demo-2.2.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    env: Env = None,
) -> None:
    """Fetches a source from PhysioNet: resumable, checksums verified."""
    from jobs.download import download as job  # noqa: PLC0415

    job(context_of(env), source, out)


@app.command()
def config(lake: LakeDir = None, raw: RawDir = None, engine: Engine = None, env: Env = None) -> None:
    """What is in force, and where it comes from."""
    from rich.table import Table  # noqa: PLC0415

    given = {"env": env, "engine": engine, "lake": lake, "raw": raw}
    view = Table("setting", "value", "from", header_style="bold")
    for name, (value, origin) in origins(load_settings(**given), **given).items():
        view.add_row(name, value, origin)
    results().print(view)


add_modelling(app)
add_operations(app)
add_privacy(app)
add_report(app)


def main() -> None:
    """Entry point; also of `spark-submit` and of a Databricks wheel task."""
    spare_the_collector()
    try:
        app(standalone_mode=True)
    except SystemExit as end:
        if end.code:  # Databricks takes any exit of a wheel task for a failure, that of success too
            raise
    except Exception as error:
        known = trouble_of(error) or error
        if isinstance(known, LakehouseError):
            _end(str(known), known.exit_code)
        sentence = f"unexpected {type(error).__name__}: {one_sentence(error)}"
        _end(f"{sentence} ({PREFIX}DEBUG=true shows where)", LakehouseError.exit_code)


def _end(sentence: str, exit_code: int) -> None:
    if _debugging():
        traceback.print_exc()
    messages().print(f"[bold red]error[/] {escape(sentence)}", soft_wrap=True)
    sys.exit(exit_code)


def _debugging() -> bool:
    try:
        return load_settings().debug
    except LakehouseError:  # the settings themselves are what is wrong
        return False


if __name__ == "__main__":
    main()
