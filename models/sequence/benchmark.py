"""What a training step costs by encoder and by length: made-up stays, one machine, one run, medians.

python -m models.sequence.benchmark                       all encoders, of equal width, at 48 and 215 steps
python -m models.sequence.benchmark --irregular           the same with gaps of their own
python -m models.sequence.benchmark --scaling --plot FILE lengths to 10,000, and a drawing of cost against length
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from models.sequence.encoders import ENCODERS
from models.sequence.networks import NETWORK, RiskNetwork
from models.sequence.tensors import Batch
from models.sequence.training import device_of, threads

INPUTS, STATICS, STATISTICS = 111, 11, 360  # 37 channels
LENGTHS = (48, 215)  # the hourly grid of two days; the longest irregular sequences
SCALING = (48, 100, 215, 500, 1_000, 2_000, 5_000, 10_000)
SCALING_STAYS = 8
SLOWEST_MS = 600.0  # an encoder whose step takes longer is asked for no greater length
FITTED_FROM = 1_000  # steps from which on cost is work alone, and an exponent means something


class Timing(NamedTuple):
    """Forward, backward and update of one batch."""

    encoder: str
    length: int
    gaps: str
    parameters: int
    median_ms: float
    fastest_ms: float
    stays_a_second: float


def made_up_batch(size: int, length: int, equal: bool, device: torch.device, seed: int = 0) -> Batch:
    """`size` stays of `length` steps, an hour apart or at exponential gaps."""
    g = torch.Generator().manual_seed(seed)
    gaps = torch.ones(1, 1) if equal else -torch.log(torch.rand(length, size, generator=g).clamp(min=1e-6))
    parts = [
        torch.randn(length, size, INPUTS, generator=g),
        gaps,
        torch.ones(length, size, dtype=torch.bool),
        torch.randn(size, STATICS, generator=g),
        torch.randn(size, STATISTICS, generator=g),
    ]
    return Batch(*(part.to(device) for part in parts))


def step_times(
    encoders: Iterable[str],
    lengths: Iterable[int],
    *,
    equal: bool = True,
    size: int = 64,
    repeats: int = 20,
    settings: Mapping[str, Any] = NETWORK,
    device: str = "auto",
    cores: int = 1,
) -> list[Timing]:
    """A row an encoder and length. Encoders take turns, so that whatever else the machine does slows all alike; on one
    CPU core the clock is the process's own, and what others take is not counted at all."""
    where = device_of(device)
    clock = time.process_time if where.type == "cpu" and cores == 1 else time.perf_counter
    rows = []
    with threads(cores):
        for length in lengths:
            batch = made_up_batch(size, length, equal, where)
            steps = {name: _Step(name, batch, settings, where) for name in encoders}
            seconds: dict[str, list[float]] = {name: [] for name in steps}
            for turn in range(repeats + 2):
                for name, step in steps.items():
                    started = clock()
                    step()
                    if turn >= 2:  # the first ones warm up
                        seconds[name].append(clock() - started)
            for name, step in steps.items():
                median, fastest = float(np.median(seconds[name])), min(seconds[name])
                gaps = "equal" if equal else "irregular"
                rows.append(Timing(name, length, gaps, step.size, 1e3 * median, 1e3 * fastest, size / median))
    return rows


