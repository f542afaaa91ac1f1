"""A risk over the hours, in a report: what the champion says when it is told of the first hours alone, and what that is
worth.

The features are made by gold's own functions for a window that ends earlier, so that nothing measured later is in them.
The model is the one that serves. It learned from whole windows: how well it ranks and how true its risks are when it is
asked earlier is measured on held-out stays that end at the same hours, and is told beside the risks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from jobs.context import Context
from jobs.evaluation.figures import cell
from jobs.evaluation.judging import Part
from jobs.evaluation.variant import variant_matrix
from jobs.report.html import Markup, percent, table
from lakehouse.tasks import Task
from models.bootstrap import Interval, intervals
from models.features import Kind
from models.registry import RegisteredModel

PARTS = (0.25, 0.5, 0.75)
"""Of the window: when the champion is asked before its end."""
SAMPLE = 1000
RESAMPLES = 500


@dataclass(frozen=True)
class Worth:
    """Risks of held-out stays from their first `hours`: the mean, and the figures with their intervals."""

    hours: int
    mean: float
    figures: Mapping[str, Interval]


@dataclass(frozen=True)
class OverTime:
    """`own`: the example's risk by the hours that the champion was told; `worth` the same of `stays` held-out stays, of
    which the share `died` had the outcome."""

    own: dict[int, float]
    worth: list[Worth]
    stays: int
    died: float


def over_time(context: Context, task: Task, champion: RegisteredModel, part: Part, stay: str, seed: int) -> OverTime:
    """The champion's risks after parts of the window, and at its end, of one stay and of held-out stays at random.

    ContractError where the lake lacks a silver table that the features are made of.
    """
    chosen = np.random.default_rng(seed).choice(part.n, min(SAMPLE, part.n), replace=False)
    labels = part.rows.label.iloc[np.sort(chosen)]
    patients = part.rows.patient[labels.index]
    found = OverTime({}, [], len(labels), float(labels.mean()))
    for hours in asked_at(task):
        risks = told(context, task, champion, {*labels.index, stay}, hours)
        sample = risks[labels.index]
        figures = intervals(
            labels, sample, champion.scorer.threshold, patients=patients, resamples=RESAMPLES, seed=seed
        )
        found.own[hours] = float(risks[stay])
        found.worth.append(Worth(hours, float(sample.mean()), figures))
    return found


def asked_at(task: Task) -> list[int]:
    """The whole hours at which the champion is asked; the last is the window's end."""
    earlier = {round(part * task.window_hours) for part in PARTS} - {0, task.window_hours}
    return [*sorted(earlier), task.window_hours]


def told(context: Context, task: Task, champion: RegisteredModel, stays: Collection[str], hours: int) -> pd.Series:
    """The champion's risks of the stays, by stay, from what was measured in their first `hours`."""
    asked = task.model_copy(update={"window_hours": hours})
    reads_events = bool(champion.scorer.model.schema.of(Kind.SERIES))
    rows = variant_matrix(context, asked, reads_events, stays)
    return pd.Series(champion.scorer.model.risks(rows.inputs(champion.scorer)), rows.features.index)


def worth_table(found: OverTime) -> Markup:
    """What risks of fewer hours are worth, a line an hour."""
    headers = ("hours told", "AUROC", "AUPRC", "calibration slope", "intercept", "mean risk", "share with the outcome")
    shown = ("auroc", "auprc", "calibration_slope", "calibration_intercept")
    rows = [
        [str(one.hours), *(cell(one.figures, metric) for metric in shown), percent(one.mean), percent(found.died)]
        for one in found.worth
    ]
    caption = f"What risks of fewer hours are worth: the same model, {found.stays:,} held-out stays"
    return table(headers, rows, caption, marked=(len(rows) - 1,))
