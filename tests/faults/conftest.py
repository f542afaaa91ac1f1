"""Raw files, and `ehr` as processes on them."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bronze.synthetic import generate
from tests.conftest import ENGINE
from tests.faults.invocations import Invocations, serve
from tests.faults.lives import Known, Life, fed
from tests.integration.worlds import CHALLENGE, records, write_records

UNREADABLE = "00:10,HR\n"
# How processes are watched and harmed is Linux's way.
collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]


@pytest.fixture(scope="session")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Invocations:
    """The command line: `ehr("ingest", EHR_LAKE=...)`."""
    serve()
    return Invocations(tmp_path_factory.mktemp("logs"), {"EHR_ENGINE": ENGINE, "EHR_CORES": "2"})


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files of the Challenge, one line of which does not parse."""
    whole, raw = tmp_path_factory.mktemp("generated"), tmp_path_factory.mktemp("first")
    generate(whole, 40, 7)
    shutil.move(whole / CHALLENGE, raw / CHALLENGE)
    edit(raw, "a", lambda texts: {name: text + UNREADABLE * (i == 0) for i, (name, text) in enumerate(texts.items())})
    return raw


@pytest.fixture(scope="session")
def second(first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, corrected: a late value in one stay, another line that does not parse."""
    raw = tmp_path_factory.mktemp("second") / "raw"
    shutil.copytree(first, raw)
    late = {0: "47:59,HR,171\n", 1: UNREADABLE}
    edit(raw, "a", lambda texts: {name: text + late.get(i, "") for i, (name, text) in enumerate(texts.items())})
    return raw


def edit(raw: Path, record_set: str, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    """Writes a record set anew; `change` is given the text of each record."""
    tar = raw / CHALLENGE / f"set-{record_set}.tar.gz"
    write_records(tar, change(records(tar)))


@pytest.fixture(scope="session")
def whole(first: Path, second: Path, ehr: Invocations, tmp_path_factory: pytest.TempPathFactory) -> Known:
    """What bronze and silver hold after each delivery, of a machine that nothing is wrong with."""
    life, told = Life(tmp_path_factory.mktemp("whole") / "lake", ehr), []
    for raw in (first, second):
        fed(life, raw)
        told.append(life.contents.parts())
    return told
