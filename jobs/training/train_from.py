"""Trains from an exported folder alone: no lake, no registry, and a session only where executors are to train.

The result is a folder within it: `<export>/trained/<training>/` holds a scorer a model, the out-of-fold risks and the
record, sealed by digests; `ehr register` takes it back to the lake.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from jobs.evaluation.figures import figures_table
from jobs.progress import ModelProgress
from jobs.training.export_training import Exported
from jobs.training.fitting import Fitted, fit_models
from jobs.training.sealed import MANIFEST, VOLUMES, sealed, sha256
from jobs.training.training_record import record_of
from lakehouse.errors import ConfigError
from lakehouse.settings import Settings
from models.bootstrap import intervals
from models.scorer import Scorer

TRAINED, MODELS = "trained", "models"
RECORD, FITS, OUT_OF_FOLD = "record.json", "fits.json", "out_of_fold.parquet"


def train_from(console: Console, settings: Settings, training: str, folder: Path) -> Path:
    """Trains the models of the export in `folder`; where the result lies."""
    exported = Exported.read(folder, settings.preset)
    task, rows = exported.task, exported.rows
    console.print(f"[bold]train: models of {task.name} from {folder}")
    if rows.label.nunique() < 2:
        raise ConfigError(f"{folder} has {len(rows.label)} stays of one outcome: a training needs both.")
    # A search and checkpoints that a killed training goes on from lie in the folder as well, unless it is a volume.
    work = settings.lake if folder.is_relative_to(VOLUMES) else folder / TRAINED / ".work"
    local = settings.model_copy(update={"lake": work})
    with ModelProgress(console, list(task.models)) as progress:
        fitted = fit_models(task, rows, local, progress)
    record = record_of(training, task, rows, settings, fitted)
    out = folder / TRAINED / training
    with sealed(out, {"export": sha256(folder / MANIFEST)}) as sealing:
        (sealing / RECORD).write_text(json.dumps(record.to_dict()))
        write_models(sealing, fitted, rows.features.index)
    shown = {
        name: intervals(rows.outcomes, one.out_of_fold, one.scorer.threshold, patients=rows.patient, seed=settings.seed)
        for name, one in fitted.items()
    }
    title = f"out of fold, {len(rows.label):,} training stays; 95 % bootstrap intervals"
    console.print(figures_table(shown, title))
    console.print(f"  trained into {out}\n  next, where the lake is: ehr register {folder}")
    return out


def write_models(folder: Path, fitted: Mapping[str, Fitted], stays: pd.Index) -> None:
    """A scorer's folder a model, the out-of-fold risks by stay, and how each model came about."""
    for name, one in fitted.items():
        one.scorer.save(folder / MODELS / name)
    risks = {name: one.out_of_fold for name, one in fitted.items()}
    pd.DataFrame(risks, index=stays).to_parquet(folder / OUT_OF_FOLD)
    fits = {
        name: {"parameters": one.parameters, "trials": one.trials, "seconds": one.seconds}
        for name, one in fitted.items()
    }
    (folder / FITS).write_text(json.dumps(fits))


def read_models(folder: Path, stays: pd.Index) -> dict[str, Fitted]:
    """What `write_models` wrote, with the out-of-fold risks in the order of `stays`."""
    fits = json.loads((folder / FITS).read_text())
    risks = pd.read_parquet(folder / OUT_OF_FOLD).reindex(stays)
    return {
        name: Fitted(
            name,
            Scorer.load(folder / MODELS / name),
            np.asarray(risks[name], dtype=np.float64),
            fit["parameters"],
            fit["trials"],
            fit["seconds"],
        )
        for name, fit in fits.items()
    }
