"""Where the time of a run went: wall and CPU seconds by stage and by table or model, and the most memory it had.

An engine that is a process of its own counts too: what is measured is this process with all its descendants.
"""

import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

PROC = Path("/proc")
SHOWN_SHARE = 0.01
"""Tables and models that took less of the run's time are told together."""


@dataclass(frozen=True)
class Spent:
    """Wall and CPU seconds, and the rows that they gave (None: it gives no rows)."""

    name: str
    seconds: float
    cpu: float
    rows: int | None = None


@dataclass
class Stage:
    """One stage: what it took in all, and each table or model that was built in it."""

    name: str
    nodes: list[Spent] = field(default_factory=list)
    whole: Spent | None = None


@dataclass
class Profile:
    """Filled by the stages that ask for it: to measure is to look at every process of the machine."""

    stages: list[Stage] = field(default_factory=list)
    _began: tuple[float, float] = (0.0, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        stage, began = Stage(name), _clocks()
        self.stages.append(stage)
        yield
        stage.whole = _since(began, name)

    def start(self) -> None:
        """A table or model is begun."""
        if self.stages:
            self._began = _clocks()

    def end(self, name: str, rows: int | None = None) -> None:
        """What was begun last has been built."""
        if self.stages:
            self.stages[-1].nodes.append(_since(self._began, name, rows))

    def show(self, console: Console) -> None:
        """A row a stage, below it a row each table or model that took at least `SHOWN_SHARE` of the run."""
        table = RichTable(title="where the time went", header_style="bold", title_justify="left")
        table.add_column("stage")
        table.add_column("table or model")
        for column in ("rows", "seconds", "CPU s", "rows/s", "share"):
            table.add_column(column, justify="right")
        wholes = [stage.whole for stage in self.stages if stage.whole]
        all_of_it = Spent("all", sum(w.seconds for w in wholes), sum(w.cpu for w in wholes))
        for stage in self.stages:
            if stage.whole:
                table.add_row(stage.name, "", *_cells(stage.whole, all_of_it), style="bold")
                for spent in _shown(stage, all_of_it.seconds):
                    table.add_row("", escape(spent.name), *_cells(spent, all_of_it))
        table.add_section()
        table.add_row("all", "", *_cells(all_of_it, all_of_it))
        console.print(table)
        console.print(f"peak memory: {peak_memory() / 2**30:.2f} GiB")


def _shown(stage: Stage, total: float) -> list[Spent]:
    long = [spent for spent in stage.nodes if spent.seconds >= SHOWN_SHARE * total]
    short = [spent for spent in stage.nodes if spent.seconds < SHOWN_SHARE * total]
    if short:
        word = f"{len(short)} others" if long else f"{len(short)} in all"
        long.append(
            Spent(word, sum(s.seconds for s in short), sum(s.cpu for s in short), sum(s.rows or 0 for s in short))
        )
    assert stage.whole
    rest = Spent(
        "in between", *(getattr(stage.whole, of) - sum(getattr(s, of) for s in long) for of in ("seconds", "cpu"))
    )
    return [*long, rest] if rest.seconds >= SHOWN_SHARE * total else long


def _cells(spent: Spent, total: Spent) -> tuple[str, ...]:
    rows = "" if spent.rows is None else f"{spent.rows:,}"
    pace = f"{spent.rows / spent.seconds:,.0f}" if spent.rows and spent.seconds else ""
    share = f"{100 * spent.seconds / total.seconds:.0f} %" if total.seconds else ""
    return rows, f"{spent.seconds:.1f}", f"{spent.cpu:.1f}", pace, share


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), cpu_seconds()


def _since(began: tuple[float, float], name: str, rows: int | None = None) -> Spent:
    seconds, cpu = (now - then for now, then in zip(_clocks(), began, strict=True))
    return Spent(name, seconds, cpu, rows)


def cpu_seconds() -> float:
    """User and system seconds of this process and all its descendants, those that have ended included."""
    ticks = os.sysconf("SC_CLK_TCK")
    living = sum(sum(int(ticked) for ticked in of[11:15]) for of in _descendants().values())
    return sum(os.times()[:4]) + living / ticks


def peak_memory() -> int:
    """Bytes: the peaks of this process and of its living descendants added up, whether they met or not."""
    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return own + sum(_peak_of(pid) for pid in _descendants())


def _peak_of(pid: int) -> int:
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _descendants() -> dict[int, list[str]]:
    """Fields of /proc/<pid>/stat from the state on, by process; none where the system has no /proc."""
    stats = {}
    for path in PROC.glob("[0-9]*/stat"):
        try:
            stats[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
    found: dict[int, list[str]] = {}
    known = {os.getpid()}
    while new := {pid: stat for pid, stat in stats.items() if pid not in known and int(stat[1]) in known}:
        found |= new
        known |= set(new)
    return found
