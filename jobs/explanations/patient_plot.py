"""One page a patient: the measured course with its normal ranges, what moved the risk and in which hours.

Red raises the risk, blue lowers it: a pair that colour-blind readers tell apart, and signs and lengths say it again.
"""

from __future__ import annotations

import html
import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import FuncNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, SubplotSpec

from jobs.explanations.explanation import Explanation

VITALS: tuple[tuple[str, ...], ...] = (
    ("hr",), ("map", "ni_map"), ("resp_rate",), ("temp",), ("sao2", "fio2"), ("gcs",), ("urine",)
)  # fmt: skip
"""Always shown where measured, the first measured concept of each; those in `BESIDE` are drawn into one panel."""
BESIDE = ("map", "ni_map")
PANELS, COLUMNS, BARS = 14, 2, 14
MAP, RAISES, LOWERS, INK, BAND = "RdBu_r", "#b2182b", "#2166ac", "#222222", "#e6efe6"
STYLE: dict[Any, Any] = {
    "font.size": 8.5, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "svg.fonttype": "none", "svg.hashsalt": "ehr",
}  # fmt: skip


def write(found: Explanation, out: Path) -> None:
    """Draws the page into a .png, .svg or .html file (the last with the reasons as a table, for screen readers)."""
    figure, kind = draw(found), out.suffix.lower().removeprefix(".")
    with mpl.rc_context(STYLE):  # what it says of SVG applies on writing
        if kind == "html":
            picture = io.StringIO()
            figure.savefig(picture, format="svg", metadata={"Date": None})
            out.write_text(page(found, picture.getvalue()))
        else:
            figure.savefig(out, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)


