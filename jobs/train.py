"""Trains a question's models on its training split, registers each, promotes the best where it earns it."""

from jobs.context import Context
from jobs.evaluation.judging import check_outcomes
from jobs.progress import ModelProgress
from jobs.training.admit import Training, admit, node_of
from jobs.training.fitting import fit_models, needs_sequences
from jobs.training.matrix import gold_tables, load_matrix
from jobs.training.registry import open_registry
from jobs.training.training_record import CODE, fingerprint, plain, record_of
from lakehouse.code import code_version
from lakehouse.records.ledger import Outcome
from lakehouse.tasks import load_task


def train(context: Context, task_name: str) -> list[Outcome]:
    """One outcome a model; all unchanged where data, code, task and seed are those of the last training."""
    task = load_task(task_name, context.settings.preset)
    context.console.print(f"[bold]train: models of {task.name}")
    matrix = load_matrix(context.lake, task, sequences=needs_sequences(task))
    settings = context.settings
    code = code_version(*CODE)
    print_of = fingerprint(plain(task), matrix.versions, code, settings.model_dump(mode="json"))
    last = {name: context.ledger.last_built(node_of(task, name)) for name in task.models}
    registry = open_registry(context, task)
    if settings.mlflow_uri is None:  # the lake's own, and so is the lock
        registry.close_killed()
    trained = all(record and record["fingerprint"] == print_of for record in last.values())
    if trained and registry.has_champion(settings.model_name(task.name)):
        context.console.print("  features, code and settings are those of the last training: nothing was trained")
        return [Outcome(node_of(task, name), f"models.{task.name}", "unchanged") for name in task.models]

    train_rows, test_rows = matrix.part("train"), matrix.part("test")
    for name, rows in (("train", train_rows), ("test", test_rows)):
        check_outcomes(rows, task, f"{name} split", "split in ")
    features = gold_tables(task.name, sequences=False)[1]
    with ModelProgress(context.console, list(task.models), context.profile) as progress:
        fitted = fit_models(task, train_rows, settings, progress, lambda: context.lake.read(features))
    record = record_of(context.run_id, task, train_rows, settings, fitted)
    return admit(context, task, registry, Training(record, fitted, train_rows), test_rows, print_of)
