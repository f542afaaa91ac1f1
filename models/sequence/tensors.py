"""Batches of encoded stays: time first, padded at the end by steps that last no time; and stays held in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B stays, padded to the longest, of L steps.

    inputs (L, B, F) float32; gaps (L, B) hours since the step before, 0 where padded, or (1, 1) where all are equal;
    mask (L, B) true at real steps; statics (B, S); statistics (B, R).
    """

    inputs: Tensor
    gaps: Tensor
    mask: Tensor
    statics: Tensor
    statistics: Tensor

    def to(self, device: torch.device) -> Batch:
        """On the device; a GPU is not waited for."""
        if device.type == "cpu":
            return self
        return Batch(*(getattr(self, f.name).pin_memory().to(device, non_blocking=True) for f in fields(self)))


class Stays(Protocol):
    """What a network learns from: n stays of which batches are made on the CPU."""

    def __len__(self) -> int: ...

    def batch(self, rows: Tensor) -> Batch:
        """The stays at these positions, in this order. A batch has at least one step, be it padding."""
        ...

    @property
    def widths(self) -> tuple[int, int, int]:
        """Inputs a step, statics and statistics."""
        ...

    @property
    def digest(self) -> str:
        """Of everything that a batch may hold."""
        ...


@dataclass(frozen=True)
class Tensors:
    """n stays of T steps in all: inputs (T, F), gaps (T,), offsets (n + 1,), statics (n, S), statistics (n, R).

    `equal`: every stay has as many steps as any other, at equal gaps.
    """

    inputs: Tensor
    gaps: Tensor
    offsets: Tensor
    statics: Tensor
    statistics: Tensor
    equal: bool

    def __len__(self) -> int:
        return len(self.statics)

    def batch(self, rows: Tensor) -> Batch:
        """The stays at these positions, in this order. A batch has at least one step, be it padding."""
        starts = self.offsets[:-1][rows]
        lengths = self.offsets[1:][rows] - starts
        longest = max(int(lengths.max()) if len(rows) else 0, 1)
        steps = torch.arange(longest, device=starts.device)[:, None]
        mask = steps < lengths  # (L, B)
        if self.equal and len(self.gaps):
            return Batch(
                self.inputs[starts + steps], self.gaps[:1, None], mask, self.statics[rows], self.statistics[rows]
            )
        if not len(self.gaps):
            inputs = self.inputs.new_zeros(longest, len(rows), self.inputs.shape[1])
            return Batch(inputs, inputs[..., 0], mask, self.statics[rows], self.statistics[rows])
        index = torch.where(mask, starts + steps, 0)
        inputs = self.inputs[index].masked_fill_(~mask[..., None], 0.0)
        gaps = self.gaps[index].masked_fill_(~mask, 0.0)
        return Batch(inputs, gaps, mask, self.statics[rows], self.statistics[rows])

    @property
    def widths(self) -> tuple[int, int, int]:
        return self.inputs.shape[1], self.statics.shape[1], self.statistics.shape[1]

    @property
    def digest(self) -> str:
        found = hashlib.blake2b(digest_size=16)
        for array in (self.inputs, self.gaps, self.offsets, self.statics, self.statistics):
            found.update(f"{tuple(array.shape)}".encode())
            found.update(array.contiguous().numpy().data)
        return found.hexdigest()
