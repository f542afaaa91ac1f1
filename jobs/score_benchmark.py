"""What scoring costs: `python -m jobs.score_benchmark --lake LAKE` prints stays a minute, by what a model is asked.

A lake's gold rows, repeated to as many as are asked for, go through the very function that `ehr score` hands to the
engine; reading and writing tables is not in it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from rich.table import Table as RichTable

from jobs.console import results
from jobs.context import Context
from jobs.scoring import BATCH, KNOWN, Scoring, matrix
from jobs.training.matrix import load_matrix
from jobs.training.registry import open_registry
from lakehouse.settings import load_settings
from lakehouse.tasks import Task, load_task
from models.boosting import BoostedModel
from models.features import Kind
from models.registry import RegisteredModel
from models.sequence.events import COLUMNS
from models.stack import StackedModel


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.score_benchmark")
    parser.add_argument("--lake", type=Path, required=True)
    parser.add_argument("--task", default="mortality")
    parser.add_argument("--stays", type=int, default=8 * BATCH)
    asked = parser.parse_args()
    context, task, cores = Context.of(load_settings(lake=asked.lake)), load_task(asked.task), os.cpu_count() or 1
    batch, names = gold_rows(context, task, asked.stays)
    view = RichTable(title=f"{asked.stays:,} stays, {cores} cores", title_justify="left", header_style="bold")
    for column in ("what", "wall s", "CPU s", "stays a minute", "were the cores free"):
        view.add_column(column, justify="left" if column == "what" else "right")
    for what, work in works(open_registry(context, task).newest(task.name), batch, names).items():
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        speeds = (f"{asked.stays / seconds * 60:,.0f}" for seconds in (wall, cpu / cores))
        view.add_row(what, f"{wall:.1f}", f"{cpu:.1f}", *speeds)
    results().print(view)


def gold_rows(context: Context, task: Task, n: int) -> tuple[pa.RecordBatch, list[str]]:
    """`n` rows as the engine joins them, none of them scored before, and the names of the features among them."""
    whole = load_matrix(context.lake, task, sequences=True)
    assert whole.sequences is not None
    names, rows = list(whole.features.columns), np.resize(np.arange(len(whole.features)), n)
    cohort, features = whole.cohort.iloc[rows], whole.features.to_numpy(dtype=np.float64, na_value=np.nan)[rows]
    events = whole.events()
    assert events is not None
    columns = {
        "stay_id": pa.array(cohort.index, pa.string()),
        **{name: pa.array(cohort[name], pa.string()) for name in ("source", "split")},
        **{name: pa.array(features[:, i], pa.float64()) for i, name in enumerate(names)},
        **{name: events[name].take(pa.array(rows)).combine_chunks() for name in COLUMNS},
        KNOWN: pa.nulls(n, pa.string()),
    }
    return pa.RecordBatch.from_pydict(columns), names


def works(
    models: dict[str, RegisteredModel], batch: pa.RecordBatch, names: list[str]
) -> dict[str, Callable[[], object]]:
    """What is measured: each registered model with its reasons stored, and the trees alone, without and with them."""
    found: dict[str, Callable[[], object]] = {}
    for name, model in models.items():
        series = bool(model.scorer.model.schema.of(Kind.SERIES))
        scoring = Scoring.of(model, names, series, 0, datetime.now(UTC))
        if isinstance(stack := model.scorer.model, StackedModel) and len(stack.members) == 1:
            (trees,) = stack.members.values()
            if isinstance(trees, BoostedModel):
                found[f"{name}: risks of a matrix in memory"] = _risks(trees, matrix(batch, names))
        found[f"{name}: risks, reasons and digests"] = _drain(scoring, batch)
    return found


def _risks(trees: BoostedModel, values: np.ndarray) -> Callable[[], object]:
    frame = pd.DataFrame(values, columns=trees.schema.names)
    return lambda: [trees.risks(frame.iloc[start : start + BATCH]) for start in range(0, len(frame), BATCH)]


def _drain(scoring: Scoring, batch: pa.RecordBatch) -> Callable[[], object]:
    return lambda: sum(part.num_rows for part in scoring([batch]))


if __name__ == "__main__":
    main()
