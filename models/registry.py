"""The registry of risk models: MLflow on a database, with what a run needs to be understood and repeated.

No requirement is guessed and no example served while logging, so nothing touches the network. Models are
stored by `Scorer.save`, without pickle, and `load` builds them by this project's code, not by code found
beside the model.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import Array
from mlflow.utils.time import get_current_time_millis

from models.bootstrap import Interval
from models.features import Kind
from models.provenance import code_version, environment
from models.scorer import Scorer

__all__ = ["CHALLENGER", "CHAMPION", "RegisteredModel", "Registry", "code_version", "signature"]

CHAMPION, CHALLENGER = "champion", "challenger"
FOLDER = "scorer"
STORED = f"data/{FOLDER}"  # where MLflow puts a pyfunc's own files, beside MLmodel
PARAMETER_LENGTH = 6000  # MLflow's limit on a parameter's text
NOISY = ("mlflow", "alembic")


@dataclass(frozen=True)
class RegisteredModel:
    """A version in the registry, with its scorer."""

    name: str
    version: int
    run_id: str
    scorer: Scorer
    tags: Mapping[str, str] = field(default_factory=dict)


class Registry:
    """Runs and models in the database at `tracking_uri` (sqlite:///...); files in the folder or URI `artifacts`."""

    def __init__(self, tracking_uri: str, artifacts: Path | str, experiment: str = "mortality") -> None:
        if tracking_uri.startswith("file:") or ("://" not in tracking_uri and tracking_uri != "databricks"):
            raise ValueError(f"{tracking_uri}: not a registry; give a database, as sqlite:///mlflow.db")
        self.tracking_uri = tracking_uri
        # Without a location MLflow writes into the working directory.
        location = str(artifacts) if "://" in str(artifacts) else Path(artifacts).absolute().as_uri()
        with self._active() as client:
            found = client.get_experiment_by_name(experiment)
            self.experiment_id = found.experiment_id if found else client.create_experiment(experiment, location)

    def log(
        self,
        scorer: Scorer,
        name: str,
        *,
        run_name: str,
        parameters: Mapping[str, Any],
        figures: Mapping[str, float | Interval],
        tables: Mapping[str, int],
        code_version: str,
        tags: Mapping[str, str] | None = None,
        documents: Mapping[str, Any] | None = None,
    ) -> RegisteredModel:
        """Records a run and registers its scorer as a new version of `name`, alias challenger.

        `figures` become metrics (an Interval also NAME_low and NAME_high), `tables` (name to version) the run's inputs,
        `documents` JSON files beside that of the environment; `code_version` is the commit, `tags` are those of run and
        version. The run is marked as failed when anything goes wrong on the way.
        """
        with self._active() as client, mlflow.start_run(experiment_id=self.experiment_id, run_name=run_name) as run:
            run_id = run.info.run_id
            digest, made = _log_model(scorer, name)
            known = {**(tags or {}), "kind": scorer.model.kind, "digest": digest, "code_version": code_version}
            client.log_batch(
                run_id,
                metrics=_metrics(figures),
                params=[Param(key, str(value)[:PARAMETER_LENGTH]) for key, value in parameters.items()],
                tags=_run_tags(known, tables),
            )
            client.log_inputs(run_id, [_input(table, number) for table, number in tables.items()])
            for title, document in {"environment": environment(), **(documents or {})}.items():
                client.log_dict(run_id, document, f"{title}.json")
            for key, value in known.items():
                client.set_model_version_tag(name, str(made), key, value)
            client.set_registered_model_alias(name, CHALLENGER, str(made))
        return RegisteredModel(name, made, run_id, scorer, known)

    def load(self, name: str, which: str | int = CHAMPION) -> RegisteredModel:
        """The model of an alias or a version number.

        Raises LookupError when there is none, ValueError when its files are not those that were registered.
        """
        with self._active() as client, tempfile.TemporaryDirectory() as temporary:
            try:
                by_alias = isinstance(which, str)
                find = client.get_model_version_by_alias if by_alias else client.get_model_version
                found = find(name, str(which))
            except MlflowException as error:
                raise LookupError(f"no model {name!r} {which} in {self.tracking_uri}; train one first") from error
            uri = f"models:/{name}/{found.version}"
            folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=temporary)) / STORED
            if _digest(folder) != found.tags.get("digest"):
                raise ValueError(f"{uri}: its files are not those that were registered")
            scorer = Scorer.load(folder)
        return RegisteredModel(name, int(found.version), str(found.run_id), scorer, dict(found.tags))

    def newest(self, name: str) -> dict[str, RegisteredModel]:
        """The newest version of each model (tag `model`, else its kind) registered as `name`, if any."""
        with self._active() as client:
            found = client.search_model_versions(f"name = '{name}'", order_by=["version_number DESC"])
        newest: dict[str, int] = {}
        for one in found:
            newest.setdefault(one.tags.get("model", one.tags["kind"]), int(one.version))
        return {kind: self.load(name, number) for kind, number in newest.items()}

    def has_champion(self, name: str) -> bool:
        """Whether there is a champion, without loading it."""
        with self._active() as client:
            try:
                return bool(client.get_model_version_by_alias(name, CHAMPION))
            except MlflowException:
                return False

    def champion(self, name: str) -> RegisteredModel | None:
        """The champion, or None when there is none yet."""
        try:
            return self.load(name, CHAMPION)
        except LookupError:
            return None

    def promote(self, challenger: RegisteredModel, differences: Mapping[str, Interval] | None) -> bool:
        """Makes the challenger champion if it is not worse; decision and reason become tags of the version.

        `differences` are those of `bootstrap.paired_differences`, challenger minus champion, on the same
        held-out rows; None when there is no champion. Not worse: the differences of AUROC and AUPRC sum to
        zero or more.
        """
        promoted, reason = _decide(differences)
        with self._active() as client:
            for key, value in (("promoted", str(promoted).lower()), ("promotion_reason", reason)):
                client.set_model_version_tag(challenger.name, str(challenger.version), key, value)
            if promoted:
                client.set_registered_model_alias(challenger.name, CHAMPION, str(challenger.version))
        return promoted

    @contextmanager
    def _active(self) -> Iterator[mlflow.MlflowClient]:
        """A client of this registry, with MLflow's global addresses set to it and its loggers quiet meanwhile."""
        before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
        levels = {name: logging.getLogger(name).level for name in NOISY}
        try:
            for name in NOISY:
                logging.getLogger(name).setLevel(logging.ERROR)
            mlflow.set_tracking_uri(self.tracking_uri)
            mlflow.set_registry_uri(self.tracking_uri)
            yield mlflow.MlflowClient()
        finally:
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri(before[1])
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


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


