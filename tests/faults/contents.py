"""What the tables of a lake hold, without what says only when and by which run: equal digests are equal rows."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from lakehouse.io import Lake
from lakehouse.records.ledger import Ledger

OF_THE_RUN = {
    "_ingested_at", "_batch_id", "_run_id", "scored_at", "run_id", "model_version", "feature_version", "trained_at",
}  # fmt: skip
Part = tuple[str, str]
"""A table, and the source whose rows are meant: '' where rows have none. The runner writes one such part at a time."""


class Contents:
    """Reads each version of a table once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: dict[tuple[str, str | None, int | None], dict[Part, str]] = {}

    def parts(self) -> dict[Part, str]:
        """A digest of the rows of each part of each table but those of `ops`. Parts without a row are left out."""
        lake, found = Lake(self._root), dict[Part, str]()
        for name in lake.names():
            if not name.startswith("ops."):
                version = (name, lake.table_id(name), lake.version(name))
                if version not in self._read:
                    self._read[version] = _digests(name, lake.read_arrow(name))
                found |= self._read[version]
        return found

    def files(self) -> dict[tuple[str, str], str]:
        """What the ledger says was read: the content of each file by table and name."""
        ledger = Ledger(Lake(self._root), "")
        names = [name for name in Lake(self._root).names() if name.startswith("bronze.")]
        return {(name, file): record["sha256"] for name in names for file, record in ledger.files(name).items()}


def _digests(name: str, table: pa.Table) -> dict[Part, str]:
    rows: dict[str, list[str]] = {}
    for row in table.to_pylist():
        said = repr([(key, _plain(value)) for key, value in sorted(row.items()) if key not in OF_THE_RUN])
        rows.setdefault(row.get("source") or "", []).append(said)
    return {(name, source): _digest(sorted(said)) for source, said in rows.items()}


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """The value without the digits of a float that depend on the order in which an engine adds."""
    if isinstance(value, float):
        return f"{round(value, 9) + 0.0:.9g}"
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {key: _plain(one) for key, one in value.items()} if isinstance(value, dict) else value
