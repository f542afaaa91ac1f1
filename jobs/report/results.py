"""How good the models are, in a report: their figures on held-out stays, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from jobs.evaluation.figures import CALIBRATION, FLAGS, RANKS, WORDS, cell, shown
from jobs.evaluation.judging import Judged, Measured, Part
from jobs.report import marks, plots
from jobs.report.html import Markup, Section, figure, note, number, paragraph, percent, table
from jobs.words import words
from lakehouse.tasks import Task
from models.bootstrap import Interval

NAMES = {
    "saps_i": "SAPS-I", "sofa_first_24h": "SOFA, first 24 h", "logistic": "Logistic regression", "xgboost": "XGBoost",
    "ssm": "State space", "ensemble": "Ensemble",
}  # fmt: skip
DRAWN = ("auroc", "auprc", "log_loss")
COMPARED = (*DRAWN, "brier", "event1")


@dataclass(frozen=True)
class Results:
    """The judged models of one part of the stays, and how each is drawn."""

    task: Task
    found: Measured
    seed: int

    @property
    def part(self) -> Part:
        return self.found.part

    @property
    def order(self) -> list[Judged]:
        """The reference first, then the other models, then the clinical scores."""
        scores = [m for m in self.part.models if m.name in self.task.baselines]
        rest = [m for m in self.part.models if m not in scores and m.name != self.part.reference]
        return [self.part.of(self.part.reference), *reversed(rest), *scores]

    @property
    def looks(self) -> dict[str, plots.Look]:
        return plots.looks([m.name for m in self.order], self.part.reference, self.task.baselines)

    @property
    def outcome(self) -> str:
        return words(self.task.label)

    def figure(self, model: str, metric: str) -> Interval:
        return self.found.figures[model][metric]

    def said(self, model: str, metric: str) -> str:
        """A figure with its interval."""
        found = self.figure(model, metric)
        return "> 1,000,000" if found.value > 1e6 else cell(self.found.figures[model], metric)  # Event 2 of equal risks


def called(name: str) -> str:
    """A model or a clinical score as a reader would call it."""
    model, v, version = name.partition(" v")
    return NAMES.get(model, model.replace("_", " ")) + v + version


def comparison(results: Results) -> Section:
    """Every model's figures with intervals, their differences to the reference, and the same as a drawing."""
    part, order = results.part, results.order
    names = [model.name for model in order]
    reference = part.reference
    less = [[called(n), *(cell(results.found.differences[n], m, signed=True) for m in COMPARED)] for n in names[1:]]
    caption = f"Difference to {called(reference)}, on the same resamples"
    return Section(
        "models",
        "Models compared",
        [
            paragraph(
                f"{number(part.n)} held-out stays, {number(part.events)} with {results.outcome} "
                f"({percent(part.events / part.n)}), without those of patients on whom a model says that it was "
                f"trained. The reference, in bold, is {called(reference)}, the model that serves. Intervals are of 95 "
                "%, from 1,000 bootstrap resamples of patients, the same for all models."
            ),
            figure(
                "comparison",
                plots.svg(drawn_comparison(results)),
                "AUROC, AUPRC and log loss of each model with 95 % intervals",
                "AUROC, AUPRC and log loss with 95 % intervals; the dashed line is the reference.",
            ),
            _table(results, names, RANKS, "Ranking, and risks as a whole (log loss, Brier: lower is better)"),
            _table(results, names, CALIBRATION, "Calibration (perfect: slope 1, intercept 0)"),
            _table(results, names, FLAGS, "Flags at each model's threshold, which was chosen on training stays"),
            table(("model", *(WORDS[m] for m in COMPARED)), less, caption)
            if less
            else note("Nothing to compare with."),
            note(
                "A difference whose interval holds 0 is one that these stays do not show. Clinical scores are made "
                "risks by a logistic regression on the training stays. Event 1: the lesser of sensitivity and positive "
                "predictivity (PhysioNet/CinC Challenge 2012)."
            ),
        ],
    )


def drawn_comparison(results: Results) -> Figure:
    """AUROC, AUPRC and log loss of all models with their intervals."""
    looks, reference = results.looks, results.part.reference
    estimates = [
        marks.Estimate(called(m.name), "", [results.figure(m.name, metric) for metric in DRAWN], look=looks[m.name])
        for m in results.order
    ]
    titles = ("AUROC", "AUPRC", "log loss (lower is better)")
    return marks.forest(estimates, titles, [results.figure(reference, metric).value for metric in DRAWN], 3)


def _table(results: Results, names: Sequence[str], metrics: Sequence[str], caption: str) -> Markup:
    rows = [[called(name), *(results.said(name, metric) for metric in metrics)] for name in names]
    return table(("model", *(WORDS.get(m, m) for m in metrics)), rows, caption, marked=(0,))


def headline(results: Results) -> list[str]:
    """What a reader with one minute should know."""
    reference = results.part.reference
    rows: Mapping[str, Mapping[str, Interval]] = results.found.differences
    found = [
        f"{called(reference)} serves. On {number(results.part.n)} held-out stays ({number(results.part.events)} with "
        f"{results.outcome}) its AUROC is {results.said(reference, 'auroc')}, its AUPRC "
        f"{results.said(reference, 'auprc')}."
    ]
    for score in results.task.baselines:
        if score in rows and not math.isnan(rows[score]["auroc"].value):
            less = rows[score]["auroc"]
            word = "" if less.low > 0 or less.high < 0 else ", which these stays do not tell from 0"
            found.append(
                f"{called(score)} reaches {results.said(score, 'auroc')}: a difference in AUROC of "
                f"{shown(less, 3, signed=True)}{word}."
            )
    slope, intercept = (results.figure(reference, m) for m in ("calibration_slope", "calibration_intercept"))
    if not math.isnan(slope.value):
        true = slope.low <= 1 <= slope.high and intercept.low <= 0 <= intercept.high
        found.append(
            f"Its risks {'agree with' if true else 'differ from'} what happened: calibration slope {shown(slope, 2)}, "
            f"intercept {shown(intercept, 2)}."
        )
    return found
