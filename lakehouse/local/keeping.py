"""Upkeep of a local lake, whole tables at a time: put back, compacted, vacuumed, withdrawn; and whose turn it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from lakehouse.errors import ContractError
from lakehouse.local import lock, upkeep, withdrawn
from lakehouse.local.staging import STAGING, Staging


class Keeping(Staging):
    """What a lake needs besides reads and writes."""

    def restore(self, name: str, version: int) -> None:
        """Makes an earlier version the current one again."""
        try:
            self._delta(name).restore(version)
        except Exception as error:
            raise ContractError(f"{name} could not be put back to version {version}: {error}") from error
        self.note(name, "write")

    def is_whole(self, name: str, version: int) -> bool:
        """Whether a version can still be read: a vacuum deletes the files of old ones."""
        return upkeep.is_whole(self.location(name), version)

    def unsound_files(self, name: str, version: int) -> list[str]:
        """In words, each data file of a version that is not as the table's log has it."""
        return upkeep.unsound_files(self._delta(name, version), self.location(name))

    def compact(self, name: str, cluster_by: Sequence[str] = ()) -> bool:
        """Joins small files, ordered by `cluster_by`; says whether there was anything to do. No row changes."""
        return upkeep.compact(self._delta(name), cluster_by)

    def vacuum(self, name: str, retention_hours: float) -> int | None:
        """Deletes data files that no version of the last hours needs; how many, or None where the engine keeps that to
        itself."""
        return upkeep.vacuum(self._delta(name), retention_hours)

    def erase_history(self, name: str) -> None:
        """Leaves nothing of earlier versions, neither files nor what the log said of them; the rows stay."""
        upkeep.erase_history(self._delta(name), self.location(name))

    def withdraw(self, name: str, label: str) -> None:
        """Takes the table away from readers; `recall` brings it back, until `forget_withdrawn` deletes it."""
        self.note(name, "write")
        withdrawn.withdraw(self.root, name, self.location(name), label)

    def recall(self, name: str, table_id: str) -> None:
        """Brings a withdrawn table back; ContractError where it is gone."""
        withdrawn.recall(self.root, name, self.location(name), table_id)
        self.note(name, "write")

    def can_recall(self, name: str, table_id: str, version: int) -> bool:
        """Whether that table was withdrawn and is still whole at that version."""
        aside = withdrawn.find(self.root, name, table_id)
        return aside is not None and upkeep.is_whole(aside, version)

    def forget_withdrawn(self, retention_hours: float) -> int:
        """Deletes what was withdrawn longer ago than that; how many tables."""
        return withdrawn.forget(self.root, retention_hours)

    def clear_staging(self) -> None:
        """Deletes what killed runs had staged. For who has the lake to himself: a run at work stages there too."""
        shutil.rmtree(self.root / STAGING, ignore_errors=True)

    def exclusive(
        self, holder: lock.Holder, wait_seconds: float, tell: Callable[[str], object], admit: Callable[[], object]
    ) -> AbstractContextManager[lock.Door]:
        """The lake to oneself, against all other writers: see `lock.exclusive`."""
        return lock.exclusive(self.root, holder, wait_seconds, tell, admit)

    def writer(self) -> tuple[lock.Holder | None, bool]:
        """Who writes to the lake and whether it is at work now: see `lock.look`."""
        return lock.look(self.root)
