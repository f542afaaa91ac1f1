"""The registry of risk models: MLflow on a database, with what a run needs to be understood and repeated.

No requirement is guessed and no example served while logging, so nothing touches the network. Models are
stored by `Scorer.save`, without pickle, and `load` builds them by this project's code, not by code found
beside the model.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from models import database
from models.bootstrap import Interval
from models.promotion import Appointment, Decision
from models.provenance import environment
from models.scorer import Scorer
from models.tracking import STORED, digest, log_model, log_run, metrics_of

CHAMPION, CHALLENGER = "champion", "challenger"
REASON_LENGTH = 700  # Unity Catalog's limit on a tag's text is 1,000, less what stands around the reason
HISTORY = "champion_"  # tags of the registered model: one an appointment, numbered (Unity Catalog allows no dot)
UNITY = "databricks-uc"
LAST_TAG = "code_version"
"""What a version is tagged with last: one without it was left behind by a process that was killed."""


@dataclass(frozen=True)
class RegisteredModel:
    """A version in the registry, with its scorer."""

    name: str
    version: int
    run_id: str
    scorer: Scorer
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Version:
    """A version in the registry as it is listed: without its scorer, with the figures of its run."""

    name: str
    version: int
    run_id: str
    made_at: datetime
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    figures: Mapping[str, float]


class Registry:
    """Runs in the database at `tracking_uri` (sqlite:///...) and models in that at `registry_uri` (the same unless
    given); files in the folder or URI `artifacts`."""

    def __init__(
        self, tracking_uri: str, artifacts: Path | str, experiment: str = "mortality", registry_uri: str | None = None
    ) -> None:
        if tracking_uri.startswith("file:") or ("://" not in tracking_uri and tracking_uri != "databricks"):
            raise ValueError(f"{tracking_uri}: not a registry; give a database, as sqlite:///mlflow.db")
        self.tracking_uri, self.registry_uri = tracking_uri, registry_uri or tracking_uri
        # Without a location MLflow writes into the working directory.
        location = str(artifacts) if "://" in str(artifacts) else Path(artifacts).absolute().as_uri()
        database.make(tracking_uri)  # before any client is there, which would make it too
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
        """Records a run and registers its scorer as a new version of `name`.

        `figures` become metrics (an Interval also NAME_low and NAME_high), `tables` (name to version) the run's inputs,
        `documents` JSON files beside that of the environment; `code_version` is the commit, `tags` are those of run and
        version. The run is marked as failed when anything goes wrong on the way.
        """
        with self._active() as client, mlflow.start_run(experiment_id=self.experiment_id, run_name=run_name) as run:
            run_id = run.info.run_id
            stored, made = log_model(scorer, name)
            known = {**(tags or {}), "kind": scorer.model.kind, "digest": stored, LAST_TAG: code_version}
            told = {"environment": environment(), **(documents or {})}
            log_run(client, run_id, parameters, figures, tables, known, told)
            for key, value in known.items():
                client.set_model_version_tag(name, str(made), key, value)
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
            if digest(folder) != found.tags.get("digest"):
                raise ValueError(f"{uri}: its files are not those that were registered")
            scorer = Scorer.load(folder)
        return RegisteredModel(name, int(found.version), str(found.run_id), scorer, dict(found.tags))

    def newest(self, name: str) -> dict[str, RegisteredModel]:
        """The newest version of each model (tag `model`, else its kind) registered as `name`, if any."""
        with self._active() as client:
            found = self._search(client, name)
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

    def versions(self, name: str) -> list[Version]:
        """Every version registered as `name`, the newest first."""
        with self._active() as client:
            found = self._search(client, name)
            aliases = self._aliases(client, name) if found else {}
            return [self._listed(client, one, aliases) for one in found]

    def find(self, name: str, which: str) -> Version:
        """The version of a number, an alias or an MLflow run. Raises LookupError when there is none."""
        for one in self.versions(name):
            if which in (str(one.version), one.run_id, *one.aliases):
                return one
        raise LookupError(f"no model {name!r} {which} in {self.tracking_uri}")

    def document(self, run_id: str, title: str) -> Any:
        """A JSON file that was logged with a run. Raises LookupError when there is none."""
        with self._active() as client, tempfile.TemporaryDirectory() as temporary:
            try:
                return json.loads(Path(client.download_artifacts(run_id, f"{title}.json", temporary)).read_text())
            except (MlflowException, OSError) as error:
                raise LookupError(f"run {run_id} keeps no {title}") from error

    def decide(self, challenger: RegisteredModel, decision: Decision, by: str) -> None:
        """Keeps the gate's decision as tags of the version and figures of its run, and sets the aliases by it."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._active() as client:
            client.log_batch(challenger.run_id, metrics=metrics_of(decision.figures))
            known = {"decision": decision.verdict, "decision_reason": decision.reason, "decided_at": now}
            for key, value in {**known, "decided_by": by}.items():
                client.set_model_version_tag(challenger.name, str(challenger.version), key, value[:REASON_LENGTH])
            if not decision.promoted:
                client.set_registered_model_alias(challenger.name, CHALLENGER, str(challenger.version))
        if decision.promoted:
            self.appoint(challenger.name, Appointment(challenger.version, "gate", by, now, decision.reason))

    def appoint(self, name: str, one: Appointment) -> None:
        """Makes a version champion and adds how it came about to the history. Raises LookupError for an unknown one."""
        history = self.history(name)
        with self._active() as client:
            try:
                client.get_model_version(name, str(one.version))
            except MlflowException as error:
                raise LookupError(f"no model {name!r} version {one.version} in {self.tracking_uri}") from error
            # What stood before any history was kept comes first in it: one can go back to that as well.
            before = history if [entry.how for entry in history] == ["before"] else []
            for number, entry in [*enumerate(before), (len(history), one)]:
                kept = {**asdict(entry), "reason": entry.reason[:REASON_LENGTH]}
                client.set_registered_model_tag(name, f"{HISTORY}{number:05}", json.dumps(kept))
            client.set_registered_model_alias(name, CHAMPION, str(one.version))
            if self._aliases(client, name).get(CHALLENGER) == one.version:
                client.delete_registered_model_alias(name, CHALLENGER)

    def close_killed(self) -> None:
        """Marks runs that are still open as killed. For who knows that nobody else is at work in this experiment."""
        with self._active() as client:
            for run in client.search_runs([self.experiment_id], "attributes.status = 'RUNNING'"):
                client.set_terminated(run.info.run_id, "KILLED")

    def tag(self, name: str, version: int, key: str, value: str) -> None:
        """Notes something on a version."""
        with self._active() as client:
            client.set_model_version_tag(name, str(version), key, value)

    def put_document(self, run_id: str, title: str, document: Any) -> None:
        """Puts a JSON file in place of the one that was logged with a run under that title."""
        with self._active() as client:
            client.log_dict(run_id, document, f"{title}.json")

    def history(self, name: str) -> list[Appointment]:
        """How each champion came to be, the oldest first."""
        with self._active() as client:
            try:
                model = client.get_registered_model(name)
            except MlflowException:
                return []
            tags = {key: value for key, value in model.tags.items() if key.startswith(HISTORY)}
            standing = self._aliases(client, name).get(CHAMPION)
        if not tags and standing is not None:
            return [Appointment(standing, "before", "", "", "champion before a history was kept")]
        return [Appointment(**json.loads(tags[key])) for key in sorted(tags)]

    def record(self, run_id: str, figures: Mapping[str, float | Interval]) -> None:
        """Adds figures to a run that has ended."""
        with self._active() as client:
            client.log_batch(run_id, metrics=metrics_of(figures))

    def record_run(
        self,
        run_name: str,
        *,
        parameters: Mapping[str, Any],
        figures: Mapping[str, float | Interval],
        tables: Mapping[str, int],
        tags: Mapping[str, str],
        documents: Mapping[str, Any],
    ) -> str:
        """A run without a model, such as an evaluation; arguments as those of `log`. Its id."""
        with self._active() as client, mlflow.start_run(experiment_id=self.experiment_id, run_name=run_name) as run:
            run_id = str(run.info.run_id)
            log_run(client, run_id, parameters, figures, tables, tags, documents)
        return run_id

    @staticmethod
    def _aliases(client: mlflow.MlflowClient, name: str) -> dict[str, int]:
        return {alias: int(number) for alias, number in client.get_registered_model(name).aliases.items()}

    def _search(self, client: mlflow.MlflowClient, name: str) -> list[ModelVersion]:
        """Every version of a model that is wholly there, the newest first. Unity Catalog orders none and leaves their
        tags out."""
        found: list[ModelVersion] = list(client.search_model_versions(f"name = '{name}'"))
        if self.registry_uri == UNITY:
            found = [client.get_model_version(name, str(one.version)) for one in found]
        whole = (one for one in found if LAST_TAG in one.tags)
        return sorted(whole, key=lambda one: int(one.version), reverse=True)

    @staticmethod
    def _listed(client: mlflow.MlflowClient, found: ModelVersion, aliases: Mapping[str, int]) -> Version:
        number = int(found.version)
        return Version(
            found.name,
            number,
            str(found.run_id),
            datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
            tuple(sorted(alias for alias, of in aliases.items() if of == number)),
            dict(found.tags),
            dict(client.get_run(str(found.run_id)).data.metrics),
        )

    @contextmanager
    def _active(self) -> Iterator[mlflow.MlflowClient]:
        """A client of this registry, with MLflow's global addresses set to it and its loggers quiet meanwhile."""
        before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
        try:
            with database.quiet():
                mlflow.set_tracking_uri(self.tracking_uri)
                mlflow.set_registry_uri(self.registry_uri)
                yield mlflow.MlflowClient()
        finally:
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri(before[1])
