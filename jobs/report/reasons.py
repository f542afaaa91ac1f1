"""Why risks are what they are, in a report: what moves them on the whole, and one stay's hours under another name."""

from __future__ import annotations

import io
import secrets
from collections import defaultdict
from dataclasses import replace

import matplotlib as mpl
import numpy as np

from jobs.evaluation.judging import Part
from jobs.explanations.explanation import Explanation
from jobs.explanations.patient_plot import STYLE, draw
from jobs.report import marks, plots
from jobs.report.html import Markup, Section, details, figure, note, number, paragraph, percent, table
from jobs.report.over_time import OverTime, worth_table
from jobs.words import words
from lakehouse.tasks import Task
from models.bootstrap import Interval
from models.registry import RegisteredModel

SAMPLE = 256
SHOWN = 20
RESAMPLES = 500


def drivers(champion: RegisteredModel, part: Part, named: Explanation, seed: int) -> Section:
    """The signs that move risks most: mean absolute contributions of a sample of held-out stays.

    `named` is an explanation by the same model, for its words.
    """
    rng = np.random.default_rng(seed)
    chosen = np.zeros(part.n, dtype=bool)
    chosen[rng.choice(part.n, min(SAMPLE, part.n), replace=False)] = True
    reasons = champion.scorer.model.reasons(part.rows.rows(chosen).inputs(champion.scorer))
    columns: dict[str, list[int]] = defaultdict(list)
    for place, feature in enumerate(reasons.names):
        columns[named.name_of(feature).split(": ")[0]].append(place)
    moved = np.column_stack([np.abs(reasons.contributions[:, own].sum(axis=1)) for own in columns.values()])
    draws = rng.multinomial(len(moved), np.full(len(moved), 1 / len(moved)), size=RESAMPLES) / len(moved)
    low, high = np.quantile(draws @ moved, [0.025, 0.975], axis=0)
    mean = moved.mean(axis=0)
    order = np.argsort(-mean)[:SHOWN]
    labels = [list(columns)[i] for i in order]
    return Section(
        "drivers",
        "What drives risk",
        [
            paragraph(
                "Everything that the model reads of one thing (mean, extremes, trend and course of a heart rate) is "
                "added up stay by stay. The bars show by how much this moves the log odds of a stay, either way, on "
                f"average over {number(len(moved))} held-out stays drawn at random. A step of 0.7 doubles or halves "
                "the odds."
            ),
            figure(
                "drivers",
                plots.svg(marks.importance(labels, [Interval(*map(float, (mean[i], low[i], high[i]))) for i in order])),
                "Mean absolute contribution to the log odds by sign: " + ", ".join(labels[:5]) + " first",
                f"The {len(labels)} signs that move risks most, with 95 % bootstrap intervals of the mean.",
            ),
            note(
                "A contribution is what the model weighed, not what caused an outcome: a treatment given to the "
                "sickest raises the risk as their illness does."
            ),
        ],
    )


def chosen_stay(part: Part) -> str:
    """The flagged stay whose risk is in the middle of the flagged ones; of all stays where none is flagged."""
    one = part.of(part.reference)
    flagged = np.flatnonzero(one.risks >= one.threshold)
    among = flagged if len(flagged) else np.arange(part.n)
    ordered = among[np.argsort(one.risks[among], kind="stable")]
    return str(part.rows.label.index[ordered[len(ordered) // 2]])


def example(task: Task, part: Part, found: Explanation, over_time: OverTime | None, chosen: bool) -> Section:
    """A stay's page of the model under a name made up for this report, which nothing leads back from.

    `over_time`: its risk after fewer hours, None where the lake cannot say. `chosen`: by `chosen_stay`, not by who
    asked for the report.
    """
    name = f"example-{secrets.token_hex(3)}"
    own = replace(found, stay_id=name, over_time=over_time.own if over_time else {})
    died = part.rows.label.get(found.stay_id)
    outcome = words(task.label)
    end = f" What happened: {outcome if died else f'no {outcome}'}." if died is not None else ""
    if chosen:
        why = f" Of the {'flagged ' if own.flagged else ''}held-out stays it is the one whose risk is in their middle."
    else:
        why = "" if found.stay_id in part.rows.label.index else " It is none of the held-out stays."
    rows = [
        [sign.label, f"{sign.contribution:+.3f}", own.name_of(sign.main.feature),
         own.value_of(sign.main.feature, sign.main.value)]
        for sign in own.signs()[:40]
    ]  # fmt: skip
    strips = "below each panel, what the course in each hour moved; " if own.moments is not None else ""
    body = [
        paragraph(
            f"{own.facts[:1].upper()}{own.facts[1:]}; called {name} here, a name made up for this page. The risk "
            f"starts from {percent(own.start)} and ends at {percent(own.risk)}, {'' if own.flagged else 'not '}flagged "
            f"at the threshold of {percent(own.threshold)}.{end}{why}"
        ),
        figure(
            "example",
            _page(own),
            f"Measurements of {own.window_hours} hours, and what each sign moved the risk by",
            f"The measured course with the normal range of adults in green; {strips}on the right, the signs that moved "
            "it most (red raises the risk, blue lowers it)"
            f"{' and, above them, the risk over time' if over_time else ''}.",
            wide=True,
        ),
        *_over_time(own, over_time),
        details("The reasons in figures", table(("sign", "log odds", "first of all", "value"), rows)),
    ]
    return Section("example", f"One patient's {own.window_hours} hours", body)


def _over_time(found: Explanation, over_time: OverTime | None) -> list[Markup]:
    """What the risk over time is, and what it is worth."""
    if over_time is None:
        return [note("The risk after fewer hours is not drawn: the lake lacks the silver tables that it is made from.")]
    return [
        paragraph(
            "The risk over time is what the same model says when it is told of the first hours alone: nothing that was "
            f"measured later is in its features. It learned from whole windows of {found.window_hours} hours and was "
            "never trained for this, so read an earlier risk with the table below, which tells how such risks did on "
            "held-out stays cut at the same hour: how well they rank, and whether as many had the outcome as they say."
        ),
        worth_table(over_time),
    ]


def _page(found: Explanation) -> str:
    picture = io.StringIO()
    with mpl.rc_context(STYLE):
        draw(found).savefig(picture, format="svg", metadata={"Date": None})
    return picture.getvalue()
