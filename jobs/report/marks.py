"""Drawings of a report with a line of words to each mark: forest plots, bars, and marks by source, as figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jobs.report.plots import COLOURS, INK, LINE, MARKS, SOFT, Look, drawing
from models.bootstrap import Interval


@dataclass(frozen=True)
class Estimate:
    """A line of a forest plot: words on the left, and an interval a panel (None where it is not measured)."""

    label: str
    counts: str
    figures: Sequence[Interval | None]
    group: str = ""
    look: Look | None = None


def forest(
    estimates: Sequence[Estimate], panels: Sequence[str], references: Sequence[float | None], digits: int
) -> Figure:
    """Estimates with intervals, a line each, a panel a figure; a vertical line marks what they are compared with."""
    places, headings = _places(estimates)
    height = 0.26 * (max([*places, *headings.values()]) + 1) + 0.8
    with drawing(height) as figure:
        axes_of = np.ravel(figure.subplots(1, len(panels), sharey=True))
        for i, (axes, title, reference) in enumerate(zip(axes_of, panels, references, strict=True)):
            if reference is not None:
                axes.axvline(reference, color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
            for place, one in zip(places, estimates, strict=True):
                _estimate(axes, place, one, one.figures[i], digits)
            axes.set_title(title)
            axes.set_ylim(max(places) + 0.7, -0.7)
            axes.spines["left"].set_visible(False)
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x", color=LINE, linewidth=0.5)
            axes.set_axisbelow(True)
        words = [f"{one.label}   {one.counts}" if one.counts else one.label for one in estimates]
        first = axes_of[0]
        first.set_yticks([*places, *headings.values()], [*words, *headings])
        for text in first.get_yticklabels()[len(places) :]:
            text.set_fontweight("bold")
        return figure


def _places(estimates: Sequence[Estimate]) -> tuple[list[float], dict[str, float]]:
    """The height of each line, and of each group's heading above its lines."""
    places: list[float] = []
    headings: dict[str, float] = {}
    at = 0.0
    for one in estimates:
        if one.group and one.group not in headings:
            at += 0.4 if places else 0.0
            headings[one.group] = at
            at += 1
        places.append(at)
        at += 1
    return places, headings


def _estimate(axes: Axes, place: float, one: Estimate, figure: Interval | None, digits: int) -> None:
    look = one.look or Look(COLOURS[0], "-", 1.5, "o")
    if figure is None or np.isnan(figure.value):
        axes.annotate("too few to measure", (0.02, place), xycoords=("axes fraction", "data"), va="center", color=SOFT)
        return
    axes.hlines(place, figure.low, figure.high, color=look.colour, linewidth=1.6)
    axes.plot(figure.value, place, look.mark, color=look.colour, markersize=5.5)
    text = f"{figure.value:.{digits}f}".replace("0.", ".", 1) if abs(figure.value) < 1 else f"{figure.value:.{digits}f}"
    axes.annotate(
        text, (1, place), xycoords=("axes fraction", "data"), xytext=(3, 0), textcoords="offset points", va="center",
        fontsize=8,
    )  # fmt: skip


def importance(labels: Sequence[str], moved: Sequence[Interval]) -> Figure:
    """Bars of the mean absolute contribution of each sign, with intervals; largest on top."""
    with drawing(0.27 * len(labels) + 0.8) as figure:
        axes = figure.subplots()
        places = np.arange(len(labels))
        values, low, high = np.array(moved).T
        axes.barh(places, values, height=0.62, color=COLOURS[0], alpha=0.85)
        axes.hlines(places, low, high, color=INK, linewidth=1)
        for place, value, end in zip(places, values, high, strict=True):
            axes.annotate(
                f"{value:.2f}", (end, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8
            )
        axes.set_yticks(places, labels)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, 1.08 * high.max())
        axes.set_xlabel("mean absolute contribution to the log odds")
        return figure


def completeness(shares: pd.DataFrame, totals: Mapping[str, int]) -> Figure:
    """A line a concept, a mark a source: `shares` (concepts, sources)."""
    with drawing(0.215 * len(shares) + 0.9) as figure:
        axes = figure.subplots()
        places = np.arange(len(shares))
        axes.hlines(places, shares.min(axis=1), shares.max(axis=1), color=LINE, linewidth=3)
        for i, source in enumerate(shares):
            label = f"{source} ({totals[str(source)]:,} stays)"
            axes.plot(shares[source], places, MARKS[i % 6], color=COLOURS[i % 6], markersize=5, label=label, alpha=0.9)
        axes.set_yticks(places, list(map(str, shares.index)))
        axes.set(ylim=(-0.7, len(shares) - 0.3), xlim=(-0.015, 1.015))
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1, 0))
        axes.grid(axis="x", color=LINE, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=6, borderaxespad=0.2)
        axes.set_xlabel("stays with at least one measurement")
        return figure
