"""The state-space recurrence as the papers write it: slow, obvious, differentiated by autograd."""

from __future__ import annotations

import torch
from torch import Tensor


def scan(rate: Tensor, gap: Tensor, drive: Tensor) -> Tensor:
    """States (L, ..., N) of h_t = exp(rate gap_t) h_{t-1} + (exp(rate gap_t) - 1) / rate * drive_t, h before 0 zero."""
    gap = gap.expand(torch.broadcast_shapes(gap.shape, drive.shape))
    state = torch.zeros_like(drive[0])
    states = []
    for gap_t, drive_t in zip(gap, drive, strict=True):
        decay = torch.exp(rate * gap_t)
        state = decay * state + (decay - 1) / rate * drive_t
        states.append(state)
    return torch.stack(states)
