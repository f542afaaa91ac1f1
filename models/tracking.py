"""A scorer, its figures and tables as MLflow's entities."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import redirect_stderr
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import Array
from mlflow.utils.time import get_current_time_millis

from models.bootstrap import Interval
from models.features import Kind
from models.scorer import Scorer

FOLDER = "scorer"
PARAMETER_LENGTH = 6000  # MLflow's limit on a parameter's text
STORED = f"data/{FOLDER}"  # where MLflow puts a pyfunc's own files, beside MLmodel


def signature(scorer: Scorer) -> ModelSignature:
    """Named inputs, one a feature (double, or string for text categories); risk, flagged and threshold out."""
    features = scorer.model.schema.features
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(Array(DataType.double), one.name)
        if one.kind is Kind.SERIES
        else ColSpec(DataType.string if one.levels else DataType.double, one.name)
        for one in features
    ]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.double, "risk"),
        ColSpec(DataType.boolean, "flagged"),
        ColSpec(DataType.double, "threshold"),
    ]
    return ModelSignature(Schema(inputs), Schema(outputs), ParamSchema([ParamSpec("top", DataType.long, 0)]))


def log_model(scorer: Scorer, name: str) -> tuple[str, int]:
    """Logs the scorer to the active run as a version of `name`; the digest of its files and the version."""
    packages = ("mlflow", "pandas", "numpy", "scipy", *scorer.model.requirements)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / FOLDER
        scorer.save(folder)
        # MLflow asks for an input example (it would serve it) and prints that it registered.
        with warnings.catch_warnings(action="ignore"), redirect_stderr(io.StringIO()):
            logged = mlflow.pyfunc.log_model(
                name=name,
                loader_module="models.scorer",
                data_path=str(folder),
                signature=signature(scorer),
                pip_requirements=[f"{package}=={version(package)}" for package in packages],
                registered_model_name=name,
                await_registration_for=0,
            )
        return digest(folder), int(logged.registered_model_version)


def log_run(
    client: mlflow.MlflowClient,
    run_id: str,
    parameters: Mapping[str, Any],
    figures: Mapping[str, float | Interval],
    tables: Mapping[str, int],
    tags: Mapping[str, str],
    documents: Mapping[str, Any],
) -> None:
    """Logs with a run what it was given and what it gave: see `Registry.log`."""
    told = [Param(key, str(value)[:PARAMETER_LENGTH]) for key, value in parameters.items()]
    client.log_batch(run_id, metrics=metrics_of(figures), params=told, tags=run_tags(tags, tables))
    client.log_inputs(run_id, [table_input(table, number) for table, number in tables.items()])
    for title, document in documents.items():
        client.log_dict(run_id, document, f"{title}.json")


def metrics_of(figures: Mapping[str, float | Interval]) -> list[Metric]:
    """One metric a figure; an Interval also gives NAME_low and NAME_high."""
    now = get_current_time_millis()
    plain: dict[str, float] = {}
    for name, figure in figures.items():
        if isinstance(figure, Interval):
            plain |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
        else:
            plain[name] = figure
    return [Metric(name, float(value), now, 0) for name, value in plain.items()]


def run_tags(known: Mapping[str, str], tables: Mapping[str, int]) -> list[RunTag]:
    tags = {**known, "mlflow.source.git.commit": known["code_version"]}
    tags |= {f"table.{table}": str(number) for table, number in tables.items()}
    return [RunTag(name, value) for name, value in tags.items()]


def table_input(table: str, number: int) -> DatasetInput:
    """A table version as MLflow's input of a run."""
    source = json.dumps({"table": table, "version": number})
    dataset = Dataset(name=table, digest=f"v{number}", source_type="delta", source=source)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def digest(folder: Path) -> str:
    """SHA-256 over names and bytes of a folder's files."""
    found = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
        found.update(file.read_bytes())
    return found.hexdigest()
