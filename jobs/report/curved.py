"""What a figure alone does not tell, in a report: where along the risks a model ranks, is true, and is of use."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jobs.evaluation.judging import Judged
from jobs.report import plots
from jobs.report.curves import GRID, Curve, banded, net_benefit, precision_recall, roc
from jobs.report.html import Section, figure, number, paragraph, percent, table
from jobs.report.results import Results, called
from models.bootstrap import Interval
from models.evaluation import THRESHOLDS, decision_curve, risk_groups


def discrimination(results: Results) -> Section:
    """ROC and precision-recall."""
    part = results.part
    return Section(
        "discrimination",
        "Discrimination",
        [
            paragraph(
                f"Of two patients, one with {results.outcome} and one without, {called(part.reference)} gives the "
                f"former the higher risk in {_percent_of(results.figure(part.reference, 'auroc'))} of pairs."
            ),
            figure(
                "discrimination",
                plots.svg(drawn_discrimination(results)),
                "ROC and precision-recall curves of all models",
                f"ROC and precision-recall curves; the legends give the areas. Shaded: pointwise 95 % band of "
                f"{called(part.reference)}. Pale lines: what chance would give.",
            ),
        ],
    )


def drawn_discrimination(results: Results) -> Figure:
    """ROC and precision-recall curves of all models, with a band of the reference."""
    part, y = results.part, results.part.rows.outcomes
    panels = []
    for title, x, y_label, weighed, metric in (
        ("Receiver operating characteristic", "1 - specificity", "sensitivity", roc, "auroc"),
        ("Precision-recall", "recall (sensitivity)", "precision (positive predictivity)", precision_recall, "auprc"),
    ):
        curves = {}
        for model in results.order:
            line = weighed(y, model.risks)
            is_reference = model.name == part.reference
            curves[model.name] = (
                banded(GRID, line, part.rows.patient, results.seed)
                if is_reference
                else _plain(GRID, line(np.ones(part.n)))
            )
        legends = {m.name: f"{called(m.name)}  {results.said(m.name, metric).split(' ')[0]}" for m in results.order}
        level = None if metric == "auroc" else part.events / part.n
        panels.append(plots.Lines(title, x, y_label, curves, part.reference, legends, level, metric == "auroc"))
    return plots.lines(panels, results.looks)


def calibration(results: Results) -> Section:
    """Whether a risk of 30 % comes true in 30 of 100."""
    part = results.part
    own = _risk_groups(results, part.of(part.reference))
    rows = [
        [str(i + 1), number(g["stays"]), percent(g["lowest"]), percent(g["highest"]), number(g["expected"], 1),
         number(g["observed"])]
        for i, g in enumerate(own.to_dict("records"))
    ]  # fmt: skip
    return Section(
        "calibration",
        "Calibration",
        [
            paragraph(
                f"Stays in order of their risk, in {len(own)} groups of equal size. Where the marks lie on the line, "
                f"risks come true as often as they say. {called(part.reference)}: slope "
                f"{results.said(part.reference, 'calibration_slope')}, intercept "
                f"{results.said(part.reference, 'calibration_intercept')}; {number(own['expected'].sum(), 1)} "
                f"expected, {number(own['observed'].sum())} observed."
            ),
            figure(
                "calibration",
                plots.svg(drawn_calibration(results)),
                "Observed share of the outcome over mean estimated risk, by group of risk, for each model",
                "Observed share over mean risk by group, with 95 % limits (Wilson). Both axes are on a square-root "
                "scale, which gives low risks the room that they need.",
            ),
            table(
                ("group", "stays", "lowest risk", "highest risk", "expected", "observed"), rows,
                f"{called(part.reference)}: expected and observed number with {results.outcome}",
            ),
        ],
    )  # fmt: skip


def drawn_calibration(results: Results) -> Figure:
    """Observed over expected by group of risk, a panel a model."""
    groups = {model.name: _risk_groups(results, model) for model in results.order}
    titles = {
        name: f"{called(name)}  (slope {results.said(name, 'calibration_slope').split(' ')[0]})" for name in groups
    }
    return plots.calibration(groups, titles, results.looks)


def usefulness(results: Results) -> Section:
    """At which thresholds flagging by the model does more good than flagging everybody or nobody."""
    part = results.part
    at = [int(np.argmin(np.abs(THRESHOLDS - t))) for t in (0.1, 0.2, 0.3)]
    own = _net_benefit(results, part.of(part.reference))
    told = "; ".join(
        f"at {THRESHOLDS[i]:.0%} {100 * own.y[i]:.1f} per 100 stays ({100 * own.low[i]:.1f} to {100 * own.high[i]:.1f})"
        for i in at
    )
    return Section(
        "usefulness",
        "Usefulness: decision curve",
        [
            paragraph(
                "Net benefit counts true flags, less false ones at the exchange rate that the threshold itself states "
                "(Vickers & Elkin, Med Decis Making 2006;26:565-574). A model helps where its line is above both "
                f"flagging everybody and flagging nobody. {called(part.reference)}: {told}."
            ),
            figure(
                "decision",
                plots.svg(drawn_usefulness(results)),
                "Net benefit over the threshold for each model, for flagging everybody and for flagging nobody",
                f"Decision curves. Shaded: pointwise 95 % band of {called(part.reference)}.",
            ),
        ],
    )


def drawn_usefulness(results: Results) -> Figure:
    """Decision curves of all models, with a band of the reference."""
    part = results.part
    curves = {model.name: _net_benefit(results, model) for model in results.order}
    everybody = decision_curve(part.rows.outcomes, np.ones(part.n))["treat_all"].to_numpy()
    panel = plots.Lines(
        "Net benefit", "threshold at which a risk is flagged", "net benefit", curves, part.reference,
        {name: called(name) for name in curves},
    )  # fmt: skip
    return plots.decision(panel, _plain(THRESHOLDS, everybody), results.looks)


def _net_benefit(results: Results, model: Judged) -> Curve:
    y = results.part.rows.outcomes
    if model.name == results.part.reference:
        return banded(THRESHOLDS, net_benefit(y, model.risks), results.part.rows.patient, results.seed)
    return _plain(THRESHOLDS, decision_curve(y, model.risks)["model"].to_numpy())


def _risk_groups(results: Results, model: Judged) -> pd.DataFrame:
    """Tenths, or fewer groups where a tenth would hold fewer than ten stays."""
    return risk_groups(results.part.rows.outcomes, model.risks, int(np.clip(results.part.n // 10, 2, 10)))


def _plain(x: np.ndarray, y: np.ndarray) -> Curve:
    return Curve(x, y, y, y)


def _percent_of(figure: Interval) -> str:
    value, low, high = (100 * v for v in figure)
    return "an unknown share" if math.isnan(value) else f"{value:.1f} % ({low:.1f}-{high:.1f})"
