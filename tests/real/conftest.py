"""One lake of the real files for all tests of this folder; made where EHR_RAW names their folder."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from jobs.context import Context
from jobs.featurize import featurize
from jobs.ingest import ingest
from jobs.refine import refine
from lakehouse.io import Lake
from lakehouse.records.ledger import Outcome
from lakehouse.settings import load_settings

STAGES = (ingest, refine, featurize)


@dataclass(frozen=True)
class RealLake:
    """The lake, how to go on with it, and what building it gave."""

    raw: Path
    lake: Lake
    context: Callable[[], Context]
    outcomes: list[Outcome]
    cpu_seconds: float

    def again(self) -> list[Outcome]:
        """The three stages once more, each a fresh invocation."""
        return [outcome for stage in STAGES for outcome in stage(self.context())]


@pytest.fixture(scope="session")
def real(real_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> RealLake:
    root = tmp_path_factory.mktemp("real") / "lake"

    def context() -> Context:
        settings = load_settings(raw=real_raw, lake=root, engine="sail")
        return Context.of(settings, Console(file=StringIO()))

    clock = time.process_time()
    outcomes = [outcome for stage in STAGES for outcome in stage(context())]
    return RealLake(real_raw, Lake(root), context, outcomes, time.process_time() - clock)
