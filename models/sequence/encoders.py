"""Encoders behind one interface: embedded steps (L, B, H) and their batch in, (L, B, H) out.

Padding never reaches a real step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models.sequence.layers import Film, GatedStateSpace
from models.sequence.tensors import Batch


class StateSpaceEncoder(nn.Module):
    """Gated bidirectional state-space blocks (deep SSM)."""

    def __init__(self, width: int, statics: int, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            GatedStateSpace(width, settings["states"], statics, settings["dropout"]) for _ in range(settings["blocks"])
        )

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        for block in self.blocks:
            x = block(x, batch.gaps, batch.statics)
        return x


class RecurrentEncoder(nn.Module):
    """A bidirectional LSTM or GRU; it is told the gap as an input, having no time of its own."""

    def __init__(self, width: int, statics: int, settings: Mapping[str, Any], kind: type[nn.LSTM | nn.GRU]) -> None:
        super().__init__()
        self.film = Film(statics, width)
        self.gap = nn.Linear(1, width)
        self.rnn = kind(width, width // 2, settings["blocks"], bidirectional=True, dropout=settings["dropout"])

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        x = self.film(x, batch.statics) + self.gap(torch.log1p(batch.gaps)[..., None])
        lengths = batch.mask.sum(dim=0).clamp(min=1).cpu()
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        return x + pad_packed_sequence(self.rnn(packed)[0], total_length=len(x))[0]


class HybridEncoder(nn.Module):
    """State-space blocks with one bidirectional LSTM on top."""

    def __init__(self, width: int, statics: int, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.spaces = StateSpaceEncoder(width, statics, settings)
        self.lstm = RecurrentEncoder(width, statics, {**settings, "blocks": 1, "dropout": 0.0}, nn.LSTM)

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        return self.lstm(self.spaces(x, batch), batch)


class TransformerEncoder(nn.Module):
    """Self-attention with sinusoids of the hour, not of the position (Vaswani et al., 2017)."""

    def __init__(self, width: int, statics: int, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.film = Film(statics, width)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, settings["heads"], 2 * width, settings["dropout"], activation="gelu", norm_first=True
            )
            for _ in range(settings["blocks"])
        )

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        hours = batch.gaps.expand(batch.mask.shape).cumsum(dim=0)
        x = self.film(x, batch.statics) + sinusoids(hours, x.shape[-1])
        # A stay without a step attends to its padding: attention over nothing has no value.
        padding = ~batch.mask.T & batch.mask.any(dim=0)[:, None]
        for block in self.blocks:
            x = block(x, src_key_padding_mask=padding)
        return x


def sinusoids(hours: Tensor, width: int) -> Tensor:
    """Sines and cosines (L, B, width) of periods from one hour to 2,000."""
    periods = torch.exp(torch.linspace(0, math.log(2000.0), width // 2, device=hours.device))
    angles = 2 * math.pi * hours[..., None] / periods
    return torch.cat([torch.sin(angles), torch.cos(angles)], dim=-1)


def build(kind: str, width: int, statics: int, settings: Mapping[str, Any]) -> nn.Module:
    """The encoder of a kind of ENCODERS. Raises ValueError for another."""
    if kind in ("lstm", "gru"):
        return RecurrentEncoder(width, statics, settings, nn.LSTM if kind == "lstm" else nn.GRU)
    plain = {"ssm": StateSpaceEncoder, "ssm_lstm": HybridEncoder, "transformer": TransformerEncoder}
    if kind not in plain:
        raise ValueError(f"encoder {kind!r} is none of {', '.join(ENCODERS)}")
    return plain[kind](width, statics, settings)


ENCODERS = ("ssm", "ssm_lstm", "lstm", "gru", "transformer")
