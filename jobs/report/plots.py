"""The drawings of a report as figures, which a page takes as SVG and a notebook as they are.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; line styles and marks say it again.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from jobs.report.curves import Curve, wilson

INK, SOFT, LINE = "#1b2733", "#5b6b7a", "#dde4ea"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREYS = ("#5b6b7a", "#95a2ad")
DASHES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 2)), (0, (1, 1)))
MARKS = "osD^vP"
WIDTH = 10.0
STYLE: dict[Any, Any] = {
    "font.size": 8.5, "axes.titlesize": 9.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7, "axes.edgecolor": SOFT,
    "axes.labelcolor": INK, "text.color": INK, "xtick.color": SOFT, "ytick.color": SOFT, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "xtick.major.width": 0.6, "ytick.major.width": 0.6, "legend.frameon": False,
    "legend.fontsize": 8, "svg.fonttype": "none", "svg.hashsalt": "ehr",
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """How a model is drawn, the same in every drawing."""

    colour: str
    dash: Any
    width: float
    mark: str


def looks(names: Sequence[str], reference: str, scores: Sequence[str]) -> dict[str, Look]:
    """The reference in the first colour and thick, other models in the others, clinical scores grey."""
    models = [reference, *(name for name in names if name not in (reference, *scores))]
    found = {
        name: Look(COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)], 2.2 if i == 0 else 1.3, MARKS[i % len(MARKS)])
        for i, name in enumerate(models)
    }
    for i, name in enumerate(scores):
        found[name] = Look(GREYS[i % len(GREYS)], DASHES[-1 - i % 2], 1.3, "xP"[i % 2])
    return found


@contextmanager
def drawing(height: float) -> Iterator[Figure]:
    """A figure as wide as the page's column; what is drawn within has the report's style."""
    with mpl.rc_context(STYLE):
        yield Figure(figsize=(WIDTH, height), facecolor="white", layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))


def svg(figure: Figure) -> str:
    """The figure as the text of an SVG; the same figure gives the same text."""
    text = io.StringIO()
    with mpl.rc_context(STYLE):  # what it says of SVG applies on writing
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


@dataclass(frozen=True)
class Lines:
    """Curves by model over one pair of axes; `banded` is the one whose band is drawn."""

    title: str
    x_label: str
    y_label: str
    curves: Mapping[str, Curve]
    banded: str
    legends: Mapping[str, str] = field(default_factory=dict)
    level: float | None = None
    """A horizontal line of reference: what chance gives."""
    diagonal: bool = False


def lines(panels: Sequence[Lines], drawn: Mapping[str, Look], height: float = 4.6) -> Figure:
    """Curves with the band of one of them, panels side by side; axes from 0 to 1."""
    with drawing(height) as figure:
        for axes, panel in zip(np.ravel(figure.subplots(1, len(panels))), panels, strict=True):
            if panel.diagonal:
                axes.plot([0, 1], [0, 1], color=LINE, linewidth=1)
            if panel.level is not None:
                axes.axhline(panel.level, color=LINE, linewidth=1)
            _curves(axes, panel, drawn)
            axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), title=panel.title, xlabel=panel.x_label)
            axes.set_ylabel(panel.y_label)
            axes.set_aspect("equal")
            axes.legend(*_in_order(axes), loc="lower right" if panel.diagonal else "upper right", handlelength=3)
        return figure


def _curves(axes: Axes, panel: Lines, drawn: Mapping[str, Look]) -> None:
    for name, curve in reversed(list(panel.curves.items())):  # the first one on top
        look = drawn[name]
        axes.plot(
            curve.x, curve.y, color=look.colour, linestyle=look.dash, linewidth=look.width,
            label=panel.legends.get(name, name),
        )  # fmt: skip
        if name == panel.banded:
            axes.fill_between(curve.x, curve.low, curve.high, color=look.colour, alpha=0.16, linewidth=0)


def decision(panel: Lines, treat_all: Curve, drawn: Mapping[str, Look]) -> Figure:
    """Net benefit over the threshold, beside flagging everybody and nobody."""
    with drawing(3.9) as figure:
        axes = figure.subplots()
        axes.axhline(0, color=INK, linewidth=0.9)
        axes.annotate("flag nobody", (treat_all.x[-1], 0), xytext=(-2, 3), textcoords="offset points", ha="right")
        axes.plot(treat_all.x, treat_all.y, color=INK, linestyle=":", linewidth=1.3, label="flag everybody")
        _curves(axes, panel, drawn)
        best = max(np.nanmax(panel.curves[panel.banded].high), treat_all.y[0])
        axes.set(xlim=(0, treat_all.x[-1]), ylim=(-0.25 * best, 1.08 * best), title=panel.title)
        axes.set(xlabel=panel.x_label, ylabel=panel.y_label)
        axes.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1, 0))
        axes.legend(*_in_order(axes), loc="upper right", handlelength=3)
        return figure


def _in_order(axes: Axes) -> tuple[list[Any], list[str]]:
    handles, labels = axes.get_legend_handles_labels()
    return handles[::-1], labels[::-1]


def calibration(groups: Mapping[str, pd.DataFrame], titles: Mapping[str, str], drawn: Mapping[str, Look]) -> Figure:
    """A panel a model: observed share of each group of risk over its mean risk, with limits, on a scale that widens
    low risks. `groups` are those of `models.evaluation.risk_groups`."""
    columns = 3
    rows = -(-len(groups) // columns)
    with drawing(3.15 * rows) as figure:
        grid = np.ravel(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False))
        for axes in grid[len(groups) :]:
            axes.set_visible(False)
        for axes, (name, found) in zip(grid, groups.items(), strict=False):
            look = drawn[name]
            x, y = found["expected_rate"].to_numpy(), found["observed_rate"].to_numpy()
            low, high = wilson(found["observed"].to_numpy(), found["stays"].to_numpy())
            axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8)
            axes.vlines(x, low, high, color=look.colour, linewidth=1.3)
            axes.plot(x, y, look.mark, color=look.colour, markersize=4.5)
            axes.set_xscale("function", functions=(np.sqrt, np.square))
            axes.set_yscale("function", functions=(np.sqrt, np.square))
            axes.set(xlim=(0, 1), ylim=(0, 1), title=titles[name])
            ticks = [0, 0.05, 0.2, 0.4, 0.7, 1]
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(mpl.ticker.FixedLocator(ticks))
                axis.set_major_formatter(mpl.ticker.PercentFormatter(1, 0))
            axes.grid(color=LINE, linewidth=0.5)
            axes.set_axisbelow(True)
            axes.set_aspect("equal")
            axes.tick_params(labelbottom=True, labelleft=True)
        figure.supxlabel("mean estimated risk of the group", fontsize=8.5)
        figure.supylabel("observed share with the outcome", fontsize=8.5)
        return figure
