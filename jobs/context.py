"""What every verb needs: the settings in force, the lake, its ledger, and a run id.

Spark and Delta are imported where they are first needed: a machine that only trains has neither.
"""

from __future__ import annotations

import difflib
import getpass
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from jobs.console import messages
from jobs.profiling import Profile
from lakehouse.engines.deadline import Deadline
from lakehouse.engines.memory import bound, watched
from lakehouse.errors import ConfigError
from lakehouse.local.lock import Holder
from lakehouse.records.audit import AUDIT, records_of
from lakehouse.records.forgotten import check_none_is_half_forgotten
from lakehouse.records.ledger import Ledger, new_run_id
from lakehouse.records.snapshots import Snapshots
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.io import Lake
    from lakehouse.pseudonyms import Identifier


@dataclass
class Context:
    """One invocation. The session starts when a verb first needs it: looking at a lake needs none."""

    settings: Settings
    console: Console
    run_id: str
    profile: Profile = field(default_factory=Profile)

    @classmethod
    def of(cls, settings: Settings, console: Console | None = None) -> Context:
        return cls(settings, console or messages(), new_run_id())

    @cached_property
    def spark(self) -> SparkSession:
        from lakehouse.session import open_session  # noqa: PLC0415

        _ = self.lake  # an engine that is a process of its own takes over who may read what is written
        with self.console.status(f"starting engine {self.settings.engine}"):
            return open_session(self.settings)

    @cached_property
    def lake(self) -> Lake:
        settings = self.settings
        if settings.engine == "databricks":
            from lakehouse.unity import UnityLake  # noqa: PLC0415

            assert settings.catalog and settings.volume  # the settings have seen to it
            return UnityLake(settings.catalog, Path(settings.volume), lambda: self.spark, settings.name_prefix)
        from lakehouse.io import Lake  # noqa: PLC0415

        if settings.private:
            os.umask(0o077)
        return Lake(settings.lake, lambda: self.spark)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.lake, self.settings.engine)

    @property
    def deadline(self) -> Deadline:
        """How long one table may take; the engine is asked to give up only if it was started."""

        def interrupt() -> None:
            if "spark" in self.__dict__:
                self.spark.interruptAll()

        return Deadline(self.settings.deadline_seconds, interrupt)

    @contextmanager
    def writing(self, verb: str, restores: str | None = None) -> Iterator[None]:
        """The lake to oneself for one verb that writes; what it was when the verb ended is recorded in `ops.snapshots`.

        Readers are not held up. What killed runs had staged is cleared away. `restores` names the run whose state the
        verb brings back. LockedError where another run is at work for longer than one may wait.
        """
        lake, snapshots = self.lake, Snapshots(self.lake)

        def admit() -> None:
            if restores is None:
                snapshots.check_no_restore_is_half_done()
            if verb != "forget":
                check_none_is_half_forgotten(lake)

        holder = Holder.here(self.run_id, verb)
        with lake.exclusive(holder, self.settings.lock_wait_seconds, self._tell, admit) as door:
            door.keeps_name = True  # until it is recorded how the lake was left
            if door.killed:
                self._tell(f"{door.killed} was killed: what it left half done is done again")
            lake.clear_staging()
            started = datetime.now(UTC)
            try:
                # A JVM takes what it may, and is bounded by itself.
                with watched(bound() if self.settings.engine == "sail" else None):
                    yield
            except BaseException:
                with suppress(Exception):  # the error of the verb is what one must see
                    self.audit(verb)
                    snapshots.record(self.run_id, verb, "failed", started, restores)
                    door.keeps_name = False
                raise
            self.audit(verb)
            snapshots.record(self.run_id, verb, "finished", started, restores)
            door.keeps_name = False

    def audit(self, verb: str) -> None:
        """Appends to `ops.audit` what was read and written since this was last called, in one commit."""
        if "lake" not in self.__dict__:
            return
        run = {"run_id": self.run_id, "who": operator(self.settings), "verb": verb}
        self.lake.append_records(AUDIT.name, AUDIT.columns, records_of(self.lake.accesses, **run))
        self.lake.accesses.clear()

    def _tell(self, sentence: str) -> None:
        self.console.print(f"[yellow]{escape(sentence)}", soft_wrap=True)

    @property
    def identify(self) -> Identifier:
        from lakehouse.pseudonyms import Identifier  # noqa: PLC0415

        return Identifier(self.settings.pseudonym_key)


def operator(settings: Settings) -> str:
    """Who is recorded as deciding and as reading: the setting `user`, else the user of the operating system."""
    try:
        return settings.user or getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"


def check_only(only: str | None, known: Iterable[str]) -> None:
    """ConfigError where `--only` names nothing that is known, with the nearest one."""
    names = set(known)
    if only is not None and only not in names:
        near = difflib.get_close_matches(only, sorted(names), n=1, cutoff=0.0)
        raise ConfigError(f"--only {only}: nothing of that name; did you mean {near[0]}?")
