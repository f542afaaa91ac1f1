"""Held-out figures of a question's registered models, computed anew from the gold tables."""

import json

from jobs.console import results
from jobs.context import Context
from jobs.matrix import load_matrix
from jobs.train import figures_table, open_registry
from lakehouse.errors import ModelError
from lakehouse.tasks import load_task
from models.bootstrap import intervals
from models.features import FeatureMismatchError


def evaluate(context: Context, task_name: str, as_json: bool = False) -> None:
    """Scores the test split with the newest version of each kind of model and prints figures with intervals."""
    task = load_task(task_name)
    matrix = load_matrix(context.lake, task)
    rows = matrix.part("test")
    registry = open_registry(context, task)
    newest = registry.newest(task.name)
    if not newest:
        raise ModelError(f"no model of {task.name} is registered: run ehr train first.")
    found = {}
    for kind, model in newest.items():
        try:
            risks = model.scorer.model.risks(rows.features)
        except FeatureMismatchError as error:
            raise ModelError(
                f"{kind} version {model.version} does not fit the features: {error}. Run ehr train."
            ) from None
        found[f"{kind} v{model.version}"] = intervals(
            rows.outcomes, risks, model.scorer.threshold, patients=rows.patient, seed=context.settings.seed
        )
    sets = f"train {', '.join(task.split.train)}, test {', '.join(task.split.test)}"
    split = sets if task.split.by == "record_set" else "patients by hash"
    title = (
        f"{task.name}: {split}; {len(rows.label):,} held-out stays, {int(rows.outcomes.sum()):,} deaths; 95 % intervals"
    )
    if as_json:
        plain = {name: {k: f._asdict() for k, f in figures.items()} for name, figures in found.items()}
        print(json.dumps({"task": task.name, "split": split, "stays": len(rows.label), "models": plain}, indent=2))
    else:
        results().print(figures_table(found, title))
