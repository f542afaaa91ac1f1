"""Folders of plain files that are whole or not there, with a manifest that holds the digest of each."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lakehouse.errors import ConfigError, ContractError

MANIFEST = "manifest.json"
VOLUMES = Path("/Volumes")
"""Where Databricks has its volumes: files are written there from start to end, so no archive and no database."""


@contextmanager
def sealed(folder: Path, manifest: dict[str, Any]) -> Iterator[Path]:
    """A temporary folder to be filled; at the end it gets `manifest` with the files' digests, and the name `folder`.

    Whatever goes wrong before leaves nothing behind. ConfigError where `folder` is there already.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already and not empty: name another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    in_volume = folder.is_relative_to(VOLUMES)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=None if in_volume else folder.parent))
    try:
        yield temporary
        files = {path.relative_to(temporary).as_posix(): sha256(path) for path in _files(temporary)}
        (temporary / MANIFEST).write_text(json.dumps({**manifest, "files": files}, indent=2) + "\n")
        temporary.chmod(0o750)  # identifiers are pseudonyms, but the measurements are a patient's own
        if in_volume:
            _carry(temporary, folder)
        else:
            temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _carry(temporary: Path, folder: Path) -> None:
    """Copies what is whole, the manifest last, as without it `opened` refuses the folder; all of it or nothing."""
    try:
        for path in sorted(_files(temporary), key=lambda path: path == temporary / MANIFEST):
            target = folder / path.relative_to(temporary)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(temporary)


def opened(folder: Path) -> dict[str, Any]:
    """The manifest of a sealed folder; ContractError naming the file that is missing or not as it was written."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ContractError(f"{folder} has no {MANIFEST}: it was not written whole, or is another folder.")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        files = dict(manifest["files"])
    except (ValueError, KeyError, TypeError):
        raise ContractError(f"{path} is no manifest of a folder that ehr wrote.") from None
    for name, digest in files.items():
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
            raise ContractError(f"{file} is missing, though {path} lists it.")
        if sha256(file) != digest:
            raise ContractError(f"{file} is not the file that was written: its SHA-256 is not that of {path}.")
    return manifest


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
