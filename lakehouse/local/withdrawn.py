"""Tables that a restore took out of a local lake: kept aside whole, so that a later restore can bring them back."""

import shutil
import time
from contextlib import suppress
from pathlib import Path

from deltalake import DeltaTable

from lakehouse.errors import ContractError

FOLDER = "_withdrawn"


def withdraw(root: Path, name: str, location: Path, label: str) -> None:
    """Takes the folder of a table away from readers; `label` says which run did."""
    aside = root / FOLDER / label / name
    aside.parent.mkdir(parents=True, exist_ok=True)
    location.rename(aside)


def find(root: Path, name: str, table_id: str) -> Path | None:
    """Where the withdrawn table of that name and identity lies."""
    found = sorted((root / FOLDER).glob(f"*/{name}"))
    return next((path for path in found if str(DeltaTable(str(path)).metadata().id) == table_id), None)


def recall(root: Path, name: str, location: Path, table_id: str) -> None:
    """Brings it back; ContractError where it is gone."""
    aside = find(root, name, table_id)
    if aside is None:
        raise ContractError(f"{name} was withdrawn from the lake and is gone.")
    location.parent.mkdir(parents=True, exist_ok=True)
    aside.rename(location)
    with suppress(OSError):  # other tables were withdrawn with it
        aside.parent.rmdir()


def forget(root: Path, retention_hours: float) -> int:
    """Deletes what was withdrawn longer ago than that; how many tables."""
    oldest = time.time() - retention_hours * 3600
    old = [path for path in (root / FOLDER).glob("*/*") if path.parent.stat().st_mtime < oldest]
    for path in old:
        shutil.rmtree(path)
    for folder in {path.parent for path in old}:
        folder.rmdir()
    return len(old)
