"""The version of the code behind a table: a digest of its module and of every project module that it imports."""

import ast
import hashlib
import importlib.util
import json
from functools import cache
from pathlib import Path

LAYERS = ("bronze", "silver", "gold")
VERSIONED = (*LAYERS, "models")


def code_version(*modules: str) -> str:
    """Twelve hex digits that change when the source of `modules`, or of a layer module they import, changes.

    The frame itself is left out: a change to how rows are written does not change which rows they are.
    """
    sources: dict[str, bytes] = {}
    for module in modules:
        _collect(module, sources)
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(name.encode() + b"\0" + sources[name] + b"\0")
    return digest.hexdigest()[:12]


def digest_of(parts: object) -> str:
    """Sixteen hex digits of plain values, whatever the order of keys: what a fingerprint is made of."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _collect(module: str, sources: dict[str, bytes]) -> None:
    if module in sources or module.split(".", maxsplit=1)[0] not in VERSIONED:
        return
    path = source_file(module)
    if path is None:
        return
    sources[module] = path.read_bytes()
    for imported in imports_of(path):
        _collect(imported, sources)


@cache
def source_file(module: str) -> Path | None:
    """The file of a module, or None where there is none of that name."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin else None


@cache
def imports_of(path: Path) -> tuple[str, ...]:
    """Absolute names that a file imports, `from package import name` given both ways, in source order."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(dict.fromkeys(names))
