"""The fuzzer at length: `python -m tests.fuzz.soak`, CASES cases (500) of SEED (drawn, and printed).

Prints a table by mutation and, for each promise that was broken, the case that broke it; exit code 1 if there is one.
`python -m tests.fuzz.soak SEED-NUMBER ...` runs cases again.
"""

import os
import secrets
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bronze.synthetic import generate
from jobs.ingest import ingest
from jobs.refine import refine
from tests.fuzz.cases import Case, Result, cases, context_of

STAGES_EVERY = 10
SAID_EVERY = 25
_CHALLENGE_STAYS = 6


def soak(some: Iterable[Case], folder: Path) -> Iterator[Result]:
    """Runs the cases one after another on one small lake of all sources; an unexpected error is a fault as well."""
    generate(folder / "raw", _CHALLENGE_STAYS, seed=3)
    ingest(context_of(folder))
    refine(context_of(folder))
    for case in some:
        here = folder / case.seed
        try:
            yield case.run(folder / "raw", folder / "lake", here)
        except Exception as error:
            yield Result(case.seed, case.mutation.name, "", faults=[f"{type(error).__name__}: {error}"])
        shutil.rmtree(here)


def summary(results: Iterable[Result]) -> Table:
    """Cases by mutation: how many were refused, how many taken, what became of the rows of these."""
    view = Table("mutation", *("cases", "refused", "taken", "rows", "quarantined", "faults"), header_style="bold")
    view.columns[0].no_wrap = True
    for column in view.columns[1:]:
        column.justify = "right"
    of: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        of[result.mutation].append(result)
        of["~"].append(result)
    for name, group in sorted(of.items()):
        refused = sum(bool(result.error) for result in group)
        counts = (
            len(group), refused, len(group) - refused, sum(r.rows for r in group), sum(r.quarantined for r in group),
            sum(bool(r.faults) for r in group),
        )  # fmt: skip
        if name == "~":
            view.add_section()
        view.add_row("all" if name == "~" else name, *(f"{n:,}" for n in counts))
    return view


def chosen(arguments: list[str]) -> Iterator[Case]:
    """The cases named, or as many as asked for by the environment."""
    if not arguments:
        seed = int(os.environ.get("SEED") or secrets.randbelow(10**6))
        yield from cases(seed, int(os.environ.get("CASES") or 500), STAGES_EVERY)
    for name in arguments:
        seed, number = map(int, name.split("-"))
        yield list(cases(seed, number + 1, STAGES_EVERY))[number]


def main() -> int:
    console, results = Console(width=110), []
    with tempfile.TemporaryDirectory() as folder:
        for result in soak(chosen(sys.argv[1:]), Path(folder)):
            results.append(result)
            for fault in result.faults:
                console.print(f"[red]{result.seed}[/] {result.mutation}: {escape(fault)} ({escape(result.file)})")
            if len(results) % SAID_EVERY == 0:
                console.print(f"{len(results)} cases so far, {sum(bool(one.faults) for one in results)} with a fault")
    console.print(summary(results))
    console.print(f"seed {results[0].seed.partition('-')[0]}")
    return int(any(result.faults for result in results))


if __name__ == "__main__":
    sys.exit(main())
