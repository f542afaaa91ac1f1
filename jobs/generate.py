"""Raw files of all sources, generated in their published formats."""

from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bronze.synthetic import generate as write_raw
from jobs.context import Context


def generate(context: Context, out: Path, patients: int, seed: int) -> dict[str, int]:
    """Writes the files below `out`; rows by table."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=context.console, transient=True) as progress:
        bars = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total)
            progress.update(bars[what], completed=done, total=total)

        rows = write_raw(out, patients, seed, on_progress=show)
    context.console.print(f"generated {sum(rows.values()):,} rows in {len(rows)} tables below {out}")
    return rows
