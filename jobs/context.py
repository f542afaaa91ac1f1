"""What every verb needs: the settings in force, the lake, its ledger, and a run id."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pyspark.sql import SparkSession
from rich.console import Console

from jobs.console import messages
from lakehouse.errors import ConfigError
from lakehouse.io import Lake
from lakehouse.ledger import Ledger, new_run_id
from lakehouse.pseudonyms import Identifier
from lakehouse.session import open_session
from lakehouse.settings import Settings
from lakehouse.unity import UnityLake


@dataclass
class Context:
    """One invocation. The session starts when a verb first needs it: looking at a lake needs none."""

    settings: Settings
    console: Console
    run_id: str

    @classmethod
    def of(cls, settings: Settings, console: Console | None = None) -> "Context":
        return cls(settings, console or messages(), new_run_id())

    @cached_property
    def spark(self) -> SparkSession:
        with self.console.status(f"starting engine {self.settings.engine}"):
            return open_session(self.settings)

    @cached_property
    def lake(self) -> Lake:
        settings = self.settings
        if settings.engine == "databricks":
            assert settings.catalog and settings.volume  # the settings have seen to it
            return UnityLake(settings.catalog, Path(settings.volume), lambda: self.spark)
        return Lake(settings.lake, lambda: self.spark)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.lake, self.settings.engine)

    @property
    def identify(self) -> Identifier:
        return Identifier(self.settings.pseudonym_key)


def check_only(only: str | None, known: Iterable[str]) -> None:
    """ConfigError where `--only` names nothing that is known, with the nearest one."""
    names = set(known)
    if only is not None and only not in names:
        near = difflib.get_close_matches(only, sorted(names), n=1, cutoff=0.0)
        raise ConfigError(f"--only {only}: nothing of that name; did you mean {near[0]}?")
