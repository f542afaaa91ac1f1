"""Batch scoring: the champion's risks and reasons for new and changed stays, merged into the predictions table."""

import hashlib
import time
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from jobs.context import Context
from jobs.matrix import Matrix, load_matrix
from jobs.refine import run_nodes
from jobs.train import open_registry
from lakehouse.commit import Scope, commit
from lakehouse.errors import ConfigError, ModelError
from lakehouse.ledger import Outcome
from lakehouse.registry import registry
from lakehouse.table import Table
from lakehouse.tasks import load_task
from models.features import FeatureMismatchError, Kind
from models.registry import CHAMPION, RegisteredModel
from models.sequence.events import COLUMNS

TOP = 5
BATCH = 4096
"""Stays that are scored at a time: bounds memory."""


def score(context: Context, task_name: str) -> list[Outcome]:
    """Scores stays that are new, whose inputs changed, or that another version scored; then builds what follows."""
    task = load_task(task_name)
    table = registry().tables.get(f"gold.{task.name}_predictions")
    if table is None:
        raise ConfigError(f"task {task.name} has no table gold.{task.name}_predictions: see gold/predictions.py.")
    context.console.print(f"[bold]score: {table.name}")
    started, clock = datetime.now(UTC), time.perf_counter()
    try:
        champion = open_registry(context, task).load(task.name, CHAMPION)
    except LookupError as error:
        raise ModelError(f"{error}.") from None
    matrix = load_matrix(context.lake, task, sequences=bool(champion.scorer.model.schema.of(Kind.SERIES)))
    digests = input_digests(matrix)
    due = _due(context, table, digests, champion)
    outcome = Outcome(table.name, table.name, "unchanged")
    if not due.any():
        outcome.rows_out, outcome.version = len(digests), context.lake.version(table.name)
        context.console.print("  every stay was scored by this champion on these inputs: nothing was scored")
        return [outcome, *_follow_up(context, table)]
    rows = matrix.rows(due)
    with context.console.status(f"scoring {int(due.sum()):,} stays with version {champion.version}"):
        predictions = _predict(rows, digests[due], champion, f"gold.{task.name}_features", started)
        _write(context, table, predictions)
    outcome.status, outcome.seconds = "built", time.perf_counter() - clock
    outcome.rows_in = outcome.rows_given = outcome.rows_out = predictions.num_rows
    outcome.version = context.lake.version(table.name)
    context.ledger.record_run(
        context.run_id,
        outcome,
        started,
        code="",
        fingerprint="",
        input_versions={**matrix.versions, f"models.{task.name}": champion.version},
    )
    context.console.print(
        f"  [green]✓[/] {table.name:<42} {outcome.rows_out:>11,} rows {outcome.seconds:6.1f} s  "
        f"champion version {champion.version}"
    )
    return [outcome, *_follow_up(context, table)]


def input_digests(matrix: Matrix) -> "pd.Series[str]":
    """A digest of each stay's features and events, by stay: the same values give the same digest on every run."""
    values = np.ascontiguousarray(matrix.features.to_numpy(dtype=np.float64, na_value=np.nan))
    events: dict[str, list[bytes]] = {stay: [] for stay in matrix.features.index}
    if matrix.sequences is not None:
        stays = matrix.sequences["stay_id"].to_pylist()
        for column in COLUMNS:
            for stay, cells in zip(stays, matrix.sequences[column], strict=True):
                if stay in events:
                    events[stay].append(np.asarray(cells.values).tobytes() if cells.is_valid else b"")
    digests = {
        stay: hashlib.blake2b(b"|".join([row.tobytes(), *events[stay]]), digest_size=12).hexdigest()
        for stay, row in zip(matrix.features.index, values, strict=True)
    }
    return pd.Series(digests, dtype=object)


def _due(context: Context, table: Table, digests: "pd.Series[str]", champion: RegisteredModel) -> np.ndarray:
    """Which stays (n,) have no risk by this model version on these inputs."""
    if not context.lake.exists(table.name):
        return np.ones(len(digests), dtype=bool)
    known = context.lake.read_arrow(table.name, ["stay_id", "model_name", "model_version", "input_digest"]).to_pandas()
    same_model = (known["model_name"] == champion.name) & (known["model_version"] == champion.version)
    scored = known[same_model].set_index("stay_id")["input_digest"]
    return (digests != scored.reindex(digests.index)).to_numpy()


def _predict(
    rows: Matrix, digests: "pd.Series[str]", champion: RegisteredModel, features_table: str, now: datetime
) -> pa.Table:
    """The predictions as an Arrow table of the contract's columns and types."""
    inputs = rows.inputs(champion.scorer)
    try:
        parts = [
            champion.scorer.score(inputs.iloc[start : start + BATCH], top=TOP) for start in range(0, len(inputs), BATCH)
        ]
    except FeatureMismatchError as error:
        raise ModelError(
            f"champion {champion.name} version {champion.version} refuses the features: {error}. Run ehr train."
        ) from None
    scored = pd.concat(parts)
    reasons = [[one._asdict() for one in row] for row in scored["top_features"]]
    n = len(scored)
    reason = pa.struct([("feature", pa.string()), ("value", pa.float64()), ("contribution", pa.float64())])
    return pa.table(
        {
            "stay_id": pa.array(scored.index, pa.string()),
            "source": pa.array(rows.cohort["source"], pa.string()),
            "split": pa.array(rows.cohort["split"], pa.string()),
            "risk": pa.array(scored["risk"], pa.float64()),
            "flagged": pa.array(scored["flagged"], pa.bool_()),
            "threshold": pa.array(scored["threshold"], pa.float64()),
            "top_features": pa.array(reasons, pa.list_(reason)),
            "model_name": pa.repeat(champion.name, n),
            "model_version": pa.array([champion.version] * n, pa.int32()),
            "run_id": pa.repeat(champion.run_id, n),
            "feature_version": pa.array([rows.versions[features_table]] * n, pa.int64()),
            "input_digest": pa.array(digests, pa.string()),
            "scored_at": pa.array([now] * n, pa.timestamp("us", "UTC")),
        }
    )


def _write(context: Context, table: Table, predictions: pa.Table) -> None:
    """History first: a risk that stands in the predictions is in the history too, whenever the job was killed."""
    history = registry().tables.get(table.name.replace("_predictions", "_risk_history"))
    if history is not None:
        context.lake.create(history.name, history.columns)
        frame = context.lake.spark.createDataFrame(predictions.select(history.column_names))
        context.lake.append(history.name, frame)
    commit(
        context.lake,
        table,
        context.lake.spark.createDataFrame(predictions),
        node=table.name,
        run_id=context.run_id,
        scope=Scope(),
        default_from="scorer",
    )


def _follow_up(context: Context, table: Table) -> list[Outcome]:
    """Builds the tables that are made from what was scored, such as risks beside outcomes."""
    made_here = {table.name, table.name.replace("_predictions", "_risk_history")}
    nodes = [node for node in registry().after_scoring() if made_here & set(node.table_inputs)]
    return run_nodes(context, nodes) if nodes else []
