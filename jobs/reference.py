"""The reference pages of `docs/` that code tells: the command line from its verbs, the settings from their model.

`python -m jobs.reference command-line` prints the one, `python -m jobs.reference settings` the other.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from typer.models import OptionInfo

from jobs.cli import app
from jobs.options import context_of
from lakehouse.settings import CONF, PREFIX, Settings, read_yaml


def command_line() -> str:
    """Every verb with its arguments and options, in Markdown that ends in a line break."""
    verbs = _verbs()
    contents = (f"| [`ehr {name}`](#ehr-{name}) | {_cell(_says(verb))} |" for name, verb in verbs.items())
    return _page(
        "# Command line",
        "Generated from the verbs by `make docs`; a test fails when it is stale. `ehr VERB --help` says the same on a "
        "terminal.",
        "\n".join(["| verb | what it does |", "|---|---|", *contents]),
        "Options that are not given come from the [settings](settings.md). Errors end in one sentence and an "
        "[exit code](operations.md#exit-codes).",
        *(_verb(name, verb) for name, verb in verbs.items()),
    )


def settings() -> str:
    """Every setting with its variable, option, type and default, in Markdown that ends in a line break."""
    rows = (
        f"| `{name}`<br>`{PREFIX}{name.upper()}` | {_type(field)} | {_default(field)} | {_cell(field.description)}"
        f"{_option(name)} |"
        for name, field in Settings.model_fields.items()
    )
    return _page(
        "# Settings",
        "Generated from the settings' model by `make docs`; a test fails when it is stale.",
        "A value comes from the first of these that gives it: an option of the command line, an environment variable, "
        "`conf/<env>.yml`, `conf/base.yml`, the default. `ehr config` prints what is in force and from where. An "
        "unknown name is an error that says the nearest known one. An empty variable counts as not set. Secrets are "
        "never printed.",
        "\n".join(["| setting, variable | type | default | meaning |", "|---|---|---|---|", *rows]),
        "## What the environments set",
        "\n".join(["| file | setting | value |", "|---|---|---|", *_environments()]),
        "How a clinical question is modelled is no setting but a file: [add a question](add-a-question.md).",
    )


_KINDS = {
    SecretStr: "secret", Path: "path", str: "text", int: "whole number", float: "number", bool: "`true`, `false`",
}  # fmt: skip

PAGES: dict[str, Callable[[], str]] = {"command-line": command_line, "settings": settings}
"""What is generated here, by the name of its file in `docs/`."""


def _page(*parts: str) -> str:
    return "\n\n".join(parts) + "\n"


def _cell(text: str | None) -> str:
    """Text on one line; a placeholder such as <env> reads as such outside of code too."""
    line = " ".join((text or "").split()).replace("|", "\\|")
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in re.split("(`[^`]*`)", line))


def _verbs() -> dict[str, Callable[..., Any]]:
    """The functions behind the verbs by name, in the order in which `ehr --help` lists them."""
    return {c.name or c.callback.__name__: c.callback for c in app.registered_commands if c.callback}


def _says(verb: Callable[..., Any]) -> str:
    return inspect.getdoc(verb) or ""


def _verb(name: str, verb: Callable[..., Any]) -> str:
    parameters = [Parameter.of(parameter) for parameter in inspect.signature(verb, eval_str=True).parameters.values()]
    parameters.sort(key=lambda parameter: parameter.option)  # arguments first
    usage = ["ehr", name, *(p.usage for p in parameters if not p.option or p.required)]
    usage += ["[OPTIONS]"] * any(p.option and not p.required for p in parameters)
    parts = [f"## ehr {name}", _cell(_says(verb)), f"```text\n{' '.join(usage)}\n```"]
    if parameters:
        parts.append("\n".join(["| | value | default | meaning |", "|---|---|---|---|", *(p.row for p in parameters)]))
    return "\n\n".join(parts)


@dataclass(frozen=True)
class Parameter:
    """An argument or option of a verb, as its annotation declares it."""

    names: tuple[str, ...]
    option: bool
    value: str
    default: Any
    required: bool
    help: str

    @classmethod
    def of(cls, declared: inspect.Parameter) -> "Parameter":
        annotation, told = get_args(declared.annotation)
        required = declared.default is inspect.Parameter.empty
        default = "" if required or declared.default is None else declared.default
        if not isinstance(told, OptionInfo):
            return cls((declared.name.upper(),), False, "", default, required, told.help or "")
        dashed = declared.name.replace("_", "-")
        given = tuple(name for name in (told.default, *(told.param_decls or ())) if isinstance(name, str))
        if annotation is not bool:
            return cls(given or (f"--{dashed}",), True, _kind(annotation), default, required, told.help or "")
        if given:  # a flag without an opposite is off
            return cls(given, True, "", "", False, told.help or "")
        names = (f"--{dashed}", f"--no-{dashed}")
        return cls(names, True, "", names[not default], False, told.help or "")

    @property
    def usage(self) -> str:
        if self.option:
            return f"{self.names[0]} {self.value.upper()}"
        return self.names[0] if self.required else f"[{self.names[0]}]"

    @property
    def row(self) -> str:
        default = "required" if self.required else f"`{self.default}`" if self.default != "" else ""
        return f"| {' '.join(f'`{name}`' for name in self.names)} | {self.value} | {default} | {_cell(self.help)} |"


def _type(field: FieldInfo) -> str:
    least = next((f", at least {m.ge}" for m in field.metadata if hasattr(m, "ge")), "")
    return _kind(field.annotation) + least


def _kind(annotation: Any) -> str:
    """An annotation in words, None apart: what is left out is told by the default."""
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    kinds = [kind for kind in (get_args(annotation) or (annotation,)) if kind is not type(None)]
    return " or ".join(_KINDS.get(kind) or _kind(kind) for kind in kinds)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "those of the machine"
    value = field.default
    return "" if value in (None, "") else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _option(name: str) -> str:
    return f"; option `--{name}`" if name in inspect.signature(context_of).parameters and name != "quick" else ""


def _environments() -> Iterable[str]:
    """What each file of `conf/` sets, the one of all environments first."""
    for path in sorted(CONF.glob("*.yml"), key=lambda path: (path.stem != "base", path.stem)):
        if path.stem == "sources":
            continue
        for name, value in read_yaml(path).items():
            yield f"| `conf/{path.name}` | `{name}` | `{str(value).lower() if isinstance(value, bool) else value}` |"


if __name__ == "__main__":
    print(PAGES[sys.argv[1]](), end="")
