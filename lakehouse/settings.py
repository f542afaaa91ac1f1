"""Settings: defaults < conf/base.yml < conf/<env>.yml < EHR_* variables < command line; each value knows its origin."""

import difflib
import os
import re
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from lakehouse.errors import ConfigError
from lakehouse.secret_scope import read_secret

CONF = Path(__file__).resolve().parent.parent / "conf"
PREFIX = "EHR_"


class Settings(BaseSettings):
    """Everything that a run can be told; an unknown key is an error that names the nearest one."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    env: Literal["local", "dev", "staging", "prod"] = Field("local", description="which conf/<env>.yml applies")
    engine: Literal["sail", "spark", "databricks"] = Field("sail", description="which engine runs the tables")
    remote: SecretStr | None = Field(
        None,
        description="Spark Connect server that runs the engine, sc://host:port; default: one of this machine's own",
    )
    lake: Path = Field(Path("lake"), description="folder of the local lake")
    private: bool = Field(True, description="files of a local lake are for nobody but their owner (umask 077)")
    raw: Path = Field(Path("raw"), description="folder that holds the raw files")
    catalog: str | None = Field(None, description="Unity Catalog that holds the layers' schemas (Databricks)")
    volume: str | None = Field(None, description="Unity Catalog volume for staged rows (Databricks)")
    name_prefix: str = Field("", description="what names of schemas and models begin with (Databricks)")
    secret_scope: str | None = Field(None, description="Databricks secret scope that holds pseudonym_key")
    lock_wait_seconds: float = Field(600, ge=0, description="how long a run waits for another that writes to the lake")
    deadline_seconds: float = Field(
        14400, ge=0, description="how long one table may take before the run gives up on it; 0: as long as it likes"
    )
    retention_hours: int = Field(
        168, ge=0, description="how far back `ehr restore`, `ehr diff` and `ehr sql --as-of` reach at least"
    )
    cores: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, description="cores that one run may use")
    driver_memory: str = Field("3g", description="heap of the JVM engine when it runs in this process")
    pseudonym_key: SecretStr | None = Field(None, description="key of the identifiers' HMAC; never written anywhere")
    shift_dates_weeks: int = Field(
        0,
        ge=0,
        description="dates past bronze go back by 1 to so many weeks, all of a patient alike; needs a key",
    )
    pseudonym_key_new: SecretStr | None = Field(None, description="the key that `ehr rotate-key` puts in its place")
    physionet_url: str = Field("https://physionet.org/files", description="where `ehr download` finds releases")
    physionet_user: str | None = Field(None, description="PhysioNet user name, for credentialed releases")
    physionet_password: SecretStr | None = Field(None, description="that user's password; never written anywhere")
    mlflow_uri: str | None = Field(None, description="MLflow tracking and registry store; default: SQLite in the lake")
    experiment: str | None = Field(None, description="MLflow experiment of the trainings; default: the question's name")
    preset: str = Field("default", description="how thoroughly models are trained: a preset of the task's file")
    train_seconds: int | None = Field(
        None, ge=1, description="time limit of the hyperparameter search; default: the task's"
    )
    train_engine: Literal["local", "spark"] = Field(
        "local", description="who trains the models: this machine, or the executors of engine spark or databricks"
    )
    seed: int = Field(7, description="seed of everything that draws")
    user: str | None = Field(None, description="who is recorded as deciding on models; default: the system's user")
    debug: bool = Field(False, description="show the stack trace behind an error")

    @model_validator(mode="after")
    def _complete(self) -> "Settings":
        keyed = self.pseudonym_key and self.pseudonym_key.get_secret_value()
        if self.env in ("staging", "prod") and not keyed:
            raise ValueError(
                f"environment {self.env} needs {PREFIX}PSEUDONYM_KEY, or a secret scope that holds pseudonym_key, "
                "so that no raw identifier leaves bronze"
            )
        if self.shift_dates_weeks and not keyed:
            raise ValueError(
                f"shift_dates_weeks needs {PREFIX}PSEUDONYM_KEY, which says how far each patient's dates go"
            )
        for name, key in (("pseudonym_key", self.pseudonym_key), ("pseudonym_key_new", self.pseudonym_key_new)):
            # A NUL at the end of a key is one that HMAC does not see; surrogates stand for bytes that are no UTF-8.
            if key and re.search("[\0\ud800-\udfff]", key.get_secret_value()):
                raise ValueError(f"{name} holds a NUL or bytes that are not UTF-8, which no key may")
        if self.remote and not self.remote.get_secret_value().startswith("sc://"):
            raise ValueError("remote must be the address of a Spark Connect server, sc://host:port")
        if self.engine == "databricks" and not (self.catalog and self.volume):
            raise ValueError("engine databricks needs both settings catalog and volume")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        env = init_settings().get("env") or env_settings().get("env") or "local"
        files = (_Yaml(settings_cls, CONF / f"{env}.yml"), _Yaml(settings_cls, CONF / "base.yml"))
        above = (init_settings, env_settings)
        return (*above, _Secrets(settings_cls, (*above, *files)), *files)

    @property
    def tracking_uri(self) -> str:
        return self.mlflow_uri or f"sqlite:///{self.lake.resolve() / 'mlflow' / 'mlflow.db'}"

    @property
    def registry_uri(self) -> str:
        """Where models are registered: beside the runs, or in Unity Catalog where Databricks keeps the runs."""
        return "databricks-uc" if self.tracking_uri == "databricks" else self.tracking_uri

    def model_name(self, task: str) -> str:
        """The registered model of a question; in Unity Catalog `<catalog>.<schema of gold>.<question>`."""
        if self.registry_uri != "databricks-uc":
            return task
        return f"{self.catalog}.{self.name_prefix}gold.{self.name_prefix}{task}"


class _Yaml(PydanticBaseSettingsSource):
    """One file of `conf/`, its keys checked."""

    def __init__(self, settings_cls: type[BaseSettings], path: Path) -> None:
        super().__init__(settings_cls)
        self.path = path

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        content = read_yaml(self.path)
        check_keys(content, Settings.model_fields, f"conf/{self.path.name}")
        return content


class _Secrets(PydanticBaseSettingsSource):
    """The pseudonym key from the secret scope that another source names, unless one of those gives the key."""

    def __init__(self, settings_cls: type[BaseSettings], others: tuple[PydanticBaseSettingsSource, ...]) -> None:
        super().__init__(settings_cls)
        self.others = others

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        given = ChainMap(*(source() for source in self.others))
        if given.get("pseudonym_key") or not (scope := given.get("secret_scope")):
            return {}
        try:
            return {"pseudonym_key": read_secret(scope, "pseudonym_key")}
        except ConfigError as error:
            raise ConfigError(f"environment {given.get('env')} needs {PREFIX}PSEUDONYM_KEY: {error}") from None


def load_settings(**given: Any) -> Settings:
    """Settings in force, `given` (the command line) over all else; ConfigError in one sentence otherwise."""
    given = {key: value for key, value in given.items() if value is not None}
    check_keys(_variables(), Settings.model_fields, f"the environment (as {PREFIX}*)")
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise ConfigError("; ".join(problems) + ".") from None


def origins(settings: Settings, **given: Any) -> dict[str, tuple[str, str]]:
    """For each setting: its value as text (secrets masked) and where it comes from."""
    layers: list[tuple[str, Mapping[str, Any]]] = [
        ("command line", {k: v for k, v in given.items() if v is not None}),
        ("environment", _variables()),
        (f"conf/{settings.env}.yml", _Yaml(Settings, CONF / f"{settings.env}.yml")()),
        ("conf/base.yml", _Yaml(Settings, CONF / "base.yml")()),
        (f"secret scope {settings.secret_scope}", {"pseudonym_key": ""} if settings.secret_scope else {}),
    ]
    return {
        name: (
            str(getattr(settings, name)),
            next((where for where, layer in layers if name in layer), "default"),
        )
        for name in Settings.model_fields
    }


def _variables() -> dict[str, str]:
    """Settings among the environment variables; an empty one counts as not set."""
    return {k[len(PREFIX) :].lower(): v for k, v in os.environ.items() if k.upper().startswith(PREFIX) and v}


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a file of `conf/` holds; ConfigError where it does not read as one."""
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path.relative_to(CONF.parent)} is not YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path.relative_to(CONF.parent)} must hold keys and values.")
    return content


def check_keys(keys: Any, known: Any, where: str) -> None:
    """ConfigError for the first key that is not known, with the nearest one that is."""
    for key in keys:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise ConfigError(f"{where} has no setting {key!r}; did you mean {near[0]!r}?")