class _Step:
    def __init__(self, encoder: str, batch: Batch, settings: Mapping[str, Any], device: torch.device) -> None:
        self.batch, self.device = batch, device
        self.network = RiskNetwork(INPUTS, STATICS, STATISTICS, {**settings, "encoder": encoder}).to(device)
        self.size = sum(p.numel() for p in self.network.encoder.parameters())
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=1e-4, fused=True)
        self.labels = torch.zeros(batch.mask.shape[1], device=device)

    def __call__(self) -> None:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = self.network(self.batch)
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), self.labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def scaling(encoders: Iterable[str], lengths: Iterable[int] = SCALING, **options: Any) -> list[Timing]:
    """Step times of few stays over ascending lengths; fewer repetitions of the long ones."""
    rows: list[Timing] = []
    asked = list(encoders)
    for length in lengths:
        repeats = min(max(20_000 // length, 5), 20)
        found = step_times(asked, [length], size=SCALING_STAYS, repeats=repeats, **options)
        asked = [row.encoder for row in found if row.median_ms <= SLOWEST_MS]
        rows += found
    return rows


def exponent(rows: Iterable[Timing], encoder: str) -> float:
    """The power of the length with which an encoder's cost grows from FITTED_FROM steps on: 1 is linear."""
    long = [(row.length, row.median_ms) for row in rows if row.encoder == encoder and row.length >= FITTED_FROM]
    lengths, medians = np.log(np.array(long)).T
    return float(np.polyfit(lengths, medians, 1)[0])


def table_of(rows: Iterable[Timing]) -> str:
    """The figures as a Markdown table."""
    head = ["| encoder | parameters | steps | median ms | fastest ms | stays a second |", "|---|---|---|---|---|---|"]
    return "\n".join(
        [
            *head,
            *(
                f"| {row.encoder} | {row.parameters:,} | {row.length:,} | {row.median_ms:.1f} | {row.fastest_ms:.1f} "
                f"| {row.stays_a_second:,.0f} |"
                for row in rows
            ),
        ]
    )


def plot(rows: list[Timing], path: Path) -> None:
    """Cost against length, both logarithmic, with each encoder's exponent and what linear growth would be."""
    from matplotlib.figure import Figure  # noqa: PLC0415 (nothing else of a training needs it)

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name in dict.fromkeys(row.encoder for row in rows):
        own = [row for row in rows if row.encoder == name]
        fitted = own[-1].length > FITTED_FROM
        label = rf"{name} $\propto$ steps$^{{{exponent(rows, name):.2f}}}$" if fitted else name
        axes.plot([r.length for r in own], [r.median_ms for r in own], "o-", markersize=4, label=label)
    first = next(row for row in rows if row.encoder == rows[0].encoder and row.length >= FITTED_FROM)
    reach = np.array([row.length for row in rows if row.encoder == rows[0].encoder], dtype=float)
    axes.plot(reach, first.median_ms * reach / first.length, "--", color="0.6", zorder=0, label="linear")
    axes.set(xscale="log", yscale="log", xlabel="steps", ylabel=f"ms a training step of {SCALING_STAYS} stays")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=100)


def main(arguments: Sequence[str] | None = None) -> None:
    asked = ArgumentParser(prog="python -m models.sequence.benchmark", description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--encoders", nargs="+", default=["ssm", "gru", "lstm", "transformer"], choices=ENCODERS)
    asked.add_argument("--lengths", nargs="+", type=int, help="steps, of all stays alike")
    asked.add_argument("--irregular", action="store_true", help="gaps of their own instead of equal ones")
    asked.add_argument("--scaling", action="store_true", help=f"lengths {SCALING[0]} to {SCALING[-1]:,}, and exponents")
    asked.add_argument("--plot", type=Path, help="with --scaling: a file to draw cost against length into")
    asked.add_argument("--device", default="auto")
    asked.add_argument("--cores", type=int, default=1)
    given = asked.parse_args(arguments)
    if given.plot and not given.scaling:
        asked.error("--plot draws what --scaling measures")
    options = {"equal": not given.irregular, "device": given.device, "cores": given.cores}
    if not given.scaling:
        print(table_of(step_times(given.encoders, given.lengths or LENGTHS, **options)))
        return
    rows = scaling(given.encoders, given.lengths or SCALING, **options)
    print(table_of(sorted(rows, key=lambda row: given.encoders.index(row.encoder))))
    for name in given.encoders:
        if len({row.length for row in rows if row.encoder == name and row.length >= FITTED_FROM}) > 1:
            print(f"\n{name}: cost grows as length to the {exponent(rows, name):.2f} from {FITTED_FROM:,} steps on")
    if given.plot:
        plot(rows, given.plot)


if __name__ == "__main__":
    main()
