"""The project as a person runs it: a raw folder, a lake with pseudonyms, and the command line as processes."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bronze.synthetic import generate
from lakehouse.io import Lake

ROOT = Path(__file__).resolve().parents[2]
KEY = "a made-up key that is nowhere else"
PATIENTS = 200


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Site:
    """A raw folder, a lake, and the command line as processes whose settings come from the environment."""

    raw: Path
    root: Path
    warm_ehr: Path
    first: Ended

    @property
    def lake(self) -> Lake:
        return Lake(self.root / "lake")

    def ehr(self, *arguments: str) -> Ended:
        return process(self.root, self.raw, self.warm_ehr, *arguments)

    def versions(self) -> dict[str, int | None]:
        """Of all tables but the audit, which tells of each call."""
        return {name: self.lake.version(name) for name in self.lake.names() if name != "ops.audit"}


def ehr(root: Path, raw: Path, *arguments: str, key: str | None = KEY) -> Ended:
    """`ehr` as a process that imports all that it needs."""
    return process(root, raw, sys.executable, "-m", "jobs.cli", *arguments, key=key)


def process(root: Path, raw: Path, *command: str | Path, key: str | None = KEY) -> Ended:
    known = {k: v for k, v in os.environ.items() if not k.startswith("EHR_")}
    # One core: networks of so few stays are trained before other processes have started.
    told = {
        "EHR_RAW": str(raw), "EHR_LAKE": str(root / "lake"), "EHR_PRESET": "quick", "EHR_TRAIN_SECONDS": "1",
        "EHR_CORES": "1",
    }  # fmt: skip
    if key:
        told["EHR_PSEUDONYM_KEY"] = key
    done = subprocess.run(
        command, cwd=root, env={**known, **told, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def made_site(root: Path, warm_ehr: Path) -> Site:
    """Raw files of all sources, and what `ehr run` made of them."""
    raw = root / "raw"
    generate(raw, PATIENTS, 5)
    first = process(root, raw, warm_ehr, "run")
    assert first.code == 0, first.err
    return Site(raw, root, warm_ehr, first)
