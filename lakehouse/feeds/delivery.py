"""What a raw folder holds for one bronze table, against what was read before: new, changed, moved, gone, twice there.

Files are known by name and content. Of two with the same content the first by name stands, whichever came first, so
that a lake does not depend on the order of deliveries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lakehouse.errors import RawDataError
from lakehouse.feeds.rawfiles import RawFile
from lakehouse.records.forgotten import NAMELESS
from lakehouse.table import Table


@dataclass(frozen=True)
class Delivery:
    """`files` are all that stand; `copies` names for each file that is set aside the one that has its content."""

    table: Table
    files: list[RawFile]
    new: list[RawFile]
    changed: list[RawFile]
    touched: list[RawFile]
    gone: list[str]
    copies: dict[str, str]

    @classmethod
    def of(
        cls, table: Table, found: Sequence[RawFile], known: Mapping[str, Mapping[str, Any]], copies: Mapping[str, str]
    ) -> Delivery:
        """`known` are the records of files whose rows the table has; `copies` are those that were not even found."""
        of_content: dict[str, str] = {}
        files, twice = [], dict(copies)
        sizes = Counter(file.size for file in found)
        for file in found:
            if sizes[file.size] > 1 and (first := of_content.setdefault(_content(file, known), file.name)) != file.name:
                twice[file.name] = first
            else:
                files.append(file)
        new = [f for f in files if f.name not in known]
        # An unchanged size and time spare the hashing; another time with the same content is a touched file.
        suspect = [f for f in files if f.name in known and not _unmoved(f, known[f.name])]
        changed = [f for f in suspect if f.sha256 != known[f.name]["sha256"]]
        touched = [f for f in suspect if f.sha256 == known[f.name]["sha256"]]
        gone = known.keys() - {f.name for f in files}
        return cls(table, files, new, changed, touched, sorted(n for n in gone if not n.startswith(NAMELESS)), twice)

    @property
    def to_read(self) -> list[RawFile]:
        return [*self.new, *self.changed]

    def of_all_files(self) -> Delivery:
        """The same, every file to be read again."""
        new = {file.name for file in self.new}
        return replace(self, changed=[file for file in self.files if file.name not in new], touched=[])

    @property
    def note(self) -> str:
        """What a person should know of it, in words."""
        told = (
            (sorted(f.name for f in self.changed), "changed, rows replaced"),
            (self.gone, "no longer there, rows taken out"),
            ([f"{name} (as {first})" for name, first in sorted(self.copies.items())], "there twice, set aside"),
        )
        return "; ".join(f"{len(names)} {what}: {_some(names)}" for names, what in told if names)

    def check_unmoved(self, _done: object = None) -> None:
        """RawDataError where a file changed since it was found."""
        for file in self.to_read:
            file.check_unmoved()

    def check_not_emptied(self, known: Mapping[str, Mapping[str, Any]]) -> None:
        """RawDataError where most files of the table are gone and nothing came in their place."""
        if not self.gone:
            return
        contents = {_content(file, known) for file in self.files}
        lost = [name for name in self.gone if known[name]["sha256"] not in contents]
        come = sum(file.sha256 not in {record["sha256"] for record in known.values()} for file in self.new)
        if len(lost) - come > 0 and 2 * len(lost) > len(known):
            raise RawDataError(
                f"{len(lost)} of {len(known)} raw files of {self.table.name} are no longer there ({_some(lost)}): "
                "bring them back, or take their rows out of the lake with --accept-removed."
            )


def _content(file: RawFile, known: Mapping[str, Mapping[str, Any]]) -> str:
    record = known.get(file.name)
    return str(record["sha256"]) if record and _unmoved(file, record) else file.sha256


def _unmoved(file: RawFile, record: Mapping[str, Any]) -> bool:
    return bool(file.size == record["size"] and file.mtime_ns == record["modified_ns"])


def _some(names: Iterable[str], most: int = 3) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
