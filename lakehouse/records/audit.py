"""Who read and wrote which version of which table, and why: `ops.audit`, to which rows are only ever added."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from lakehouse.table import Table

Access = Literal["read", "write"]
Accesses = dict[tuple[str, Access, int | None], datetime]
"""When a version of a table was first read or written, by table, access and version (None: an engine alone knows)."""

AUDIT = Table(
    name="ops.audit",
    description="One row a table that a run read or wrote, at each version: who, why and when.",
    key=("run_id", "table", "access", "version", "at"),
    mode="append",
    ddl="""
    run_id STRING NOT NULL COMMENT 'the run',
    who STRING NOT NULL COMMENT 'setting user, else the user of the operating system',
    verb STRING NOT NULL COMMENT 'why: what was asked for, such as score or sql',
    access STRING NOT NULL COMMENT 'read or write',
    table STRING NOT NULL COMMENT 'layer.table; the lake''s own tables are not told of',
    version BIGINT COMMENT 'version that was read, or that was left; null: the engine did not tell',
    at TIMESTAMP NOT NULL COMMENT 'when it was first done in this run, UTC'
    """,
)


class Audited(ABC):
    """Remembers which tables were read and written since the last entry in `ops.audit`; the lake's own are no data."""

    def __init__(self) -> None:
        self.accesses: Accesses = {}

    @abstractmethod
    def version(self, name: str) -> int | None:
        """The table's current version, or None where there is no such table."""

    def note(self, name: str, access: Access, version: int | None = None) -> None:
        """Remembers an access; to the current version unless one is given."""
        if not name.startswith("ops."):
            key = (name, access, self.version(name) if version is None else version)
            self.accesses.setdefault(key, datetime.now(UTC))


def records_of(accesses: Mapping[tuple[str, Access, int | None], datetime], **run: str) -> list[dict[str, object]]:
    """Rows of `ops.audit`; `run` is run_id, who and verb."""
    return [
        {**run, "table": table, "access": access, "version": version, "at": at}
        for (table, access, version), at in accesses.items()
    ]
