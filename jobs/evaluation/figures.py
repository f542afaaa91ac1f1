"""Figures of models in words and tables, as training and evaluation print them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
from rich.table import Table as RichTable

from jobs.training.matrix import Matrix
from lakehouse.tasks import Task
from models.bootstrap import Interval, intervals
from models.scorer import Scorer

if TYPE_CHECKING:
    from models.evaluation import Subgroup

Figures = Mapping[str, Interval]

RANKS = ("auroc", "auprc", "log_loss", "brier")
CALIBRATION = ("calibration_slope", "calibration_intercept", "event2")
FLAGS = ("event1", "sensitivity", "ppv", "accuracy")
BRIEF = ("auroc", "auprc", "log_loss", "event1", "calibration_slope")
DIFFERENCES = ("auroc", "auprc", "log_loss", "event1")
OF_SUBGROUPS = ("auroc", "calibration_intercept", "sensitivity", "ppv")  # AUPRC would follow the share of events

WORDS = {
    "auroc": "AUROC", "auprc": "AUPRC", "log_loss": "log loss", "brier": "Brier", "event1": "Event 1",
    "event2": "Event 2 (H)", "ppv": "pos. predictivity", "calibration_slope": "slope",
    "calibration_intercept": "intercept",
}  # fmt: skip
DIGITS = {"event2": 1, "calibration_slope": 2, "calibration_intercept": 2}


def held_out_figures(scorer: Scorer, rows: Matrix, seed: int) -> dict[str, Interval]:
    """Figures of rows that the model did not see, with bootstrap intervals over patients."""
    risks = scorer.model.risks(rows.inputs(scorer))
    return intervals(rows.outcomes, risks, scorer.threshold, patients=rows.patient, seed=seed)


def held_out(rows: Matrix, task: Task) -> str:
    """How many rows there are and how many had the outcome, in words."""
    return f"{len(rows.label):,} held-out stays, {int(rows.outcomes.sum()):,} with {task.label.replace('_', ' ')}"


def figures_table(
    models: Mapping[str, Figures],
    title: str,
    metrics: Sequence[str] = BRIEF,
    thresholds: Mapping[str, float] | None = None,
) -> RichTable:
    """A row a model, a column a metric, each with its interval; the models' thresholds where they are given."""
    view = _table(title, "model", *(["threshold"] if thresholds else []), *(WORDS.get(m, m) for m in metrics))
    for model, figures in models.items():
        cut = [_number(thresholds[model], 3)] if thresholds else []
        view.add_row(model, *cut, *(cell(figures, m) for m in metrics))
    return view


def differences_table(models: Mapping[str, Figures], title: str) -> RichTable:
    """A row a model, a column a metric: the model's figure less the reference's."""
    view = _table(title, "model", *(WORDS[m] for m in DIFFERENCES))
    for model, figures in models.items():
        view.add_row(model, *(cell(figures, m, signed=True) for m in DIFFERENCES))
    return view


def subgroups_table(subgroups: Sequence[Subgroup], title: str) -> RichTable:
    """A row a subgroup; without figures where it is too small to be measured."""
    view = _table(title, "subgroup", "stays", "events", *(WORDS.get(m, m) for m in OF_SUBGROUPS))
    attribute = subgroups[0].attribute if subgroups else ""
    for group in subgroups:
        if group.attribute != attribute:
            view.add_section()
            attribute = group.attribute
        found = group.figures
        cells = [cell(found, m) for m in OF_SUBGROUPS] if found else ["too few", "", "", ""]
        view.add_row(
            f"{group.attribute} {group.value}".replace("_", " "), f"{group.rows:,}", f"{group.events:,}", *cells
        )
    return view


def spread_table(repeats: Mapping[str, Sequence[Figures]], title: str) -> RichTable:
    """A row a model, a column a metric: mean and standard deviation over repeats."""
    metrics = (*RANKS, "event1", "calibration_slope")
    view = _table(title, "model", *(WORDS[m] for m in metrics))
    for model, found in repeats.items():
        values = {metric: pd.Series([figures[metric].value for figures in found]) for metric in metrics}
        view.add_row(model, *(f"{_number(v.mean(), 4)} ±{_number(v.std(), 4)}" for v in values.values()))
    return view


def frame_table(frame: pd.DataFrame, title: str, digits: Mapping[str, int]) -> RichTable:
    """Numbers as they are, a column of the frame a column; three digits where `digits` does not say otherwise."""
    view = _table(title, *map(str, frame.columns))
    for row in frame.to_dict("records"):
        view.add_row(*(_number(value, digits.get(str(name), 3)) for name, value in row.items()))
    return view


def cell(figures: Figures, metric: str, signed: bool = False) -> str:
    """A figure as `shown`, with the digits that its metric has."""
    return shown(figures[metric], DIGITS.get(metric, 3), signed)


def shown(figure: Interval, digits: int = 3, signed: bool = False) -> str:
    """`.873 (.858-.889)`; `signed` as `+.012 (-.003 to +.027)`; a dash for what the rows do not define."""
    if math.isnan(figure.value):
        return "-"
    value, low, high = (_number(x, digits, signed) for x in figure)
    return f"{value} ({low} to {high})" if signed or figure.low < 0 else f"{value} ({low}-{high})"


def _number(value: float, digits: int, signed: bool = False) -> str:
    """With `digits` decimals and no leading zero."""
    if math.isnan(value):
        return "-"
    rounded = round(value, digits) + 0.0  # no minus before a zero
    text = f"{rounded:{'+' if signed else ''},.{digits}f}"
    return text.replace("0.", ".", 1) if text.lstrip("+-").startswith("0.") else text


def _table(title: str, first: str, *others: str) -> RichTable:
    view = RichTable(title=title, title_justify="left", header_style="bold")
    view.add_column(first, no_wrap=True)
    for name in others:
        view.add_column(name, justify="right", no_wrap=True)
    return view
