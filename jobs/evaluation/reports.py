"""What an evaluation prints: tables of figures, of differences, of subgroups, and reports of one model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console

from jobs.evaluation.figures import (
    CALIBRATION,
    FLAGS,
    RANKS,
    differences_table,
    figures_table,
    frame_table,
    spread_table,
    subgroups_table,
)
from jobs.evaluation.judging import Measured, Part
from lakehouse.tasks import Task
from models.evaluation import FEWEST_EVENTS, classification_text, decision_curve, risk_groups

FEW_EVENTS = 100
"""Fewest events for a figure of an external validation to say something (Collins et al., Stat Med 2016;35:214-226)."""


def print_measured(
    console: Console, task: Task, found: Sequence[Measured], *, subgroups: bool = False, report: bool = False
) -> None:
    """The figures of each part, or their spread over repeats; on request subgroups and reports of the reference."""
    repeated = any(one.part.repeat for one in found)
    if repeated:
        _print_spread(console, found)
    for one in found:
        if not repeated:
            _print_figures(console, one)
        if subgroups:
            title = f"{one.part.reference} by subgroup; fewer than {FEWEST_EVENTS} events or others: not measured"
            console.print(subgroups_table(one.subgroups, title))
        if report:
            _print_report(console, task, one.part)
        if one.part.name == "external" and one.part.events < FEW_EVENTS:
            console.print(
                f"[yellow]{one.part.n} stays with {one.part.events} events are a smoke test: they show that the chain "
                f"works on this source, not how well.[/] An external validation wants at least {FEW_EVENTS} events and "
                f"as many stays without.\n",
                soft_wrap=True,
            )


def _print_figures(console: Console, found: Measured) -> None:
    part = found.part
    cuts = {one.name: one.threshold for one in part.models}
    console.print(f"[bold]{part.title}", soft_wrap=True)
    console.print(figures_table(found.figures, "ranking and risks", RANKS))
    console.print(figures_table(found.figures, "calibration: perfect is slope 1, intercept 0", CALIBRATION))
    console.print(figures_table(found.figures, "flags at the threshold", FLAGS, cuts))
    if found.differences:
        console.print(differences_table(found.differences, f"less {part.reference}, on the same resamples"))


def _print_spread(console: Console, found: Sequence[Measured]) -> None:
    for name in dict.fromkeys(one.part.name for one in found):
        same = [one for one in found if one.part.name == name]
        models = {model: [one.figures[model] for one in same] for model in same[0].figures}
        title = same[0].part.title.removesuffix("; 95 % bootstrap intervals")
        console.print(f"[bold]{title}", soft_wrap=True)
        console.print(spread_table(models, f"mean ± standard deviation of {len(same)} trainings"))


def _print_report(console: Console, task: Task, part: Part) -> None:
    y, one = part.rows.outcomes, part.of(part.reference)
    word = task.label.replace("_", " ")
    console.print(f"[bold]{one.name}: classification report at threshold {one.threshold:.3f}")
    console.print(classification_text(y, one.risks, one.threshold, (f"no {word}", word)), markup=False)
    groups = risk_groups(y, one.risks)
    title = f"{one.name}: expected and observed events by tenth of risk"
    console.print(frame_table(groups, title, {"stays": 0, "expected": 1, "observed": 0}))
    curves = {model.name: decision_curve(y, model.risks).set_index("threshold") for model in part.models}
    curve = curves[one.name][["treat_all"]].rename(columns={"treat_all": "flag everyone"})
    for name, own in curves.items():
        curve[name] = own["model"]
    shown = curve.loc[[0.02, 0.06, *np.round(np.arange(0.1, 0.61, 0.1), 2)]].reset_index()
    console.print(frame_table(shown, "net benefit by threshold (flag nobody: 0)", {"threshold": 2}))
