"""The life of a lake: two deliveries of raw files, each fed by `ehr run`, killed on the way or not."""

import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from jobs.context import Context
from jobs.operations.check import Checked, check
from jobs.sql import query_duckdb
from lakehouse.io import Lake
from lakehouse.settings import load_settings
from tests.conftest import ENGINE
from tests.faults.contents import Contents, Part
from tests.faults.invocations import Ended, Invocations, Running
from tests.faults.watch import Watch

Known = list[dict[Part, str]]
"""What may be in the tables, one for each state that they may be in."""


@dataclass(frozen=True)
class Moment:
    """When a process dies: once so many files have appeared in the lake since it started, and seconds after that."""

    files: int
    delay: float


@dataclass(frozen=True)
class Killed:
    """Where it was: the last file that had appeared."""

    moment: Moment
    seen: int
    last: str


@dataclass
class Life:
    """One lake."""

    root: Path
    ehr: Invocations
    journals: bool = False
    """Whether journals of the registry's database count as files: it writes more of them than there are other files."""
    contents: Contents = field(init=False)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self.contents = Contents(self.root)

    @property
    def lake(self) -> Lake:
        return Lake(self.root)

    def start(self, raw: Path, *verb: str, trouble: str | None = None, **environment: str) -> Running:
        """`ehr run`, or another verb."""
        here = {"EHR_LAKE": str(self.root), "EHR_RAW": str(raw), **environment}
        return self.ehr.start(*(verb or ("run",)), trouble=trouble, **here)

    def run(self, raw: Path, *verb: str, trouble: str | None = None, **environment: str) -> Ended:
        """To its end, which is a good one."""
        ended = self.start(raw, *verb, trouble=trouble, **environment).wait()
        assert ended.code == 0, ended.said
        return ended

    def counted(self, raw: Path, trouble: str | None = None, **environment: str) -> int:
        """`ehr run` to its end; how many files appeared."""
        with Watch(self.root) as watch:
            running, files = self.start(raw, trouble=trouble, **environment), 0
            while not running.ended:
                files += len(self._of(watch.appeared(0.5)))
            files += len(self._of(watch.appeared(0)))
        ended = running.wait()
        assert ended.code == 0, ended.said
        return files

    def killed(self, raw: Path, moment: Moment, *verb: str, **environment: str) -> Killed | Ended:
        """`ehr run` or another verb, killed at that moment, or its end where that came first."""
        with Watch(self.root) as watch:
            running, files = self.start(raw, *verb, **environment), list[Path]()
            while not running.ended and len(files) < moment.files:
                files += self._of(watch.appeared(0.5))
            time.sleep(moment.delay)
            running.kill()
        ended = running.wait()
        last = str(files[-1].relative_to(self.root)) if files else "nothing"
        return Killed(moment, len(files), last) if ended.code == -signal.SIGKILL else ended

    def _of(self, files: list[Path]) -> list[Path]:
        return [file for file in files if self.journals or not file.name.endswith("-journal")]

    def context(self, raw: Path | None = None) -> Context:
        """An invocation in this process, whose output goes nowhere."""
        return Context.of(load_settings(lake=self.root, raw=raw, engine=ENGINE, cores=2), Console(quiet=True))

    def checked(self) -> Checked:
        """What `ehr check` finds."""
        return check(self.context())

    def broken(self, may_be: Known) -> list[str]:
        """In words, what is wrong with the lake as it is: promises that `ehr check` finds broken, parts of tables that
        are none of those that they `may_be`, tables that no query can read."""
        found = []
        for part, digest in self.contents.parts().items():
            if digest not in [known.get(part) for known in may_be]:
                found.append(f"{part} holds other rows than an undisturbed run leaves")
        if not self.lake.exists("ops.runs"):
            return found
        found += [f"{one.table} {one.promise}: {one.text}" for one in self.checked().findings]
        counts = " union all ".join(f"select count(*) as n from {name}" for name in self.lake.names())
        read = query_duckdb(self.lake, f"select sum(n) as n from ({counts})").to_pylist()[0]["n"]
        if read != sum(self.lake.row_count(name) for name in self.lake.names()):
            found.append("a query reads other rows than the log of the tables has")
        return found


def fed(life: Life, raw: Path) -> None:
    """Raw files to silver."""
    life.run(raw, "ingest")
    life.run(raw, "refine")


def moments(seed: int, kills: int, files: int) -> Iterator[Moment]:
    """`kills` moments of runs that together write about so many `files`, each early enough, most of the time, for the
    next ones to find work left."""
    draw = random.Random(seed)
    left = files
    for number in range(kills, 0, -1):
        at = max(1, round(draw.uniform(0.2, 1.3) * left / number))
        delay = draw.choice((0, 0, 0, draw.uniform(0, 0.02), draw.uniform(0, 0.4)))
        yield Moment(at, delay)
        left = max(number, left - at)
