"""Small generated raw folders, and the command line as a function."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from bronze.synthetic import generate
from jobs.context import Context
from lakehouse.settings import load_settings
from tests.conftest import ENGINE


@pytest.fixture(scope="session")
def generated_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files of all sources for 60 Challenge stays; never written to: copy it to change it."""
    folder = tmp_path_factory.mktemp("generated")
    generate(folder, 60, 11)
    return folder


@pytest.fixture
def raw(generated_raw: Path, tmp_path: Path) -> Path:
    """A copy of the generated files that the test may change."""
    return Path(shutil.copytree(generated_raw, tmp_path / "raw"))


@pytest.fixture
def context_of(tmp_path: Path) -> Callable[..., Context]:
    """`context_of(raw)` is a fresh invocation against `<tmp>/lake`, its output kept in `context.console.file`."""

    def make(raw: Path | None = None, lake: Path | None = None) -> Context:
        settings = load_settings(raw=raw, lake=lake or tmp_path / "lake", engine=ENGINE, cores=2)
        return Context.of(settings, Console(record=True, width=160, quiet=False, file=(tmp_path / "log").open("a")))

    return make
