"""A clinical question as data: `conf/tasks/<name>.yml` read into a checked `Task`."""

from typing import Any, Literal, Self

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


class Protocol(Split):
    """A way to judge models that are trained anew: who trains and tests, on which window, how many times over."""

    sets: tuple[str, ...] = ()
    """Record sets whose stays are dealt; none: every stay of the cohort."""
    window_hours: int | None = Field(None, ge=1)
    """None: the task's own."""
    repeats: int = Field(1, ge=1)
    """Trainings, each with folds and models of another seed."""


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
    folds: int = Field(5, ge=2)
    """Of the training rows, patients kept whole: each member learns from all but one, and is stacked on that one."""
    models: dict[str, Any] = {}
    presets: dict[str, dict[str, Any]] = {}
    protocols: dict[str, Protocol] = {}
    baselines: tuple[str, ...] = ()
    champion_metric: str = "log_loss"
    threshold: dict[str, Any] = {}

    def under(self, protocol: Protocol) -> Self:
        """The question as a protocol asks it."""
        split = Split(**protocol.model_dump(include=set(Split.model_fields)))
        return self.model_copy(update={"split": split, "window_hours": protocol.window_hours or self.window_hours})

    def with_preset(self, preset: str) -> Self:
        """The question with its folds and models as that preset changes them; ConfigError where it has no such
        preset."""
        if preset == "default":
            return self
        check_keys([preset], self.presets, f"presets of conf/tasks/{self.name}.yml")
        changes = dict(self.presets[preset])
        folds = changes.pop("folds", self.folds)
        return self.model_copy(update={"folds": folds, "models": _merged(self.models, changes)})

    def of_tables(self) -> dict[str, Any]:
        """What decides the question's tables: all but how its models are trained and judged."""
        return self.model_dump(
            mode="json",
            exclude={"folds", "models", "presets", "protocols", "baselines", "champion_metric", "threshold"},
        )


def load_task(name: str, preset: str = "default") -> Task:
    """The task of `conf/tasks/<name>.yml`, its models as that `preset` changes them; ConfigError names file, key and
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
    for title, protocol in (content.get("protocols") or {}).items():
        if isinstance(protocol, dict):
            check_keys(protocol, Protocol.model_fields, f"protocol {title} of conf/tasks/{name}.yml")
    try:
        return Task(**content).with_preset(preset)
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
