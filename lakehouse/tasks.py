"""A clinical question as data: `conf/tasks/<name>.yml` read into a checked `Task`."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lakehouse.errors import ConfigError
from lakehouse.settings import CONF, check_keys, read_yaml


class Split(BaseModel):
    """Who trains and who tests: whole record sets, or patients by a hash of their id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Literal["record_set", "patient_hash"] = "record_set"
    train: tuple[str, ...] = ("a",)
    test: tuple[str, ...] = ("b",)
    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    seed: int = 7


class Task(BaseModel):
    """One question: its label, cohort, window, split, features and models."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    label: str
    window_hours: int = Field(48, ge=1)
    min_age: int = 16
    min_icu_hours: float = 48
    split: Split = Field(default_factory=Split)
    feature_groups: dict[str, bool] = {}
    models: dict[str, Any] = {}
    champion_metric: str = "auprc"
    threshold: dict[str, Any] = {}


def load_task(name: str) -> Task:
    """The task of `conf/tasks/<name>.yml`; ConfigError names file, key and problem."""
    path = CONF / "tasks" / f"{name}.yml"
    if not path.exists():
        known = sorted(p.stem for p in path.parent.glob("*.yml"))
        raise ConfigError(f"no task {name!r}: conf/tasks holds {', '.join(known)}.")
    content = read_yaml(path)
    content.setdefault("name", name)
    check_keys(content, Task.model_fields, f"conf/tasks/{name}.yml")
    if isinstance(split := content.get("split"), dict):
        check_keys(split, Split.model_fields, f"split of conf/tasks/{name}.yml")
    try:
        return Task(**content)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"conf/tasks/{name}.yml: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
