"""Small generated raw folders, and the command line as a function."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from warm import served

from bronze.synthetic import generate
from jobs.context import Context
from jobs.featurize import featurize
from jobs.ingest import ingest
from jobs.refine import refine
from lakehouse.settings import load_settings
from models.registry import Registry
from tests.conftest import ENGINE
from tests.integration.made_site import Site, made_site
from tests.integration.operated import OperatedLake


@pytest.fixture(scope="session")
def generated_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files of all sources for 60 Challenge stays; never written to: copy it to change it."""
    folder = tmp_path_factory.mktemp("generated")
    generate(folder, 60, 11)
    return folder


@pytest.fixture(scope="session")
def refined_lake(generated_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of the generated files, bronze and silver; never written to: copy it to go on with it."""
    lake = tmp_path_factory.mktemp("refined") / "lake"
    ingest(quiet_context(generated_raw, lake))
    refine(quiet_context(generated_raw, lake))
    return lake


@pytest.fixture(scope="session")
def featurized_lake(refined_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That lake with its gold; never written to either."""
    lake = Path(shutil.copytree(refined_lake, tmp_path_factory.mktemp("featurized") / "lake"))
    featurize(quiet_context(lake, lake))
    return lake


@pytest.fixture(scope="session")
def warm_ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An `ehr` for which no process imports its libraries anew."""
    with served(tmp_path_factory.mktemp("warm")) as ehr:
        yield ehr


@pytest.fixture(scope="session")
def site(warm_ehr: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A finished lake with quick models and predictions. `test_whole_run.py`, the last that uses it, changes it."""
    return made_site(tmp_path_factory.mktemp("site"), warm_ehr)


def quiet_context(raw: Path, lake: Path) -> Context:
    """An invocation whose output goes nowhere."""
    return Context.of(load_settings(raw=raw, lake=lake, engine=ENGINE, cores=2), Console(quiet=True))


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


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a registry in which nothing is, to be copied: to make one takes longer than a training here."""
    folder = tmp_path_factory.mktemp("registry")
    Registry(f"sqlite:///{folder}/mlflow.db", folder / "artifacts", "mortality")
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def recorded_lake(generated_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bronze and silver of one source, by one run; never written to."""
    lake = tmp_path_factory.mktemp("recorded") / "lake"
    OperatedLake(generated_raw, lake, quiet_context).refresh()
    return lake


@pytest.fixture
def operated(raw: Path, recorded_lake: Path, tmp_path: Path, context_of: Callable[..., Context]) -> OperatedLake:
    """A copy of that lake and of its raw files."""
    return OperatedLake(raw, Path(shutil.copytree(recorded_lake, tmp_path / "lake")), context_of)
