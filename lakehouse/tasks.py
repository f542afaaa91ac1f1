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
    profiles: dict[str, dict[str, Any]] = {}
    protocols: dict[str, Split] = {}
    baselines: tuple[str, ...] = ()
    champion_metric: str = "log_loss"
    threshold: dict[str, Any] = {}

    def of_tables(self) -> dict[str, Any]:
        """What decides the question's tables: all but how its models are trained and judged."""
        return self.model_dump(
            mode="json", exclude={"models", "profiles", "protocols", "baselines", "champion_metric", "threshold"}
        )


def load_task(name: str, profile: str = "default") -> Task:
    """The task of `conf/tasks/<name>.yml`, its models as that `profile` changes them; ConfigError names file, key and
    problem."""
    path = CONF / "tasks" / f"{name}.yml"
    if not path.exists():
        known = sorted(p.stem for p in path.parent.glob("*.yml"))
        raise ConfigError(f"no task {name!r}: conf/tasks holds {', '.join(known)}.")
    content = read_yaml(path)
    content.setdefault("name", name)
    check_keys(content, Task.model_fields, f"conf/tasks/{name}.yml")
    if isinstance(split := content.get("split"), dict):
        check_keys(split, Split.model_fields, f"split of conf/tasks/{name}.yml")
    if profile != "default":
        check_keys([profile], content.get("profiles", {}), f"profiles of conf/tasks/{name}.yml")
        content["models"] = _merged(content.get("models", {}), content["profiles"][profile])
    try:
        return Task(**content)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"conf/tasks/{name}.yml: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None


def _merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Settings with `changes` in their place, level by level; a change to null removes."""
    merged = dict(settings)
    for key, change in changes.items():
        if change is None:
            merged.pop(key, None)
        elif isinstance(change, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merged(merged[key], change)
        else:
            merged[key] = change
    return merged
