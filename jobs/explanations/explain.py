"""Why a stay has its risk: on the terminal in words, or drawn as a page of the hours that were read."""

import math
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from jobs.console import results
from jobs.context import Context
from jobs.explanations.explanation import Explanation, Sign, explain_stay
from lakehouse.errors import ConfigError
from lakehouse.tasks import load_task

SHOWN = 12
FORMATS = (".png", ".svg", ".html")


def explain(context: Context, task_name: str, stay_id: str, out: Path | None) -> None:
    """Prints the explanation of a stay; with `out`, also draws it. ConfigError for a format that is none of FORMATS."""
    if out is not None and out.suffix.lower() not in FORMATS:
        raise ConfigError(f"--out {out.name}: the name must end in one of {', '.join(FORMATS)}.")
    found = explain_stay(context, load_task(task_name), stay_id)
    show(found, results())
    if out is not None:
        from jobs.explanations.patient_plot import write  # noqa: PLC0415  (matplotlib takes a second to import)

        write(found, out)
        context.console.print(f"drawn: {out}")


def show(found: Explanation, console: Console) -> None:
    """The risk, what moved it, and the hours in which the course moved it, as tables."""
    verdict = "[bold red]flagged[/]" if found.flagged else "not flagged"
    console.print(f"[bold]{escape(found.stay_id)}[/]  {escape(found.facts)}  ({found.source})")
    console.print(
        f"risk [bold]{found.risk:.1%}[/], {verdict} (threshold {found.threshold:.1%}), by {found.model} version "
        f"{found.version} from the first {found.window_hours} h; it starts from {found.start:.1%}"
    )
    console.print(stored(found), style="dim")
    signs = found.signs()
    view = _table(
        "what moved the risk", ("sign", "left"), ("log odds", "right"), ("odds x", "right"), ("first of all", "left"),
        ("value", "right"), ("hours", "left"),
    )  # fmt: skip
    for sign in signs[:SHOWN]:
        name, moved = found.name_of(sign.main.feature), (f"{sign.contribution:+.3f}", odds(sign.contribution))
        value, detail = found.value_of(sign.main.feature, sign.main.value), name.removeprefix(f"{sign.label}: ")
        detail = "" if detail == sign.label else detail
        view.add_row(escape(sign.label), *moved, escape(detail), escape(value), hours_of(found, sign))
    if rest := signs[SHOWN:]:
        total = sum(sign.contribution for sign in rest)
        view.add_row(f"[dim]{len(rest)} others together", f"{total:+.3f}", odds(total), "", "", "")
    console.print(view)
    if found.hours:
        view = _table(
            "single hours that moved it most", ("hour", "right"), ("course of", "left"), ("value then", "right"),
            ("log odds", "right"),
        )  # fmt: skip
        for one in found.hours[:SHOWN]:
            label, value = found.concepts[one.channel].label, found.value_of(one.channel, one.value)
            view.add_row(str(one.hour + 1), escape(label), escape(value), f"{one.contribution:+.4f}")
        console.print(view)


def _table(title: str, *columns: tuple[str, Literal["left", "right"]]) -> RichTable:
    view = RichTable(title=title, title_justify="left", header_style="bold")
    for name, justify in columns:
        view.add_column(name, justify=justify)
    return view


def odds(contribution: float) -> str:
    """What a contribution in log odds multiplies the odds by."""
    return f"{math.exp(contribution):.2f}"


def stored(found: Explanation) -> str:
    """How the stored prediction stands to what is told here."""
    if found.stored is None:
        return "no prediction of this stay is stored: ehr score makes one"
    risk, version = found.stored["risk"], found.stored["model_version"]
    when = f"scored {found.stored['scored_at']:%Y-%m-%d %H:%M} UTC"
    if version == found.version and abs(risk - found.risk) < 1e-6:
        return f"the stored prediction says the same ({when})"
    return f"the stored prediction says {risk:.1%} by version {version} ({when}): ehr score brings it up to date"


def hours_of(found: Explanation, sign: Sign) -> str:
    """The three hours of the sign's course that moved most, in the direction of the sign."""
    channel = {found.concepts[m.channel].label: m.channel for m in found.hours}.get(sign.label)
    own = [m for m in found.hours if m.channel == channel and m.contribution * sign.contribution > 0][:3]
    return ", ".join(str(m.hour + 1) for m in sorted(own, key=lambda m: m.hour))
