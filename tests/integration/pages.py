"""A page of `docs/` taken at its word: the files and commands that it shows, done in a copy of the project."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("lakehouse", "bronze", "silver", "gold", "models", "jobs", "conf")

_FILE = re.compile(r"^`(?P<path>[\w./-]+)`(?P<added>, these lines added)?:\n\n```\w*\n(?P<text>.*?)^```$", re.M | re.S)
_COMMANDS = re.compile(r"^```\n(?P<text>ehr .*?)^```$", re.M | re.S)
_PRINTS = re.compile(r"^`ehr (?P<command>[^`]+)` prints[^\n]*:\n\n```\w*\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Project:
    """A copy of the project's packages in `root`, in which a page's files are written."""

    root: Path
    page: str
    warm_ehr: Path

    @classmethod
    def of(cls, root: Path, page: str, warm_ehr: Path) -> "Project":
        for package in PACKAGES:
            shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
        return cls(root, (ROOT / "docs" / page).read_text(), warm_ehr)

    def write_files(self) -> list[str]:
        """Writes every file that the page shows; their paths."""
        paths = []
        for block in _FILE.finditer(self.page):
            path = self.root / block["path"]
            assert path.exists() == bool(block["added"]), f"{block['path']} is to be made anew, or to be added to"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(block["text"])
            paths.append(block["path"])
        return paths

    def commands(self) -> list[list[str]]:
        """Arguments of the commands that the page says to run, in order."""
        return [line.split()[1:] for block in _COMMANDS.finditer(self.page) for line in block["text"].splitlines()]

    def prints(self) -> list[tuple[list[str], str]]:
        """Commands whose output the page shows, with it."""
        split = re.compile(r'"([^"]*)"|(\S+)')
        return [
            ([a or b for a, b in split.findall(block["command"])], block["text"])
            for block in _PRINTS.finditer(self.page)
        ]

    def ehr(self, *arguments: str, **variables: str) -> str:
        """Runs the copy's command line as a process; what it printed on both streams."""
        known = {k: v for k, v in os.environ.items() if not k.startswith("EHR_")}
        done = subprocess.run(
            [self.warm_ehr, *arguments], cwd=self.root, env={**known, "PYTHONPATH": str(self.root), **variables},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr
