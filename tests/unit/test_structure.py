"""The house in order: imports run one way, in no circle, and no file grows past what one can hold in mind."""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from lakehouse.code import imports_of

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {
    "lakehouse": set(),
    "bronze": {"lakehouse"},
    "silver": {"lakehouse", "bronze"},
    "gold": {"lakehouse", "bronze", "silver"},
    "models": {"lakehouse"},
    "jobs": {"lakehouse", "bronze", "silver", "gold", "models"},
}
MODELS_MAY_IMPORT = {"lakehouse.settings", "lakehouse.errors"}
MOST_LINES = 300


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))}


def project_imports(name: str) -> set[str]:
    """Modules of the project that a module imports: `from silver import cleaning` is silver.cleaning."""
    named = {i for i in imports_of(FILES[name]) if i.split(".")[0] in MAY_IMPORT}
    modules = {i if i in FILES else i.rpartition(".")[0] for i in named}
    return {m for m in modules if not any(n.startswith(f"{m}.") and n in FILES for n in named)} - {name}


def test_the_walk_finds_the_house() -> None:
    assert {name.split(".")[0] for name in FILES} == set(MAY_IMPORT)
    assert project_imports("lakehouse.tasks") == {"lakehouse.errors", "lakehouse.settings"}
    assert "silver.derived" in project_imports("silver.events"), "from silver import derived"


def test_no_verb_is_called_like_a_module_of_python() -> None:
    """spark-submit puts the folder of the file that it starts before everything else."""
    assert not {path.stem for path in (ROOT / "jobs").glob("*.py")} & sys.stdlib_module_names - {"__init__"}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_run_one_way(package: str) -> None:
    back = {
        f"{name} imports {imported}"
        for name in FILES
        if name.split(".")[0] == package
        for imported in imports_of(FILES[name])
        if imported.split(".")[0] in MAY_IMPORT.keys() - MAY_IMPORT[package] - {package}
    }
    assert not back


def test_models_know_no_session_and_no_lake() -> None:
    names = [name for name in FILES if name.split(".")[0] == "models"]
    frame = {f"{n} imports {i}" for n in names for i in project_imports(n) if i.split(".")[0] == "lakehouse"}
    assert frame <= {f"{n} imports {i}" for n in names for i in MODELS_MAY_IMPORT}
    spark = {f"{n} imports {i}" for n in names for i in imports_of(FILES[n]) if i.split(".")[0] in ("pyspark", "delta")}
    assert not spark


def test_layers_open_no_session_and_read_no_table() -> None:
    """A layer's function gets frames and gives a frame; IO is the frame's and the jobs'."""
    forbidden = {
        f"lakehouse.{name}" for name in ("io", "session", "commit", "runner", "ledger", "ingestion", "registry")
    }
    found = {
        f"{name} imports {imported}"
        for name in FILES
        if name.split(".")[0] in ("bronze", "silver", "gold")
        for imported in project_imports(name) & forbidden
    }
    assert not found


def test_no_two_modules_import_one_another() -> None:
    try:
        TopologicalSorter({name: project_imports(name) for name in FILES}).prepare()
    except CycleError as error:
        pytest.fail(f"imports run in a circle: {' -> '.join(error.args[1])}")


def test_imports_are_absolute() -> None:
    """The version of the code behind a table follows absolute imports alone."""
    relative = {
        name
        for name, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    }
    assert not relative


def test_files_stay_small() -> None:
    lines = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert {name: n for name, n in lines.items() if n > MOST_LINES} == {}


@pytest.mark.parametrize("name", FILES)
def test_every_module_says_what_it_is(name: str) -> None:
    text = FILES[name].read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{name} has no docstring"
