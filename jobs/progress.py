"""What a person sees of a long run: the table at work with its seconds, a line when it ends, a summary at the end."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable

from jobs.profiling import Profile
from lakehouse.records.ledger import Outcome

QUIET = 30.0  # seconds between two lines of a training, in a log
_MARKS = {"built": "[green]✓", "unchanged": "[dim]=", "skipped": "[dim]-", "failed": "[red]✗"}


class _Spinner:
    """On a terminal, what is at work with its seconds and what comes next; elsewhere nothing but the printed lines.

    `profile` is told when each begins and ends.
    """

    def __init__(self, console: Console, names: Sequence[str] = (), profile: Profile | None = None) -> None:
        self._console = console
        self._names = list(names)
        self._profile = profile or Profile()
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def _show(self, name: str) -> None:
        self._profile.start()
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(escape(f"{name}{self._next(name)}"), total=None)

    def _next(self, name: str) -> str:
        if name not in self._names:
            return ""
        following = self._names[self._names.index(name) + 1 :]
        return f"  (next: {following[0]})" if following else "  (the last of this stage)"


class StageProgress(_Spinner):
    """A stage's progress; used as the listener of the runner and of ingestion: a line when a table is done."""

    def __call__(self, node: str, outcome: Outcome | None) -> None:
        if outcome is None:
            self._show(node)
        elif outcome.status != "skipped":
            if outcome.status == "built":
                self._profile.end(node, outcome.rows_out)
            self._console.print(self._line(outcome))

    @staticmethod
    def _line(outcome: Outcome) -> str:
        rows = f"{outcome.rows_out:>11,} rows"
        extra = f"  [yellow]{outcome.rows_quarantined:,} quarantined[/]" if outcome.rows_quarantined else ""
        seconds = f"{outcome.seconds:6.1f} s" if outcome.status == "built" else " " * 8
        note = f"  [yellow]{escape(outcome.note)}[/]" if outcome.note else ""
        # Padded first: escaping adds characters that are not shown.
        return f"  {_MARKS[outcome.status]}[/] {escape(f'{outcome.node:<42}')} {rows} {seconds}{extra}{note}"


@dataclass(frozen=True)
class Doing:
    """Where a model's training is: in words, seconds left (at most), and whether a part of it has just been done."""

    text: str
    left: float
    part_done: bool


class Done(Protocol):
    """A model that is fitted: what was tried for it, and how long that took."""

    @property
    def trials(self) -> list[dict[str, Any]]: ...
    @property
    def seconds(self) -> float: ...


class ModelProgress(_Spinner):
    """The progress of a training: where it is, with its loss and the time left, and a line when a model is done.

    Where there is no terminal, a long training says in between that it lives: a line when a fold or a trial ends, no
    more often than every QUIET seconds.
    """

    def __init__(self, console: Console, names: Sequence[str] = (), profile: Profile | None = None) -> None:
        super().__init__(console, names, profile)
        self._spoken = time.monotonic()

    def __call__(self, name: str, news: Done | Doing | None) -> None:
        if news is None:
            self._show(name)
        elif isinstance(news, Doing):
            self._doing(name, news)
        else:
            self._profile.end(name)
            tried = f"{len(news.trials):>3} trials" if news.trials else " " * 10
            self._print(f"  {_MARKS['built']}[/] {name:<12} {tried} {news.seconds:8.1f} s")

    def _doing(self, name: str, news: Doing) -> None:
        text = f"{name}: {news.text}, {remaining(news.left)}"
        if self._console.is_terminal:
            if self._task is not None:
                self._progress.update(self._task, description=escape(text))
        elif news.part_done and time.monotonic() - self._spoken >= QUIET:
            self._print(f"    {escape(text)}")

    def _print(self, line: str) -> None:
        self._console.print(line)
        self._spoken = time.monotonic()


def remaining(seconds: float) -> str:
    """Seconds to go, in words: about as exact as they are known."""
    if seconds < 1:
        return "nearly done"
    return f"{seconds:.0f} s left" if seconds < 100 else f"{seconds / 60:.0f} min left"


def summary(console: Console, stages: Iterable[tuple[str, Sequence[Outcome], float]], hint: str) -> None:
    """The table at the end of a run: a row a stage, then where to look next."""
    table = RichTable(title=None, header_style="bold")
    table.add_column("stage")
    for column in ("tables", "built", "unchanged", "rows in", "rows out", "left out", "quarantined", "seconds"):
        table.add_column(column, justify="right")
    total = 0.0
    for stage, outcomes, seconds in stages:
        there = [o for o in outcomes if o.status != "skipped"]
        built = [o for o in there if o.status == "built"]
        cells = [
            len(there),
            len(built),
            len(there) - len(built),
            sum(o.rows_in for o in built),
            sum(o.rows_out for o in built),
            sum(o.rows_left_out for o in built),
            sum(o.rows_quarantined for o in there),
        ]
        table.add_row(stage, *(f"{cell:,}" for cell in cells), f"{seconds:.1f}")
        total += seconds
    table.add_section()
    table.add_row("all", *[""] * 7, f"{total:.1f}")
    console.print(table)
    console.print(hint)
