"""Registered models, and whom each was trained on."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.context import Context
from jobs.training.registry import open_registry
from lakehouse.settings import CONF
from lakehouse.tasks import load_task
from models.registry import Registry, Version


def registered(context: Context) -> Iterator[tuple[Registry, Version, list[str] | None]]:
    """Every version of every question, with the digests of its patients; None where it does not tell them."""
    settings = context.settings
    if not settings.mlflow_uri and not (settings.lake / "mlflow" / "mlflow.db").exists():
        return
    for path in sorted((CONF / "tasks").glob("*.yml")):
        task = load_task(path.stem)
        models = open_registry(context, task)
        for version in models.versions(settings.model_name(task.name)):
            try:
                yield models, version, list(models.document(version.run_id, "patients"))
            except LookupError:
                yield models, version, None
