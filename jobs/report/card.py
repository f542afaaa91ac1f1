"""A model's card in Markdown, written from what its run kept: what it is, for what, on whom it was judged, its limits.

Its headings follow Mitchell et al., Model Cards for Model Reporting, FAT* 2019:220-229.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from jobs.context import Context
from jobs.evaluation.figures import CALIBRATION, DIGITS, FLAGS, OF_SUBGROUPS, RANKS, WORDS, cell, shown
from jobs.evaluation.judging import attributes_of, judged
from jobs.report.html import number, percent
from jobs.report.results import called
from jobs.training.admit import HELD_OUT, OUT_OF_FOLD
from jobs.training.matrix import Matrix, load_matrix
from jobs.training.registry import open_registry
from jobs.words import words
from lakehouse.errors import ContractError, ModelError
from lakehouse.tasks import Task, load_task
from models.bootstrap import Interval
from models.evaluation import FEWEST_EVENTS, Subgroup, by_subgroup
from models.features import Kind
from models.record import Record
from models.registry import RegisteredModel, Registry, Version

SETTINGS = ("seed", "preset", "engine", "cores")


def card(context: Context, task_name: str, which: str, out: Path | None) -> None:
    """Prints or writes the card of a version, an alias or a run; ModelError where there is none."""
    task = load_task(task_name)
    registry = open_registry(context, task)
    name = context.settings.model_name(task.name)
    try:
        version = registry.find(name, which)
        model = registry.load(name, version.version)
    except LookupError as error:
        raise ModelError(f"{error}: ehr models lists them.") from None
    text = text_of(context, task, registry, version, model)
    if out is None:
        print(text, end="")
    else:
        out.write_text(text, encoding="utf-8")
        context.console.print(f"  written: {out}")


def text_of(context: Context, task: Task, registry: Registry, version: Version, model: RegisteredModel) -> str:
    """The card as Markdown."""
    record = _record(registry, version)
    asked = Task(**record.task) if record else task
    label = f"{version.tags.get('model', version.tags['kind'])} v{version.version}"
    parts = [
        f"# {called(label)}: {words(asked.label)}, first {asked.window_hours} h",
        f"A card of version {version.version} of the registered model `{version.name}`, from the record of its run "
        f"`{version.run_id}`.",
        "## The model",
        _table(("", ""), _about(version, record)),
        "## Intended use",
        _intended(asked),
        "## Data",
        _data(asked, record, _trained_on(registry, version)),
        *_judged(context, asked, registry, version, model),
        "## Limits",
        _limits(asked, record),
    ]
    return "\n\n".join(parts) + "\n"


def _record(registry: Registry, version: Version) -> Record | None:
    """What the run kept of its training; None for one from before records were kept."""
    try:
        return Record.from_dict(registry.document(version.run_id, "record"))
    except LookupError:
        return None


def _about(version: Version, record: Record | None) -> list[tuple[str, str]]:
    tags = version.tags
    rows = [
        ("made", f"{version.made_at:%Y-%m-%d %H:%M} UTC"),
        ("kind", tags["kind"]),
        ("serves as", ", ".join(version.aliases) or "nothing"),
        ("gate", ": ".join(tags[name] for name in ("decision", "decision_reason") if name in tags) or "not told"),
        ("decided by", " ".join(tags[name] for name in ("decided_by", "decided_at") if name in tags) or "not told"),
        ("code", f"`{tags.get('code_version', 'unknown')}`"),
        ("digest of its files", f"`{tags.get('digest', 'unknown')}`"),
    ]
    if record is None:
        return rows
    environment = record.environment
    packages = ", ".join(f"{name} {number_}" for name, number_ in environment["packages"].items() if number_)
    settings = ", ".join(f"{name} {record.settings[name]}" for name in SETTINGS if name in record.settings)
    trials = {name: len(of) for name, of in record.trials.items() if of}
    return [
        *rows,
        ("training", f"`{record.training}`, {record.at}"),
        ("settings", settings),
        ("candidates tried", ", ".join(f"{name} {n}" for name, n in trials.items()) or "none"),
        ("trained on", f"{environment['processor']}, {environment['device']}, Python {environment['python']}"),
        ("packages", packages),
        ("again", f"`ehr train --like {version.version}`"),
    ]


def _intended(task: Task) -> str:
    outcome = words(task.label)
    return "\n".join(
        [
            f"It estimates the risk of {outcome} of a stay from its first {task.window_hours} hours, once, at the end "
            "of that window.",
            "",
            "For:",
            "",
            "- research on stays like those of its cohort, such as adjusting comparisons for the risk at "
            f"{task.window_hours} h;",
            "- comparing models and scores on equal stays;",
            "- showing how a prediction table, its reasons and its checks work.",
            "",
            "Not for:",
            "",
            "- decisions about a single patient: it has not been tried at the bedside, and it is no medical device;",
            "- limiting or withdrawing treatment: past outcomes hold past decisions, and a risk learned from them "
            "repeats them;",
            f"- other times than the window's end, other outcomes than {outcome}, or patients whom the cohort leaves "
            "out;",
            "- another hospital before it was validated there, calibration included (`ehr evaluate --external`);",
            "- saying what to change: a reason is what the model weighed, not a cause.",
        ]
    )


def _trained_on(registry: Registry, version: Version) -> str:
    try:
        return f"{number(len(registry.document(version.run_id, 'patients')))} patients"
    except LookupError:
        return "patients whose number the run does not keep"


def _data(task: Task, record: Record | None, patients: str) -> str:
    split = task.split
    if split.by == "record_set":
        dealt = f"sets {', '.join(split.train)} train, sets {', '.join(split.test)} are held out"
    else:
        dealt = f"patients by a hash with seed {split.seed}, {percent(split.test_fraction, 0)} held out"
    groups = ", ".join(name.replace("_", " ") for name, on in task.feature_groups.items() if on)
    lines = [
        f"- Cohort: aged {task.min_age} or more, at least {task.min_icu_hours:g} h in the ICU.",
        f"- Label: `{task.label}`.",
        f"- Split: {dealt}; all stays of a patient are on one side. Trained on {patients}.",
        f"- Reads: {groups or 'all groups of features'}, measured before hour {task.window_hours}.",
    ]
    if record is None:
        said = "- No record of its training was kept: what stands above is today's task file; its tags name the tables."
        return "\n".join([*lines, said])
    rows = [
        (f"`{name}`", str(number_), f"`{record.table_ids.get(name, '')}`") for name, number_ in record.tables.items()
    ]
    digest = f"Digest of the training rows: `{record.data}`."
    return "\n".join(lines) + "\n\n" + _table(("table", "version", "id"), rows) + "\n\n" + digest


def _judged(context: Context, task: Task, registry: Registry, version: Version, model: RegisteredModel) -> list[str]:
    """Figures as the run kept them, and subgroups of the stays that it was judged on."""
    found = _figures(version)
    metrics = [name for name in (*RANKS, *CALIBRATION, *FLAGS) if name in found]
    oof = {name: version.figures.get(f"{OUT_OF_FOLD}{name}", math.nan) for name in metrics}
    rows = [(WORDS.get(m, m), cell(found, m), _rounded(oof[m], DIGITS.get(m, 3))) for m in metrics]
    threshold = (
        f"Flags are at the threshold {model.scorer.threshold:.3f}, which was chosen on out-of-fold risks of training "
        "stays."
    )
    parts = [
        "## Figures",
        "Of held-out stays, as training kept them, with 95 % bootstrap intervals over patients; beside them those of "
        f"the training stays out of fold. {threshold} `ehr evaluate` sets clinical scores and other models beside "
        "them.",
        _table(("figure", "held out", "out of fold"), rows) if rows else "The run kept no figures.",
        "## Subgroups",
    ]
    try:
        stays = _stays(context, task, registry, version, model)
    except (ContractError, LookupError) as error:
        return [*parts, f"Not told: {error}"]
    groups = _subgroups(context, stays, model)
    header = ("group", "stays", "events", *(WORDS.get(m, m) for m in OF_SUBGROUPS))
    total = f"{number(len(stays.label))} held-out stays, {number(stays.outcomes.sum())} with {words(task.label)}"
    few = f"Groups with fewer than {FEWEST_EVENTS} events, or as few others, are not measured."
    return [*parts, f"{total}. {few}", _table(header, [_group(one) for one in groups])]


def _figures(version: Version) -> dict[str, Interval]:
    """The held-out figures of a run: the metrics that have limits."""
    kept = version.figures
    names = [name.removeprefix(HELD_OUT) for name in kept if name.startswith(HELD_OUT) and f"{name}_low" in kept]
    return {name: Interval(*(kept[f"{HELD_OUT}{name}{end}"] for end in ("", "_low", "_high"))) for name in names}


def _stays(context: Context, task: Task, registry: Registry, version: Version, model: RegisteredModel) -> Matrix:
    """The stays that the version was judged on, at the table versions of then. LookupError where the run does not say
    which, ContractError where they are no longer there."""
    held_out = registry.document(version.run_id, "held_out")
    trained = registry.document(version.run_id, "patients")
    tables = dict(held_out["tables"])
    series = bool(model.scorer.model.schema.of(Kind.SERIES))
    if series and (sequences := f"gold.{task.name}_sequences") not in tables:
        raise LookupError(f"run {version.run_id} keeps no version of {sequences}")
    rows = load_matrix(context.lake, task, sequences=series, versions=tables).part("test")
    return rows.rows(~rows.of_patients(trained))


def _subgroups(context: Context, stays: Matrix, model: RegisteredModel) -> list[Subgroup]:
    one, attributes = judged(model, stays), attributes_of(context.lake, stays)
    return by_subgroup(
        stays.outcomes, one.risks, one.threshold, attributes, patients=stays.patient, seed=context.settings.seed
    )


def _group(one: Subgroup) -> tuple[str, ...]:
    figures = [cell(one.figures, m) if one.figures else "-" for m in OF_SUBGROUPS]
    return (f"{words(one.attribute)}: {words(one.value)}", number(one.rows), number(one.events), *figures)


def _limits(task: Task, record: Record | None) -> str:
    lines = [
        "- Its intervals are those of one training, judged on one set of stays: another training varies too.",
        f"- It reads hours 0 to {task.window_hours} as a whole. Stays that ended earlier are not in its cohort.",
        "- What is measured, and how often, follows what clinicians suspected: a model that reads it depends on local "
        "habits.",
        "- Subgroup figures with wide intervals neither show nor exclude that it works worse for that group.",
        "- Features come from charts as they were kept; values beyond what is possible were set aside by rules "
        "(`docs/dictionary.md`), not by looking at each.",
    ]
    if record is not None and task.split.by == "record_set":
        lines.append("- Held-out stays were published together with the training stays: no other hospital was asked.")
    return "\n".join(lines)


def _rounded(value: float, digits: int) -> str:
    return shown(Interval(value, math.nan, math.nan), digits).split(" ")[0]


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [headers, ["---"] * len(headers), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
