"""Writes the report: everything that the lake can show today, and a sentence where something is not there yet."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.markup import escape

from jobs.context import Context
from jobs.evaluate import external, registered
from jobs.evaluation.judging import Part, attributes_of, measure
from jobs.explanations.explanation import explain_stay
from jobs.report import curved, groups, lake, reasons, results
from jobs.report.html import Markup, Section, bullets, note, page, tag
from jobs.report.over_time import over_time
from jobs.report.population import population
from jobs.training.matrix import load_matrix
from jobs.training.registry import champion_of
from lakehouse.errors import ConfigError, LakehouseError
from lakehouse.tasks import Task, load_task
from models.provenance import code_version

LABELS = {"mortality": "Mortality in the ICU"}


def report(context: Context, task_name: str, out: Path, stay: str | None = None, example: bool = True) -> None:
    """Writes one self-contained HTML page. ConfigError for a name that is no .html, ContractError for an empty lake."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out {out.name}: the name must end in .html.")
    task = load_task(task_name, context.settings.preset)
    sections, lead = [lake.glance(context, task), lake.quality(context)], list[Markup]()
    try:
        with context.console.status("the cohort"):
            rows = load_matrix(context.lake, task, sequences=False)
            sections.append(population(context, task, rows))
        (part,) = registered(context, task)
    except LakehouseError as error:  # not featurized or not trained yet
        sections.append(Section("missing", "What is not there yet", [note(str(error))]))
        context.console.print(f"[yellow]{escape(str(error))}", soft_wrap=True)
    else:
        models, lead = _models(context, task, part, stay, example)
        sections += models
    now = datetime.now(UTC)
    title = LABELS.get(task.name, task.name.replace("_", " ").capitalize())
    subtitle = f"Report of the lake and its models, {now:%d %B %Y, %H:%M} UTC"
    foot = Markup(
        f"<p>Made by <code>ehr report</code>, code {code_version(Path(__file__).parent)}. Figures are of groups of "
        "patients; nothing here is for treating one.</p>"
    )
    out.write_text(page(title, subtitle, lead, sections, foot), encoding="utf-8")
    context.console.print(f"  written: {out} ({out.stat().st_size / 1e6:.1f} MB, opens in any browser)")


def _models(
    context: Context, task: Task, part: Part, stay: str | None, example: bool
) -> tuple[list[Section], list[Markup]]:
    """The sections of the registered models, and the findings that stand at the top."""
    seed = context.settings.seed
    named = explain_stay(context, task, stay or reasons.chosen_stay(part))  # first: a wrong one is said at once
    with context.console.status(f"{part.n:,} held-out stays, {len(part.models)} models: 1,000 resamples"):
        found = results.Results(task, measure(part, seed, attributes_of(context.lake, part.rows)), seed)
    try:
        foreign = external(context, task)
    except ConfigError:  # every stay is in a split of its own
        foreign = []
    with context.console.status("curves and reasons"):
        champion = champion_of(context, task)
        sections = [
            results.comparison(found),
            curved.discrimination(found),
            curved.calibration(found),
            curved.usefulness(found),
            groups.subgroups(found, foreign),
            reasons.drivers(champion, part, named, seed),
        ]
    if example:
        with context.console.status("risk over time"):
            try:
                earlier = over_time(context, task, champion, part, named.stay_id, seed)
            except LakehouseError as error:  # gold without the silver that it was made from
                context.console.print(f"[yellow]no risk over time: {escape(str(error))}", soft_wrap=True)
                earlier = None
        sections.append(reasons.example(task, part, named, earlier, chosen=stay is None))
        context.console.print(f"  the example on the page is stay {named.stay_id}; the page does not say so")
    return sections, [tag("h3", "In short"), bullets(results.headline(found))]
