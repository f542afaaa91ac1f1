"""What a training step costs by encoder and by length: made-up stays, one machine, one run, medians."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from models.sequence.networks import NETWORK, RiskNetwork
from models.sequence.tensors import Batch
from models.sequence.training import device_of, threads

INPUTS, STATICS, STATISTICS = 111, 11, 360  # 37 channels


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
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=1e-4)
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
