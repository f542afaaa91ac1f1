"""Verbs of the command line that protect patients: forgetting one, another pseudonym key."""

from typing import Annotated

import typer

from jobs.console import messages, results
from jobs.options import Engine, Env, LakeDir, context_of


def add(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    app.command()(forget)
    app.command("rotate-key")(rotate_key)


def forget(
    patient: Annotated[
        str | None,
        typer.Argument(help="<source>-<id> as in the raw files, or a patient_id; left out: finish what was begun."),
    ] = None,
    lake: LakeDir = None,
    engine: Engine = None,
    env: Env = None,
) -> None:
    """A patient out of every table, its history and quarantine; left out should the raw files bring them again."""
    from jobs.privacy import forget as job  # noqa: PLC0415

    context = context_of(env, engine, lake)
    done = job.forget(context, patient)
    results().print(job.as_table(done))
    for model in done.models:
        messages().print(f"[yellow]{model} was trained on the patient and is marked; ehr run trains anew[/]")
    messages().print("the raw files still hold the patient; ehr run builds what was made from the rows anew")


def rotate_key(lake: LakeDir = None, engine: Engine = None, env: Env = None) -> None:
    """Silver and gold under the new key of EHR_PSEUDONYM_KEY_NEW."""
    from jobs.privacy.rotate import rotate  # noqa: PLC0415

    rotate(context_of(env, engine, lake))
    messages().print("set EHR_PSEUDONYM_KEY to the new key now, and unset EHR_PSEUDONYM_KEY_NEW")
