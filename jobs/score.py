"""Batch scoring: the champion's risks and reasons for every stay of the cohort, merged into the predictions table."""

import hashlib
import json
import time
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa

from jobs.context import Context
from jobs.matrix import Matrix, load_matrix
from jobs.train import open_registry
from lakehouse.commit import Scope, commit
from lakehouse.errors import ModelError
from lakehouse.ledger import Outcome
from lakehouse.registry import registry
from lakehouse.tasks import load_task
from models.features import FeatureMismatchError
from models.registry import CHAMPION, RegisteredModel

TOP = 5


def score(context: Context, task_name: str) -> list[Outcome]:
    """Scores where features or champion changed since the last time; one outcome."""
    task = load_task(task_name)
    table = registry().tables[f"gold.{task.name}_predictions"]
    context.console.print(f"[bold]score: {table.name}")
    started, clock = datetime.now(UTC), time.perf_counter()
    matrix = load_matrix(context.lake, task)
    try:
        champion = open_registry(context, task).load(task.name, CHAMPION)
    except LookupError as error:
        raise ModelError(f"{error}.") from None
    fingerprint = _fingerprint(champion, matrix)
    last = context.ledger.last_built(table.name)
    outcome = Outcome(table.name, table.name, "unchanged")
    if last and last["fingerprint"] == fingerprint and context.lake.exists(table.name):
        outcome.rows_out, outcome.version = last["rows_out"], last["version"]
        context.console.print("  features and champion are those of the last scoring: nothing was scored")
        return [outcome]
    with context.console.status(f"scoring {len(matrix.features):,} stays with version {champion.version}"):
        try:
            scored = champion.scorer.score(matrix.features, top=TOP)
        except FeatureMismatchError as error:
            raise ModelError(
                f"champion {task.name} version {champion.version} refuses the features: {error}. Run ehr train."
            ) from None
        rows = _rows(scored, matrix, champion, f"gold.{task.name}_features", started)
        frame = context.lake.spark.createDataFrame(rows)
        done = commit(
            context.lake, table, frame, node=table.name, run_id=context.run_id, scope=Scope(), default_from="scorer"
        )
    outcome.status, outcome.seconds, outcome.version = "built", time.perf_counter() - clock, done.version
    outcome.rows_in = outcome.rows_given = done.rows()
    outcome.rows_out, outcome.rows_quarantined = done.rows("written"), done.rows("quarantined")
    versions: dict[str, Any] = {**matrix.versions, f"models.{task.name}": champion.version}
    context.ledger.record_run(
        context.run_id, outcome, started, code="", fingerprint=fingerprint, input_versions=versions
    )
    context.console.print(
        f"  [green]✓[/] {table.name:<42} {outcome.rows_out:>11,} rows {outcome.seconds:6.1f} s  "
        f"champion version {champion.version}"
    )
    return [outcome]


def _fingerprint(champion: RegisteredModel, matrix: Matrix) -> str:
    parts = [champion.name, champion.version, matrix.versions]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _rows(
    scored: pd.DataFrame, matrix: Matrix, champion: RegisteredModel, features_table: str, now: datetime
) -> pa.Table:
    """The predictions as an Arrow table of the contract's columns and types."""
    reasons = [[one._asdict() for one in row] for row in scored["top_features"]]
    n = len(scored)
    reason = pa.struct([("feature", pa.string()), ("value", pa.float64()), ("contribution", pa.float64())])
    return pa.table(
        {
            "stay_id": pa.array(scored.index, pa.string()),
            "source": pa.array(matrix.source, pa.string()),
            "split": pa.array(matrix.split, pa.string()),
            "risk": pa.array(scored["risk"], pa.float64()),
            "flagged": pa.array(scored["flagged"], pa.bool_()),
            "threshold": pa.array(scored["threshold"], pa.float64()),
            "top_features": pa.array(reasons, pa.list_(reason)),
            "model_name": pa.repeat(champion.name, n),
            "model_version": pa.array([champion.version] * n, pa.int32()),
            "run_id": pa.repeat(champion.run_id, n),
            "feature_version": pa.array([matrix.versions[features_table]] * n, pa.int64()),
            "scored_at": pa.array([now] * n, pa.timestamp("us", "UTC")),
        }
    )
