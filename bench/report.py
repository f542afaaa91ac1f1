"""What was measured, as a Markdown table and as a drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Measured

LINEAR_FROM = 12_000
"""Challenge records from which on the cost of starting no longer counts; for MIMIC, the smallest size."""
COLOURS = {"polars": "#8c8c8c", "sail": "#1f77b4", "spark": "#d95f02"}


@dataclass(frozen=True)
class Result:
    """The median of one program's runs on one raw folder."""

    work: str
    records: int
    program: str
    measured: Measured


def table(results: Sequence[Result]) -> str:
    """Markdown: a row a program and size, with its ratios to polars and to the same program at `LINEAR_FROM`."""
    header = (
        "input",
        "program",
        "wall s",
        "CPU s",
        "peak GiB",
        "records/min",
        "CPU / polars",
        "wall / polars",
        "CPU / linear",
    )
    rows = [_row(result, results) for result in results]
    lines = [header, ("---", "---", *["---:"] * (len(header) - 2)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(result: Result, results: Sequence[Result]) -> tuple[str, ...]:
    of, challenge = result.measured, result.work == "Challenge"
    polars = _find(results, result.work, result.records, "polars")
    least = LINEAR_FROM if challenge else min(r.records for r in results if r.work == result.work)
    base = _find(results, result.work, least, result.program)
    linear = base.measured.cpu * result.records / base.records if base and result.records > base.records else None
    return (
        f"{result.records:,} records" if challenge else f"MIMIC demos x {result.records}",
        result.program,
        f"{of.seconds:.1f}",
        f"{of.cpu:.1f}",
        f"{of.peak_bytes / 2**30:.2f}",
        f"{result.records / of.seconds * 60:,.0f}" if challenge else "",
        f"{of.cpu / polars.measured.cpu:.2f}" if polars and polars is not result else "",
        f"{of.seconds / polars.measured.seconds:.2f}" if polars and polars is not result else "",
        f"{of.cpu / linear:.2f}" if linear else "",
    )


def _find(results: Sequence[Result], work: str, records: int, program: str) -> Result | None:
    return next((r for r in results if (r.work, r.records, r.program) == (work, records, program)), None)


def draw(results: Sequence[Result], to: Path) -> None:
    """CPU seconds and peak memory against Challenge records, a line a program; both axes of the first logarithmic."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (not needed for the table)

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    cost, memory = figure.subplots(1, 2)
    for program in dict.fromkeys(result.program for result in results):
        own = [r for r in results if r.program == program and r.work == "Challenge"]
        records = [r.records for r in own]
        style = {"marker": "o", "color": COLOURS.get(program), "label": program}
        cost.plot(records, [r.measured.cpu for r in own], **style)
        memory.plot(records, [r.measured.peak_bytes / 2**30 for r in own], **style)
        if own:
            last = own[-1]
            line = [last.measured.cpu * n / last.records for n in records]
            cost.plot(records, line, linestyle=":", linewidth=1, color=COLOURS.get(program))
    cost.set(xscale="log", yscale="log", xlabel="records", ylabel="CPU seconds, raw to gold")
    cost.set_title("dotted: in proportion to records", fontsize=9)
    memory.set(xscale="log", xlabel="records", ylabel="peak memory, GiB", ylim=(0, None))
    sizes = sorted({r.records for r in results if r.work == "Challenge"})
    for axes in (cost, memory):
        axes.grid(alpha=0.3)
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
        axes.set_xticks([], minor=True)
        axes.legend(frameon=False)
    to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(to, dpi=150)
