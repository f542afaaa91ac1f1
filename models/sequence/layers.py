"""The parts that networks are made of. Shapes: L steps, B stays, H width, N complex states a direction, S statics."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.sequence.blocks import mix
from models.sequence.grids import FIRST_GAP
from models.sequence.scan import scan

GROUPS = 3  # inputs a channel: value, log count, log hours since the last
HOURS = (1.0, 100.0)  # time constants of the states at the start of training
LONGEST_PERIOD, SHORTEST_PERIOD = 200.0, 4.0  # hours a turn at the start of training


class StateSpace(nn.Module):
    """A bidirectional diagonal state space, (L, B, H) to (L, B, H): S5 with real time gaps.

    Rates are -exp(log_decay) + i frequency per hour. B is scaled by the decay, so that a state is a moving average of
    its drive, whatever its time constant: without, slow states start a hundred times louder than fast ones.
    """

    def __init__(self, width: int, states: int) -> None:
        super().__init__()
        shortest, longest = HOURS
        spread = torch.rand(2, states)
        self.log_decay = nn.Parameter(-math.log(shortest) - spread * math.log(longest / shortest))
        turns = torch.linspace(math.log(1 / LONGEST_PERIOD), math.log(1 / SHORTEST_PERIOD), states)
        self.frequency = nn.Parameter(2 * math.pi * torch.exp(turns).repeat(2, 1))
        self.B = nn.Parameter(torch.randn(2, width, states, 2) / math.sqrt(width))
        self.C = nn.Parameter(torch.randn(2, states * 2, width) / math.sqrt(2 * states))
        self.D = nn.Parameter(torch.randn(width))

    def forward(self, x: Tensor, gaps: Tensor) -> Tensor:
        """`gaps` (L, B), or (1, 1) where equal."""
        with torch.autocast(x.device.type, enabled=False):  # eight bits of mantissa are too few for a recurrence
            real = x.float()
            decay = torch.exp(self.log_decay.float())
            into = (self.B.float() * decay[:, None, :, None]).flatten(2)  # (2, H, 2 N)
            rates = torch.complex(-decay, self.frequency.float())  # (2, N)
            both = in_blocks if x.device.type == "cpu" else in_one
            y = both(rates, gaps, real, into, self.C.float())
            return torch.addcmul(y, self.D.float(), real).to(x.dtype)


def in_blocks(rates: Tensor, gaps: Tensor, x: Tensor, into: Tensor, out: Tensor) -> Tensor:
    """Both directions of a state space, step after step: fastest on a CPU."""
    ahead, back = (one[..., None] for one in (gaps, gaps_after(gaps)))
    return mix(rates[0], ahead, x, into[0], out[0]) + mix(rates[1], back, x, into[1], out[1], reverse=True)


def in_one(rates: Tensor, gaps: Tensor, x: Tensor, into: Tensor, out: Tensor) -> Tensor:
    """The same, all steps and both directions at once: few and large operations, as a GPU wants them."""
    length, size, width = x.shape
    both = torch.stack([x, x.flip(0)]).view(2, length * size, width)
    drive = torch.view_as_complex(torch.bmm(both, into).view(2, length, size, -1, 2))
    both_gaps = torch.stack([gaps, gaps_after(gaps).flip(0)], dim=1)[..., None]  # (L, 2, B, 1)
    gap = both_gaps[:, :1] if gaps.numel() == 1 else both_gaps
    h = scan(rates[:, None], gap, drive.transpose(0, 1)).transpose(0, 1)  # (2, L, B, N)
    y = torch.bmm(torch.view_as_real(h).reshape(2, length * size, -1), out).view(2, length, size, -1)
    return y[0] + y[1].flip(0)


def gaps_after(gaps: Tensor) -> Tensor:
    """Gaps of a sequence (L, B) read from its end, in its own order: the last step follows nothing, as the first one
    does from the start, and each other step follows the one after it. Padding (gap 0) stays padding, and gaps that are
    equal (1, 1) stay so."""
    if gaps.numel() == 1:
        return gaps
    after = torch.cat([gaps[1:], torch.zeros_like(gaps[:1])])
    return torch.where((gaps > 0) & (after == 0), FIRST_GAP, after)


class Film(nn.Module):
    """Scale and shift of each channel by the statics (Perez et al., AAAI 2018); starts as the identity."""

    def __init__(self, statics: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(statics, 2 * width)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, statics: Tensor) -> Tensor:
        scale, shift = self.linear(statics).chunk(2, dim=-1)
        return torch.addcmul(shift, x, 1 + scale)


class GatedStateSpace(nn.Module):
    """Norm, FiLM, state space, GELU, gated linear unit, dropout, residual: (L, B, H) to (L, B, H)."""

    def __init__(self, width: int, states: int, statics: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.film = Film(statics, width)
        self.space = StateSpace(width, states)
        self.gate = nn.Linear(width, 2 * width)
        self.dropout = TiedDropout(dropout)

    def forward(self, x: Tensor, gaps: Tensor, statics: Tensor) -> Tensor:
        y = self.space(self.film(self.norm(x), statics), gaps)
        y = self.dropout(nn.functional.gelu(y))
        return x + self.dropout(nn.functional.glu(self.gate(y), dim=-1))


class TiedDropout(nn.Module):
    """Dropout of whole features of a stay, the same at all its steps: (L, B, H), in training.

    A mask that changed from step to step would be noise that any average over time takes out again (Gal and Ghahramani,
    NeurIPS 2016); this one also costs L times fewer random numbers, which on a CPU were a sixth of a step.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(x.shape[1:], device=x.device) >= self.rate
        return x * (kept / (1 - self.rate)).to(x.dtype)


class ChannelDropout(nn.Module):
    """Takes whole input channels of a stay away for all its steps: value, count and hours since together."""

    def __init__(self, rate: float, groups: int = GROUPS) -> None:
        super().__init__()
        self.rate, self.groups = rate, groups

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        _, size, width = x.shape
        kept = torch.rand(size, width // self.groups, device=x.device) >= self.rate
        return x * kept.repeat(1, self.groups).to(x.dtype)


class Pool(nn.Module):
    """Mean over the real steps and the state at the last one: (L, B, H) to (B, 2 H). Nothing is zero."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        lengths = mask.sum(dim=0)
        mean = (x * mask[..., None]).sum(dim=0) / lengths.clamp(min=1)[:, None]
        last = x[(lengths - 1).clamp(min=0), torch.arange(x.shape[1], device=x.device)]
        return torch.cat([mean, last * (lengths > 0)[:, None]], dim=-1)
