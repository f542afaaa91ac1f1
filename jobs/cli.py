"""The command line `ehr`: one verb a job. Errors end in one sentence and an exit code that a scheduler can act on."""

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from jobs.console import messages, results
from jobs.context import Context
from lakehouse.errors import LakehouseError, one_sentence
from lakehouse.settings import PREFIX, load_settings, origins

app = typer.Typer(
    name="ehr",
    help="An EHR lakehouse: raw PhysioNet and MIMIC files to clinical tables, models and queried predictions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Env = Annotated[str | None, typer.Option(help="Environment: conf/<env>.yml applies.", show_default=False)]
Engine = Annotated[str | None, typer.Option(help="sail (embedded), spark (JVM) or databricks.", show_default=False)]
LakeDir = Annotated[Path | None, typer.Option("--lake", help="Folder of the lake.", show_default=False)]
RawDir = Annotated[Path | None, typer.Option("--raw", help="Folder of the raw files.", show_default=False)]
Only = Annotated[str | None, typer.Option(help="Just this table, source or question.", show_default=False)]
Profile = Annotated[
    str | None, typer.Option(help="How thoroughly models are trained: default, quick, thorough.", show_default=False)
]
TaskName = Annotated[str, typer.Option("--task", help="Clinical question: a file of conf/tasks.")]


def _context(
    env: str | None = None,
    engine: str | None = None,
    lake: Path | None = None,
    raw: Path | None = None,
    profile: str | None = None,
) -> Context:
    return Context.of(load_settings(env=env, engine=engine, lake=lake, raw=raw, profile=profile))


@app.command()
def run(
    raw: RawDir = None,
    lake: LakeDir = None,
    engine: Engine = None,
    env: Env = None,
    task: TaskName = "mortality",
    profile: Profile = None,
) -> None:
    """The whole job: ingest, refine, featurize, train, score."""
    context = _context(env, engine, lake, raw, profile)  # first: what is wrong with settings is said at once
    from jobs.run import run as job  # noqa: PLC0415  (each verb imports its own job, so that `ehr sql` starts fast)

    job(context, task)


@app.command()
def ingest(raw: RawDir = None, lake: LakeDir = None, engine: Engine = None, env: Env = None, only: Only = None) -> None:
    """Raw files into bronze: reads what is new or changed."""
    from jobs.ingest import ingest as job  # noqa: PLC0415

    job(_context(env, engine, lake, raw), only)


@app.command()
def refine(lake: LakeDir = None, engine: Engine = None, env: Env = None, only: Only = None) -> None:
    """Bronze into silver: one clinical model for all sources."""
    from jobs.refine import refine as job  # noqa: PLC0415

    job(_context(env, engine, lake), only)


@app.command()
def featurize(lake: LakeDir = None, engine: Engine = None, env: Env = None, only: Only = None) -> None:
    """Silver into gold: cohorts, features and sequences."""
    from jobs.featurize import featurize as job  # noqa: PLC0415

    job(_context(env, engine, lake), only)


@app.command()
def train(lake: LakeDir = None, env: Env = None, task: TaskName = "mortality", profile: Profile = None) -> None:
    """Tunes and fits the task's models, registers the best as challenger, promotes it where it earns it."""
    context = _context(env, None, lake, profile=profile)
    from jobs.train import train as job  # noqa: PLC0415

    job(context, task)


@app.command()
def evaluate(
    lake: LakeDir = None,
    env: Env = None,
    task: TaskName = "mortality",
    protocol: Annotated[
        str | None,
        typer.Option(help="Train anew by a protocol of the task's file, and keep nothing.", show_default=False),
    ] = None,
    profile: Profile = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Held-out figures of the task's latest models, with bootstrap confidence intervals."""
    context = _context(env, None, lake, profile=profile)
    from jobs.evaluate import evaluate as job  # noqa: PLC0415

    job(context, task, as_json=json, protocol=protocol)


@app.command()
def score(lake: LakeDir = None, engine: Engine = None, env: Env = None, task: TaskName = "mortality") -> None:
    """Scores the cohort with the champion and merges the predictions table."""
    context = _context(env, engine, lake)
    from jobs.score import score as job  # noqa: PLC0415

    job(context, task)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="A query over tables such as gold.mortality_predictions.")],
    lake: LakeDir = None,
    engine: Annotated[str, typer.Option(help="duckdb, or sail, spark, databricks.")] = "duckdb",
    output: Annotated[str, typer.Option(help="table, csv, json or parquet.")] = "table",
    out: Annotated[Path | None, typer.Option(help="File to write instead of the screen.", show_default=False)] = None,
    env: Env = None,
) -> None:
    """Queries the lake: DuckDB over the Delta folders, or a Spark engine."""
    from jobs import sql as job  # noqa: PLC0415

    if engine == "duckdb":
        result = job.query_duckdb(_context(env, None, lake).lake, query)
    else:
        result = job.query_spark(_context(env, "sail" if engine == "spark-connect" else engine, lake), query)
    job.write(result, job.checked_format(output), out)


@app.command()
def tables(lake: LakeDir = None, env: Env = None) -> None:
    """Every table: rows, version, size, quarantined rows, last run."""
    from jobs.tables import tables as job  # noqa: PLC0415

    results().print(job(_context(env, None, lake)))


@app.command()
def reconcile(
    lake: LakeDir = None,
    env: Env = None,
    markdown: Annotated[bool, typer.Option(help="Print the table of docs/reconciliation.md.")] = False,
) -> None:
    """Where every row of every input went: written, merged, left out or quarantined, and why."""
    from jobs.reconcile import reconcile as job  # noqa: PLC0415

    job(_context(env, None, lake), markdown=markdown)


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

    job(_context(), out, patients, seed)


@app.command()
def download(
    source: Annotated[str, typer.Argument(help="e.g. challenge-2012, mimiciii-demo-1.4, mimiciv-demo-2.2.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    env: Env = None,
) -> None:
    """Fetches a source from PhysioNet: resumable, checksums verified."""
    from jobs.download import download as job  # noqa: PLC0415

    job(_context(env), source, out)


@app.command()
def config(lake: LakeDir = None, raw: RawDir = None, engine: Engine = None, env: Env = None) -> None:
    """What is in force, and where it comes from."""
    from rich.table import Table  # noqa: PLC0415

    given = {"env": env, "engine": engine, "lake": lake, "raw": raw}
    view = Table("setting", "value", "from", header_style="bold")
    for name, (value, origin) in origins(load_settings(**given), **given).items():
        view.add_row(name, value, origin)
    results().print(view)


def main() -> None:
    """Entry point; also of `spark-submit` and of a Databricks wheel task."""
    try:
        app(standalone_mode=True)
    except LakehouseError as error:
        _end(str(error), error.exit_code)
    except Exception as error:
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
