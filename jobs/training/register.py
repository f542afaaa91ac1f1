"""Takes what was trained from an exported folder back into the lake's registry, once it is known to be of this lake."""

import json
from dataclasses import replace
from pathlib import Path

from jobs.context import Context
from jobs.training.admit import Training, admit
from jobs.training.export_training import Exported
from jobs.training.fitting import needs_sequences
from jobs.training.matrix import Matrix, load_matrix
from jobs.training.registry import open_registry
from jobs.training.sealed import MANIFEST, opened, sha256
from jobs.training.train_from import RECORD, TRAINED, read_models
from jobs.training.training_record import fingerprint
from lakehouse.errors import ContractError
from lakehouse.records.ledger import Outcome
from lakehouse.tasks import Task
from models.record import Record


def register(context: Context, folder: Path) -> list[Outcome]:
    """Registers each training of the export in `folder` that is not in the registry yet, the oldest first."""
    exported = Exported.read(folder, "default")
    task = exported.task
    context.console.print(f"[bold]register: models of {task.name} from {folder}")
    registry = open_registry(context, task)
    known = {one.tags.get("training") for one in registry.versions(context.settings.model_name(task.name))}
    trained = [path for path in sorted((folder / TRAINED).glob("[!.]*")) if path.is_dir()]
    due = [path for path in trained if path.name not in known]
    if not trained:
        raise ContractError(f"{folder} holds no training: run ehr train --from {folder} first.")
    if not due:
        context.console.print("  every training of it is registered: nothing was done")
        return []
    for path in due:
        if opened(path).get("export") != sha256(folder / MANIFEST):
            raise ContractError(f"{path} was not trained from {folder} as it is now.")
    rows = _rows_of(context, exported)
    test_rows = load_matrix(context.lake, task, sequences=needs_sequences(task)).part("test")
    outcomes = []
    for path in due:
        record = Record.from_dict(json.loads((path / RECORD).read_text()))
        print_of = fingerprint(record.task, record.tables, record.code, record.settings)
        training = Training(record, read_models(path, rows.features.index), rows)
        outcomes += admit(context, Task(**record.task), registry, training, test_rows, print_of)
    return outcomes


def _rows_of(context: Context, exported: Exported) -> Matrix:
    """The training rows as this lake held them when they were exported.

    ContractError where it never held them, or does no longer: models of unknown rows are not registered.
    """
    tables, ids = exported.manifest["tables"], exported.manifest["table_ids"]
    for name in tables:
        if context.lake.table_id(name) != ids[name]:
            raise ContractError(f"the export is not of this lake: its {name} is another table.")
    sequences = f"gold.{exported.task.name}_sequences" in tables
    rows = load_matrix(context.lake, exported.task, sequences, versions=tables).part("train")
    rows = replace(rows, concepts=exported.rows.concepts)
    if rows.digest() != exported.manifest["data"]:
        raise ContractError(
            f"the rows of the export are not those that this lake held at its versions of {', '.join(tables)}."
        )
    return rows
