"""The record of a training: what it takes to train the same again, and to say what differs where figures do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

FINISHED = ("complete", "pruned")
"""States of a search's trials that count; one that the clock cut is run again."""


@dataclass(frozen=True)
class Record:
    """One training. All of it is plain, and stored as JSON beside each of its models.

    `task` is the question as trained, its preset applied; `settings` are those in force, secrets masked; `tables` and
    `table_ids` say which version of which table was read, `concepts` is the part of the clinical dictionary that a
    network reads; `data` is a digest of the training rows, `code` one of the
    modules behind the figures, `commit` the checkout; `trials` are those of each model's search.
    """

    training: str
    at: str
    task: dict[str, Any]
    settings: dict[str, Any]
    tables: dict[str, int]
    table_ids: dict[str, str]
    concepts: list[dict[str, Any]]
    data: str
    code: str
    commit: str
    environment: dict[str, Any]
    trials: dict[str, list[dict[str, Any]]]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        return cls(**plain)

    def repeatable(self, names: list[str]) -> dict[str, Any]:
        """The specs of these models, each search with as many trials as it finished and no clock.

        A search's trials depend on rows, seed and number alone, so that they are the same ones.
        """
        specs = {}
        for name in names:
            spec = self.task["models"][name]
            if "budget" in spec:
                finished = sum(trial["state"] in FINISHED for trial in self.trials[name])
                spec = {**spec, "budget": {"trials": finished, "seconds": float("inf")}}
            specs[name] = spec
        return specs

    def differences(self, *, data: str, code: str, environment: Mapping[str, Any]) -> dict[str, str]:
        """What is not as it was, as "then, now", by name: data, code, and each part of the environment."""
        then = {"data": self.data, "code": self.code, **_flat(self.environment)}
        now = {"data": data, "code": code, **_flat(environment)}
        names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
        return {name: f"{then.get(name, 'unknown')} then, {now.get(name, 'unknown')} now" for name in names}


def _flat(environment: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in environment.items():
        flat |= {f"{name} {key}": one for key, one in value.items()} if isinstance(value, Mapping) else {name: value}
    return flat
