"""For whom the serving model works, in a report: subgroups of held-out stays, and sources that it never saw."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from jobs.evaluation.figures import OF_SUBGROUPS, WORDS, cell
from jobs.evaluation.judging import Part
from jobs.evaluation.reports import FEW_EVENTS
from jobs.report import marks, plots
from jobs.report.html import Markup, Section, details, figure, note, number, paragraph, table, tag
from jobs.report.results import Results, called
from jobs.words import words
from models.evaluation import FEWEST_EVENTS, Subgroup, by_subgroup

DRAWN = ("auroc", "calibration_intercept")
"""What a subgroup is judged by: neither follows its share of events, as AUPRC and positive predictivity do."""
RESAMPLES = 500
"""Of a foreign source, as many as of a subgroup."""
ATTRIBUTES = {"gender": "Sex", "age": "Age", "icu_type": "Kind of ICU", "source": "Source"}
PLURALS = {"F": "women", "M": "men"}


def subgroups(results: Results, foreign: Sequence[Part]) -> Section:
    """The serving model by sex, age, kind of ICU and source; `foreign` are parts of sources that it never saw."""
    part = results.part
    abroad = [group for other in foreign for group in _of_source(other, results.seed)]
    groups = [*results.found.subgroups, *_own_source(results), *abroad]
    everyone = Subgroup("", "all held-out stays", part.n, part.events, dict(results.found.figures[part.reference]))
    assert everyone.figures is not None
    estimates = [marks.Estimate(everyone.value, _counts(everyone), [everyone.figures[m] for m in DRAWN])]
    for group in groups:
        figures = [group.figures[m] if group.figures else None for m in DRAWN]
        title = ATTRIBUTES.get(group.attribute, words(group.attribute))
        estimates.append(marks.Estimate(_label(group), _counts(group), figures, title))
    rows = [_row(group) for group in (everyone, *groups)]
    return Section(
        "subgroups",
        "For whom it works",
        [
            paragraph(f"{called(part.reference)} within groups of the held-out stays, and on each source."),
            figure(
                "subgroups",
                plots.svg(
                    marks.forest(
                        estimates,
                        ("AUROC", "calibration intercept (0: true on the whole)"),
                        [everyone.figures["auroc"].value, 0.0],
                        2,
                    )
                ),
                "AUROC and calibration intercept by sex, age band, kind of ICU and source, with 95 % intervals",
                "AUROC and calibration intercept with 95 % intervals; in brackets each group's stays and those with "
                f"{results.outcome}. An intercept above 0 means that more had the outcome than the risks said. Groups "
                f"with fewer than {FEWEST_EVENTS} events, or as few others, are named and not measured.",
            ),
            details(
                "The same in figures",
                table(("group", "stays", "events", *(WORDS.get(m, m) for m in OF_SUBGROUPS)), rows),
            ),
            *_warning(abroad),
            note(
                "Many groups are compared at once: one in twenty intervals misses its true value by chance alone. A "
                "wider interval is a smaller group, not a worse one."
            ),
        ],
    )


def _own_source(results: Results) -> list[Subgroup]:
    """The source of the held-out stays, where there is one alone: a group of all stays is the part itself."""
    part = results.part
    own = part.rows.cohort["source"].unique()
    figures = dict(results.found.figures[part.reference])
    return [Subgroup("source", str(own[0]), part.n, part.events, figures)] if len(own) == 1 else []


def _of_source(other: Part, seed: int) -> list[Subgroup]:
    one, rows = other.of(other.reference), other.rows
    source = pd.DataFrame({"source": rows.cohort["source"]})
    return by_subgroup(
        rows.outcomes, one.risks, one.threshold, source, patients=rows.patient, resamples=RESAMPLES, seed=seed
    )


def _row(group: Subgroup) -> list[str]:
    figures = [cell(group.figures, m) if group.figures else "-" for m in OF_SUBGROUPS]
    title = ATTRIBUTES.get(group.attribute, words(group.attribute)).lower()
    label = f"{title}: {_label(group)}" if title else _label(group)
    return [label, number(group.rows), number(group.events), *figures]


def _label(group: Subgroup) -> str:
    return PLURALS.get(group.value, words(group.value))


def _counts(group: Subgroup) -> str:
    return f"({group.rows:,} / {group.events:,})"


def _warning(abroad: Sequence[Subgroup]) -> list[Markup]:
    """What may be read from sources of few events."""
    small = [group.value for group in abroad if group.events < FEW_EVENTS]
    if not small:
        return []
    return [
        tag(
            "p",
            f"No model was trained on stays of {' and '.join(small)}. With fewer than {FEW_EVENTS} events their "
            "figures show that the chain works there, not how well (Collins et al., Stat Med 2016;35:214-226).",
            css="warning",
        )
    ]
