"""What a training leaves behind to be repeated by; needs no lake, no session and no registry."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobs.training.fitting import Fitted
from jobs.training.matrix import Matrix
from lakehouse.code import code_version, digest_of
from lakehouse.settings import Settings
from lakehouse.tasks import Task
from models.provenance import code_version as commit
from models.provenance import environment
from models.record import Record

CODE = ("models.kinds", "models.metrics", "models.splits")
"""Modules that, with all they import, decide what a training gives."""
DECIDING = ("seed", "train_seconds", "train_engine")
"""Settings that do, beside the question's own."""


def record_of(training: str, task: Task, rows: Matrix, settings: Settings, fitted: Mapping[str, Fitted]) -> Record:
    """The record of a training on `rows` that has just ended."""
    return Record(
        training=training,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        task=plain(task),
        settings=settings.model_dump(mode="json"),
        tables=rows.versions,
        table_ids=rows.table_ids,
        concepts=[dict(one) for one in rows.concepts],
        data=rows.digest(),
        code=code_version(*CODE),
        commit=commit(Path(__file__).parent),
        environment=environment(),
        trials={name: one.trials for name, one in fitted.items()},
    )


def plain(task: Task) -> dict[str, Any]:
    """The question as it is trained, its preset applied: without other presets, and without ways to judge it."""
    return task.model_dump(mode="json", exclude={"presets", "protocols"})


def fingerprint(task: Mapping[str, Any], versions: Mapping[str, int], code: str, settings: Mapping[str, Any]) -> str:
    """Sixteen hex digits; an equal one means that a training would give the same again. `task` and `settings` are plain
    ones."""
    return digest_of([task, versions, code, {name: settings.get(name) for name in DECIDING}])
