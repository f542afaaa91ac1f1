"""The cohort in a report: table 1 by split and by outcome, and how completely each source measured."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jobs.context import Context
from jobs.evaluation.judging import attributes_of
from jobs.report import marks, plots
from jobs.report.cohort import DIFFERS, Line, table_one
from jobs.report.html import Markup, Section, figure, note, number, paragraph, percent, table, tag
from jobs.training.matrix import Matrix
from jobs.words import words
from lakehouse.reference import read_dictionary
from lakehouse.registry import registry
from lakehouse.tasks import Task

NUMBERS = (
    "age", "bmi", "hours_admission_to_icu", "saps_i", "sofa_first_24h", "hr_mean", "map_min", "ni_map_min",
    "resp_rate_mean", "temp_max", "gcs_min", "urine_sum_first_24h", "creatinine_max", "bun_max", "lactate_max",
    "ph_min", "bilirubin_max", "platelets_min", "wbc_max", "glucose_max", "na_last", "hct_min",
)  # fmt: skip
"""Features that table 1 shows, those of them that the question has."""
SPLITS = {"train": "training", "test": "held out", "external": "external"}


def population(context: Context, task: Task, rows: Matrix) -> Section:
    """`rows` are all stays of the cohort, labelled or not."""
    variables, labels = variables_of(context, task, rows)
    outcome = words(task.label)
    split, label = rows.cohort["split"].to_numpy(), rows.label.to_numpy(dtype=np.float64)
    by_split = {SPLITS[name]: split == name for name in SPLITS if (split == name).any()}
    training, *others = by_split
    inside = split != "external"
    by_outcome = {f"no {outcome}": inside & (label == 0), outcome: inside & (label == 1)}
    return Section(
        "cohort",
        "The cohort",
        [
            paragraph(
                f"Who is asked about: stays of patients aged {task.min_age} or more, at least {task.min_icu_hours:g} "
                f"hours in the ICU, judged from their first {task.window_hours} hours. {number(len(label))} stays of "
                f"{number(rows.patient.nunique())} patients; {_labelled(label, outcome)}."
            ),
            _table(rows, table_one(variables, labels, by_split, [(training, other) for other in others]), by_split,
                   [f"difference, {other}" for other in others], "Table 1a. The cohort by split"),
            _table(rows, table_one(variables, labels, by_outcome, [(f"no {outcome}", outcome)]), by_outcome,
                   ["difference"], "Table 1b. Training and held-out stays by outcome"),
            note(
                "Numbers are medians with quartiles, categories are counts with their share of the stays where they "
                "are known. Differences are standardised, the first group less the other: of means in pooled standard "
                f"deviations, of categories by the distance of their shares; above {DIFFERS} they are set in bold. "
                "Missing: share of stays without a value, group by group. Severity, vital signs and laboratory values "
                "are of the prediction window."
            ),
            *_completeness(rows),
        ],
    )  # fmt: skip


def variables_of(context: Context, task: Task, rows: Matrix) -> tuple[pd.DataFrame, dict[str, str]]:
    """The variables of table 1, indexed by stay, and what each is called."""
    attributes = attributes_of(context.lake, rows)
    found: dict[str, pd.Series] = {}
    for name in attributes:
        known = attributes[name]
        if known.nunique() > 1:
            values = known if isinstance(known.dtype, pd.CategoricalDtype) else known.astype("category")
            found[str(name)] = values.cat.rename_categories({c: words(str(c)) for c in values.cat.categories})
    labels = {name: "age band" if name == "age" else words(name) for name in found}
    found = {f"{name}_group": column for name, column in found.items()}
    labels = {f"{name}_group": label for name, label in labels.items()}
    told = {column.name: column.comment for column in registry().tables[f"gold.{task.name}_features"].columns}
    for name in NUMBERS:
        if name in rows.features:
            found[name], labels[name] = rows.features[name], _short(told.get(name, name))
    return pd.DataFrame(found, index=rows.features.index), labels


def _short(comment: str) -> str:
    """`Age when the stay began, 90 where masked [years]` as `Age when the stay began [years]`."""
    text, bracket, unit = comment.partition(" [")
    return text.split(", 90")[0] + bracket + unit


def _labelled(label: np.ndarray, outcome: str) -> str:
    known = label[~np.isnan(label)]
    if not len(known):
        return "the outcome of none of them is known"
    return f"{number(known.sum())} of {number(len(known))} with a known outcome had {outcome} ({percent(known.mean())})"


def _table(rows: Matrix, lines: list[Line], groups: dict[str, np.ndarray], pairs: list[str], caption: str) -> Markup:
    headers = ("", *groups, *pairs, "missing, %")
    body = [list(row) for row in _counts(rows, groups, len(pairs))]
    for line in lines:
        label = tag("span", line.label, css="in") if line.is_level else line.label
        shares = " / ".join(_hundredths(share) for share in line.missing) if any(line.missing) else ""
        differences = [_difference(d) for d in line.differences] or [""] * len(pairs)
        body.append([label, *line.cells, *differences, shares])
    return table(headers, body, caption)


def _counts(rows: Matrix, groups: dict[str, np.ndarray], pairs: int) -> Iterator[list[str]]:
    rest = [""] * (pairs + 1)
    yield ["stays", *(number(here.sum()) for here in groups.values()), *rest]
    yield ["patients", *(number(rows.patient[here].nunique()) for here in groups.values()), *rest]
    label = rows.label.astype(np.float64)
    if {label[here].mean() for here in groups.values()} - {0.0, 1.0}:
        known = [label[here].dropna() for here in groups.values()]
        cells = [f"{number(of.sum())} ({percent(of.mean())})" if len(of) else "-" for of in known]
        yield [words(rows.label_name), *cells, *rest]


def _difference(value: float) -> str:
    if math.isnan(value):
        return "-"
    text = "∞" if math.isinf(value) else f"{value:.2f}"
    return tag("span", text, css="big") if abs(value) > DIFFERS else text


def _hundredths(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.0f}" if share in (0, 1) else f"{100 * share:.1f}"


def _completeness(rows: Matrix) -> list[Markup]:
    """The share of each source's stays that have a measurement of each concept."""
    drawn = drawn_completeness(rows)
    if drawn is None:
        return []
    return [
        figure(
            "completeness",
            plots.svg(drawn),
            "Share of stays with a measurement of each concept in the window, by source",
            "How completely each source measured: the share of its stays that have the concept measured at least once "
            "in the window. A model that learned from one source is asked about another most safely where the marks "
            "lie together.",
        )
    ]


def drawn_completeness(rows: Matrix) -> Figure | None:
    """The share of each source's stays that have a measurement of each concept; None where no feature counts any."""
    labels = {row["concept"]: str(row["label"]) for row in read_dictionary("conf.concepts")}
    counts = {labels[concept]: f"{concept}_count" for concept in labels if f"{concept}_count" in rows.features}
    if not counts:
        return None
    measured = pd.DataFrame({label: rows.features[name].fillna(0) > 0 for label, name in counts.items()})
    sources = rows.cohort["source"]
    shares = measured.groupby(sources).mean().T
    shares = shares.loc[measured.mean().sort_values().index]
    totals = {str(source): int(n) for source, n in sources.value_counts().items()}
    return marks.completeness(shares, totals)
