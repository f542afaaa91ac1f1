"""What an evaluation found, kept: rows of `gold.<task>_evaluations`, figures in MLflow, one document that holds all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobs.context import Context
from jobs.evaluation.judging import ALL, Judged, Measured, Part
from jobs.training.registry import open_registry
from lakehouse.commit import Committed, Scope, commit
from lakehouse.errors import ContractError
from lakehouse.part import Part as StoredPart
from lakehouse.registry import registry
from lakehouse.tasks import Task
from models.bootstrap import Interval
from models.evaluation import classification, decision_curve, risk_groups
from models.metrics import METRICS
from models.provenance import code_version

NONE = "none"
"""What a figure is compared with where it is the figure itself."""
_TYPES = {
    **dict.fromkeys(("value", "low", "high", "threshold"), pa.float64()),
    **dict.fromkeys(("n", "events"), pa.int64()),
    **dict.fromkeys(("repeat", "model_version", "window_hours"), pa.int32()),
    "table_versions": pa.map_(pa.string(), pa.int64()),
    "evaluated_at": pa.timestamp("us", "UTC"),
}


@dataclass(frozen=True)
class Evaluation:
    """One call: what was asked, and what was found of each part."""

    id: str
    task: Task
    protocol: str
    at: datetime
    measured: Sequence[Measured]

    @property
    def window_hours(self) -> int:
        asked = self.task.protocols.get(self.protocol)
        return (asked.window_hours if asked else None) or self.task.window_hours


def keep(context: Context, evaluation: Evaluation) -> str | None:
    """Adds the figures to MLflow and to the question's table of evaluations; the table's name, if there is one."""
    run_id = _track(context, evaluation)
    table = registry().tables.get(f"gold.{evaluation.task.name}_evaluations")
    if table is None:
        return None
    its_own = StoredPart("evaluation_id", frozenset({evaluation.id}))
    schema = pa.schema([(name, _TYPES.get(name, pa.string())) for name in table.column_names])
    with context.writing("evaluate"):
        commit(
            context.lake,
            table,
            context.lake.spark.createDataFrame(pa.Table.from_pylist(rows(evaluation, run_id), schema)),
            node=table.name,
            run_id=evaluation.id,
            scope=Scope(its_own, its_own),
            default_from="evaluation",
            verify=_refuse_quarantine,
        )
    return table.name


def _refuse_quarantine(done: Committed) -> None:
    if refused := sorted({tally.reason for tally in done.tallies if tally.outcome == "quarantined"}):
        raise ContractError(f"figures of an evaluation break {', '.join(refused)}; none was written.")


def rows(evaluation: Evaluation, run_id: str) -> list[dict[str, Any]]:
    """One row a figure: of each model, of each model less the reference, of the reference in each subgroup."""
    same = {
        "evaluation_id": evaluation.id,
        "protocol": evaluation.protocol,
        "window_hours": evaluation.window_hours,
        "code_version": code_version(Path(__file__).parent),
        "evaluated_at": evaluation.at,
    }
    return [{**same, **row} for found in evaluation.measured for row in _rows(found, run_id)]


def _rows(found: Measured, run_id: str) -> Iterator[dict[str, Any]]:
    part = found.part
    here = {"n": part.n, "events": part.events, "subgroup": part.subgroup, "compared_with": NONE}
    for model in part.models:
        yield from _of(part, model, found.figures[model.name], run_id, here)
        if model.name in found.differences:
            less = {**here, "compared_with": part.reference}
            yield from _of(part, model, found.differences[model.name], run_id, less)
    for group in found.subgroups:
        if group.figures:
            name = f"{group.attribute}={group.value}"
            name = name if part.subgroup == ALL else f"{part.subgroup},{name}"
            there = {"n": group.rows, "events": group.events, "subgroup": name}
            yield from _of(part, part.of(part.reference), group.figures, run_id, {**here, **there})


def _of(
    part: Part, model: Judged, figures: Mapping[str, Interval], run_id: str, about: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    same = {
        **about,
        "part": part.name,
        "repeat": part.repeat,
        "model": model.name,
        "threshold": model.threshold,
        "model_version": model.version,
        "run_id": model.run_id or run_id,
        "table_versions": list(part.rows.versions.items()),
    }
    for metric in METRICS:
        yield {**same, "metric": metric, **_plain(figures[metric])}


def document(evaluation: Evaluation) -> dict[str, Any]:
    """Everything that was found, as plain values for JSON; what the stays do not define is null."""
    return {
        "task": evaluation.task.name,
        "evaluation": evaluation.id,
        "at": evaluation.at.isoformat(),
        "protocol": evaluation.protocol,
        "window_hours": evaluation.window_hours,
        "parts": [_part(found) for found in evaluation.measured],
    }


def _part(found: Measured) -> dict[str, Any]:
    part = found.part
    return {
        "part": part.name,
        "title": part.title,
        "subgroup": part.subgroup,
        "repeat": part.repeat,
        "n": part.n,
        "events": part.events,
        "reference": part.reference,
        "tables": part.rows.versions,
        "models": {one.name: _model(found, one) for one in part.models},
        "subgroups": [
            {
                "attribute": group.attribute,
                "value": group.value,
                "n": group.rows,
                "events": group.events,
                "figures": _figures(group.figures or {}),
            }
            for group in found.subgroups
        ],
    }


def _model(found: Measured, one: Judged) -> dict[str, Any]:
    y = found.part.rows.outcomes
    return {
        "version": one.version,
        "threshold": one.threshold,
        "figures": _figures(found.figures[one.name]),
        "minus_reference": _figures(found.differences.get(one.name, {})),
        "classification": {k: _known(v) for k, v in classification(y, one.risks, one.threshold).items()},
        "decision_curve": decision_curve(y, one.risks).to_dict("list"),
        "risk_groups": risk_groups(y, one.risks).to_dict("list"),
    }


def _figures(figures: Mapping[str, Interval]) -> dict[str, Any]:
    return {name: _plain(figure) for name, figure in figures.items()}


def _plain(figure: Interval) -> dict[str, float | None]:
    return {key: _known(value) for key, value in figure._asdict().items()}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _track(context: Context, evaluation: Evaluation) -> str:
    """A run for the evaluation, with all figures and the document; a registered model's run gets its own figures."""
    store = open_registry(context, evaluation.task)
    for found in evaluation.measured:
        for one in found.part.models:
            if one.run_id:
                store.record(one.run_id, _named(found.part, found.figures[one.name]))
    return store.record_run(
        f"evaluation {evaluation.id}",
        parameters={"protocol": evaluation.protocol, "window_hours": evaluation.window_hours},
        figures=_means(evaluation.measured),
        tables=evaluation.measured[0].part.rows.versions,
        tags={"run_id": evaluation.id, "kind": "evaluation", "code_version": code_version(Path(__file__).parent)},
        documents={"evaluation": document(evaluation)},
    )


def _named(part: Part, figures: Mapping[str, Interval], model: str = "") -> dict[str, Interval]:
    """Figures by a name that says of what: `test.ensemble.auroc`; of a model on its own run `evaluated_test_auroc`.

    What training itself logged there (`test_auroc`) stays as it was on that day's stays.
    """
    prefix = part.name if part.subgroup == ALL else f"{part.name}_{part.subgroup.replace('=', '_')}"
    start = f"{prefix}.{model.replace(' ', '_')}." if model else f"evaluated_{prefix}_"
    return {f"{start}{name}": figure for name, figure in figures.items() if not math.isnan(figure.value)}


def _means(measured: Iterable[Measured]) -> dict[str, float | Interval]:
    """Each figure of each model; of several repeats the mean, without limits."""
    found: dict[str, list[Interval]] = {}
    for one in measured:
        for model, figures in one.figures.items():
            for name, figure in _named(one.part, figures, model).items():
                found.setdefault(name, []).append(figure)
    return {
        name: figures[0] if len(figures) == 1 else sum(figure.value for figure in figures) / len(figures)
        for name, figures in found.items()
    }