def _log_model(scorer: Scorer, name: str) -> tuple[str, int]:
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
        return _digest(folder), int(logged.registered_model_version)


def _metrics(figures: Mapping[str, float | Interval]) -> list[Metric]:
    now = get_current_time_millis()
    plain: dict[str, float] = {}
    for name, figure in figures.items():
        if isinstance(figure, Interval):
            plain |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
        else:
            plain[name] = figure
    return [Metric(name, float(value), now, 0) for name, value in plain.items()]


def _run_tags(known: Mapping[str, str], tables: Mapping[str, int]) -> list[RunTag]:
    tags = {**known, "mlflow.source.git.commit": known["code_version"]}
    tags |= {f"table.{table}": str(number) for table, number in tables.items()}
    return [RunTag(name, value) for name, value in tags.items()]


def _input(table: str, number: int) -> DatasetInput:
    """A table version as MLflow's input of a run."""
    source = json.dumps({"table": table, "version": number})
    dataset = Dataset(name=table, digest=f"v{number}", source_type="delta", source=source)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def _decide(differences: Mapping[str, Interval] | None) -> tuple[bool, str]:
    if differences is None:
        return True, "first champion"
    auroc, auprc = differences["auroc"], differences["auprc"]
    promoted = auroc.value + auprc.value >= 0
    return promoted, (
        f"{'not worse' if promoted else 'worse'} than the champion on the same rows: "
        f"AUROC {auroc.value:+.4f} ({auroc.low:+.4f} to {auroc.high:+.4f}), "
        f"AUPRC {auprc.value:+.4f} ({auprc.low:+.4f} to {auprc.high:+.4f})"
    )


def _digest(folder: Path) -> str:
    """SHA-256 over names and bytes of a folder's files."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
