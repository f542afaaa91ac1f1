"""What a training needs as a folder of plain Parquet files: for a machine without Spark, Delta and the lake.

The training rows alone leave the lake. Held-out rows stay, so that nothing can be chosen by them elsewhere; what comes
back is judged here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from jobs.context import Context
from jobs.training.fitting import needs_sequences
from jobs.training.matrix import Matrix, load_matrix
from jobs.training.rows import COHORT, CONCEPTS, FEATURES, SEQUENCES, write_rows
from jobs.training.sealed import opened, sealed
from jobs.training.training_record import CODE
from lakehouse.code import code_version
from lakehouse.errors import ConfigError, ContractError
from lakehouse.tasks import Task, load_task
from models.provenance import code_version as commit

FORMAT = 1


def export_training(context: Context, task_name: str, out: Path) -> None:
    """Writes the folder `out`, whole or not at all."""
    task = load_task(task_name)
    context.console.print(f"[bold]export-training: rows of {task.name}")
    rows = load_matrix(context.lake, task, sequences=needs_sequences(task)).part("train")
    if not len(rows.label):
        raise ConfigError(
            f"task {task.name} has no labelled stay to train on; see split in conf/tasks/{task.name}.yml."
        )
    manifest = {
        "format": FORMAT,
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "task": task.model_dump(mode="json", exclude={"protocols"}),
        "tables": rows.versions,
        "table_ids": rows.table_ids,
        "data": rows.digest(),
        "code": code_version(*CODE),
        "commit": commit(Path(__file__).parent),
        "stays": len(rows.label),
        "patients": int(rows.patient.nunique()),
        "events": int(rows.outcomes.sum()),
    }
    with sealed(out, manifest) as folder:
        write_rows(rows, folder)
    context.console.print(
        f"  [green]✓[/] {out}: {len(rows.label):,} training stays, {manifest['events']:,} with "
        f"{task.label.replace('_', ' ')}, {rows.features.shape[1]:,} features"
    )


@dataclass(frozen=True)
class Exported:
    """A folder that `export_training` wrote, its digests verified: the manifest, the question and the rows."""

    manifest: dict[str, Any]
    task: Task
    rows: Matrix

    @classmethod
    def read(cls, folder: Path, preset: str) -> Exported:
        """ContractError naming a file that changed, or where the rows are not those that the manifest tells of."""
        manifest = opened(folder)
        if manifest.get("format") != FORMAT or "task" not in manifest:
            raise ContractError(f"{folder} is no export of format {FORMAT}: write it anew by ehr export-training.")
        task = Task(**manifest["task"]).with_preset(preset)
        cohort, features = (pd.read_parquet(folder / name) for name in (COHORT, FEATURES))
        events = pq.read_table(folder / SEQUENCES) if (folder / SEQUENCES).exists() else None
        concepts = pq.read_table(folder / CONCEPTS).to_pylist()
        versions, ids = manifest["tables"], manifest["table_ids"]
        rows = Matrix(features, cohort, task.label, versions, events, ids, concepts)
        if rows.digest() != manifest["data"]:
            raise ContractError(f"{folder} does not hold the rows that its manifest tells of.")
        return cls(manifest, task, rows)
