"""Options that the verbs of the command line share, and the invocation that they make."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from jobs.context import Context
from lakehouse.errors import ConfigError, one_sentence
from lakehouse.settings import load_settings

Env = Annotated[str | None, typer.Option(help="Environment: conf/<env>.yml applies.", show_default=False)]
Engine = Annotated[str | None, typer.Option(help="sail (embedded), spark (JVM) or databricks.", show_default=False)]
LakeDir = Annotated[Path | None, typer.Option("--lake", help="Folder of the lake.", show_default=False)]
RawDir = Annotated[Path | None, typer.Option("--raw", help="Folder of the raw files.", show_default=False)]
Only = Annotated[str | None, typer.Option(help="Just this table, source or question.", show_default=False)]
Preset = Annotated[
    str | None, typer.Option(help="How thoroughly models are trained: default, quick, thorough.", show_default=False)
]
Quick = Annotated[bool, typer.Option("--quick", help="As --preset quick: about a minute.")]
AcceptRemoved = Annotated[
    bool, typer.Option("--accept-removed", help="Most files of a table are gone for good: take their rows out.")
]
TaskName = Annotated[str, typer.Option("--task", help="Clinical question: a file of conf/tasks.")]


def context_of(
    env: str | None = None,
    engine: str | None = None,
    lake: Path | None = None,
    raw: Path | None = None,
    preset: str | None = None,
    quick: bool = False,
    train_engine: str | None = None,
) -> Context:
    """One invocation with the settings in force; ConfigError in one sentence where one is wrong."""
    if quick and preset not in (None, "quick"):
        raise ConfigError(f"--quick and --preset {preset} exclude each other.")
    preset = "quick" if quick else preset
    given = {"engine": engine, "lake": lake, "raw": raw, "preset": preset, "train_engine": train_engine}
    context = Context.of(load_settings(env=env, **given))
    _made.append(context)
    return context


_made: list[Context] = []
"""Those of the verb at work, of which `ops.audit` is told when it ends."""


def audit(verb: str) -> None:
    """Tells `ops.audit` what a verb read, however the verb ended."""
    while _made:
        context = _made.pop()
        try:
            context.audit(verb)
        except Exception as error:  # a lake on a medium that cannot be written is still read
            said = escape(one_sentence(error))
            context.console.print(f"[yellow]this access is not in ops.audit: {said}", soft_wrap=True)