def draw(found: Explanation) -> Figure:
    """The page as a figure."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(16, 10.5), facecolor="white")
        shown = panels(found)
        rows = max(-(-len(shown) // COLUMNS), 1)
        whole = GridSpec(
            1, 2, figure, width_ratios=(2.1, 1), left=0.045, right=0.985, top=0.89, bottom=0.085, wspace=0.09
        )
        grid = whole[0].subgridspec(rows, COLUMNS, hspace=0.5, wspace=0.16)
        scale = _scale(found, shown)
        for i, names in enumerate(shown):
            lowest = i % rows == rows - 1 or i == len(shown) - 1
            _panel(figure, grid[i % rows, i // rows], found, names, scale, lowest)
        right = whole[1]
        if found.over_time:
            both = whole[1].subgridspec(2, 1, height_ratios=(1, 4.5), hspace=0.27)
            _over_time(figure.add_subplot(both[0]), found)
            right = both[1]
        _bars(figure.add_subplot(right), found)
        _heading(figure, found)
        _legend(figure, found, scale)
        return figure


def panels(found: Explanation) -> list[tuple[str, ...]]:
    """The concepts of each panel: the vital signs that were measured, then what moved the risk most by its course."""
    chosen = []
    for names in VITALS:
        there = tuple(name for name in names if name in found.course)
        if there:
            chosen.append(there if names == BESIDE else there[:1])
    taken = {name for names in VITALS for name in names} | {"mech_vent", "weight", "height"}
    rest = [name for name in found.course if name not in taken and name in found.concepts]
    labels = [sign.label for sign in found.signs()]
    rest.sort(key=lambda name: labels.index(label) if (label := found.concepts[name].label) in labels else len(labels))
    return [*chosen, *((name,) for name in rest)][:PANELS]


def _panel(
    figure: Figure, where: SubplotSpec, found: Explanation, names: tuple[str, ...], scale: Normalize, lowest: bool
) -> None:
    """Measured points over the hours, the normal range behind them, and below them what each hour moved."""
    strips = found.moments is not None
    inner = where.subgridspec(2 if strips else 1, 1, height_ratios=(4.6, 1) if strips else (1,), hspace=0.0)
    axes = figure.add_subplot(inner[0])
    first = found.concepts[names[0]]
    low_high = []
    for name, marker, face in zip(names, "os", (INK, "white"), strict=False):
        hours, values = found.course[name]
        axes.plot(hours, values, color=INK, linewidth=0.7, alpha=0.45, zorder=2)
        axes.plot(
            hours, values, marker, markersize=3.2, markerfacecolor=face, markeredgecolor=INK, markeredgewidth=0.6,
            linestyle="none", zorder=3, label=found.concepts[name].label.split(", ")[-1],
        )  # fmt: skip
        low_high += [values.min(), values.max()]
    if first.normal:
        axes.axhspan(*first.normal, color=BAND, zorder=0)
        axes.axhline(first.normal[0], color="#9bb79b", linewidth=0.5, zorder=1)
        axes.axhline(first.normal[1], color="#9bb79b", linewidth=0.5, zorder=1)
        low_high += list(first.normal)
    bottom, top = min(low_high), max(low_high)
    margin = 0.12 * (top - bottom) or 1.0
    axes.set_ylim(bottom - margin, top + margin)
    axes.set_xlim(0, found.window_hours)
    axes.locator_params(axis="y", nbins=4)
    axes.set_title(f"{first.label} [{first.unit}]", loc="left", pad=3)
    if len(names) > 1:
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 0.97), fontsize=7, frameon=False, ncols=2, borderaxespad=0,
            handletextpad=0.1,
        )  # fmt: skip
        axes.set_title("Mean arterial pressure [mmHg]", loc="left", pad=3)
    below: Axes = axes
    if found.moments is not None:
        axes.tick_params(labelbottom=False, bottom=False)
        axes.spines["bottom"].set_visible(False)
        below = figure.add_subplot(inner[1], sharex=axes)
        moved = _moved(found, names)
        if moved is not None:
            below.imshow(
                moved[None, :], aspect="auto", cmap=MAP, norm=scale, extent=(0, len(moved), 0, 1),
                interpolation="nearest",
            )  # fmt: skip
        below.set_yticks([])
        for side in below.spines.values():
            side.set_visible(True)
            side.set_color("#999999")
    below.set_xticks(range(0, found.window_hours + 1, 6 if found.window_hours <= 48 else 12))
    below.tick_params(axis="x", labelsize=7.5, labelbottom=lowest)
    if lowest:
        below.set_xlabel("hours since the stay began", labelpad=2)


def _moved(found: Explanation, names: tuple[str, ...]) -> np.ndarray | None:
    """What the course of the concepts moved by hour (H,), together; None where none of them is a channel."""
    assert found.moments is not None
    own = [found.moments.channels.index(name) for name in names if name in found.moments.channels]
    return found.moments.contributions[0][:, own].sum(axis=1) if own else None


def _scale(found: Explanation, shown: list[tuple[str, ...]]) -> Normalize:
    """One scale for all strips, even around zero. By the square root: the last hours weigh so much more than the first
    that on a straight scale no others would be seen."""
    strips = [_moved(found, names) for names in shown] if found.moments is not None else []
    sizes = np.abs(np.concatenate([strip for strip in strips if strip is not None] or [np.zeros(1)]))
    end = float(sizes.max()) or 1.0
    return FuncNorm((_root, _square), -end, end)


def _root(moved: np.ndarray) -> np.ndarray:
    return np.sign(moved) * np.sqrt(np.abs(moved))


def _square(shade: np.ndarray) -> np.ndarray:
    return np.sign(shade) * np.square(shade)


def _bars(axes: Axes, found: Explanation) -> None:
    """The largest signs as bars of log odds, each with the reason that is first among them."""
    signs = found.signs()
    rest = signs[BARS:]
    moved = [sign.contribution for sign in signs[:BARS]] + ([sum(s.contribution for s in rest)] if rest else [])
    places = np.arange(len(moved))[::-1]
    axes.barh(places, moved, height=0.5, color=[RAISES if one > 0 else LOWERS for one in moved])
    axes.axvline(0, color=INK, linewidth=0.8)
    widest = max((abs(one) for one in moved), default=1.0)
    edge = 1.45 * widest
    axes.set_xlim(-edge, edge)
    for place, one, sign in zip(places, moved, [*signs[:BARS], None], strict=False):
        text = f"{len(rest)} others together" if sign is None else _short(sign.label)
        detail = ""
        if sign is not None:
            name = found.name_of(sign.main.feature).removeprefix(f"{sign.label}: ")
            value = found.value_of(sign.main.feature, sign.main.value)
            detail = value if name == sign.label else f"{value} ({name})"
        side = 1 if one > 0 else -1
        ahead, behind = ("left", "right") if side > 0 else ("right", "left")
        gap = side * 0.02 * edge
        axes.text(-edge, place + 0.33, text, va="bottom", fontsize=8.5, weight="bold", color=INK)
        axes.text(one + gap, place, f"{one:+.2f}", va="center", ha=ahead, fontsize=8, color=INK)
        axes.text(-gap, place, _short(detail, 42), va="center", ha=behind, fontsize=7.5, color="#555555")
    axes.set_ylim(-0.6, len(moved) + 0.1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("moved the log odds by (left: lowers the risk, right: raises it)")
    axes.set_title(
        f"What moved the risk from {found.start:.1%} to {found.risk:.1%}", loc="left", fontsize=10.5, weight="bold",
        pad=14,
    )  # fmt: skip


def _over_time(axes: Axes, found: Explanation) -> None:
    """The risk after parts of the window, each told in figures."""
    hours, risks = zip(*sorted(found.over_time.items()), strict=True)
    axes.axhline(found.threshold, color="#777777", linewidth=0.8, linestyle="--")
    axes.plot(hours, risks, "o-", color=INK, linewidth=1.2, markersize=5, zorder=3)
    for hour, risk in zip(hours, risks, strict=True):
        axes.annotate(f"{risk:.0%}", (hour, risk), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
    top = max(*risks, found.threshold)
    axes.set_ylim(0, min(1.3 * top, 1.12))
    axes.annotate(
        "threshold", (0, found.threshold), xytext=(2, 3), textcoords="offset points", fontsize=7.5, color="#777777"
    )
    axes.set_xlim(0, found.window_hours + 1)
    axes.set_xticks(hours)
    axes.set_xlabel("hours since the stay began that the model was told", labelpad=2)
    axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1, 0))
    axes.locator_params(axis="y", nbins=4)
    axes.set_title("The risk over time", loc="left", fontsize=10.5, weight="bold")


def _short(text: str, most: int = 48) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _heading(figure: Figure, found: Explanation) -> None:
    colour = RAISES if found.flagged else INK
    figure.text(0.045, 0.955, f"{found.risk:.0%}", fontsize=30, weight="bold", color=colour, va="center")
    verdict = "flagged" if found.flagged else "not flagged"
    figure.text(
        0.112, 0.966, f"estimated risk of dying in hospital: {verdict} (threshold {found.threshold:.0%})", fontsize=13,
        weight="bold", color=INK, va="center",
    )  # fmt: skip
    figure.text(
        0.112, 0.942, f"{found.facts}  ·  stay {found.stay_id}  ·  {found.model} version {found.version}, read from "
        f"the first {found.window_hours} hours", fontsize=9.5, color="#555555", va="center",
    )  # fmt: skip


def _legend(figure: Figure, found: Explanation, scale: Normalize) -> None:
    text = "Points: measurements. Green band: normal range of adults."
    if found.moments is not None:
        text += " Strip below a panel: what the course in each hour moved the log odds by."
        axes = figure.add_axes((0.52, 0.03, 0.13, 0.012))
        bar = figure.colorbar(mpl.cm.ScalarMappable(scale, MAP), cax=axes, orientation="horizontal")
        bar.set_ticks([scale.vmin or 0.0, 0.0, scale.vmax or 0.0])
        bar.set_ticklabels([f"{scale.vmin:+.3f}", "0", f"{scale.vmax:+.3f}"])
        bar.ax.tick_params(labelsize=7, length=2, pad=1)
    figure.text(0.045, 0.036, text, fontsize=8, color="#555555", va="center")
    figure.text(
        0.985, 0.012, "What the model weighed, not what caused it. Not for treating a patient.", fontsize=8,
        color="#555555", ha="right", va="bottom",
    )  # fmt: skip


def page(found: Explanation, picture: str) -> str:
    """The drawing in a page of its own, with the signs as a table below it."""
    rows = "".join(
        f"<tr><td>{html.escape(sign.label)}</td><td>{sign.contribution:+.3f}</td>"
        f"<td>{html.escape(found.name_of(sign.main.feature))}</td>"
        f"<td>{html.escape(found.value_of(sign.main.feature, sign.main.value))}</td></tr>"
        for sign in found.signs()
    )
    head = "".join(f"<th>{name}</th>" for name in ("sign", "log odds", "first of all", "value"))
    title = html.escape(f"{found.stay_id}: risk {found.risk:.1%}")
    style = (
        "body{font:14px/1.4 system-ui,sans-serif;margin:1rem auto;max-width:1500px;color:#222}"
        "svg{width:100%;height:auto}"
        "table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #ddd}"
        "td:nth-child(2),td:nth-child(4){text-align:right;font-variant-numeric:tabular-nums}"
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{style}</style></head>"
        f"<body><h1>{title}</h1>{picture[picture.index('<svg') :]}"
        f"<details open><summary>every sign</summary><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        "</details></body></html>\n"
    )
