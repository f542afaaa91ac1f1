"""A risk network: embedded steps, an encoder, pooling, a reader of statistics at the head; batch in, logits out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.sequence import encoders
from models.sequence.layers import ChannelDropout, Pool
from models.sequence.tensors import Batch, Stays

NETWORK: dict[str, Any] = {
    "encoder": "ssm",
    "width": 64,
    "blocks": 2,
    "states": 32,  # complex, a direction
    "heads": 4,  # of the transformer
    "reader": 64,  # width of the reader; 0 leaves it out
    "dropout": 0.2,
    "reader_dropout": 0.3,
    "channel_dropout": 0.15,
}


class RiskNetwork(nn.Module):
    """Logits (B,) of a batch. `inputs`, `statics`, `statistics` are the widths of the batch's tensors."""

    def __init__(self, inputs: int, statics: int, statistics: int, settings: Mapping[str, Any]) -> None:
        super().__init__()
        width, reader = settings["width"], settings["reader"]
        self.channels = ChannelDropout(settings["channel_dropout"])
        self.embed = nn.Linear(inputs, width)
        self.encoder = encoders.build(settings["encoder"], width, statics, settings)
        self.norm = nn.LayerNorm(width)
        self.pool = Pool()
        self.reader = (
            nn.Sequential(
                nn.Dropout(settings["reader_dropout"]),
                nn.Linear(statistics + statics, reader),
                nn.GELU(),
                nn.Dropout(settings["reader_dropout"]),
            )
            if reader
            else None
        )
        self.dropout = nn.Dropout(settings["dropout"])
        self.head = nn.Linear(2 * width + reader, 1)

    def forward(self, batch: Batch) -> Tensor:
        return self.of_embedded(self.embed(self.channels(batch.inputs)), batch)

    def of_embedded(self, x: Tensor, batch: Batch) -> Tensor:
        """The same of a batch whose inputs are embedded already, x (L, B, H)."""
        x = self.encoder(x, batch)
        pooled = self.dropout(self.pool(self.norm(x), batch.mask))
        if self.reader is not None:
            pooled = torch.cat([pooled, self.reader(torch.cat([batch.statistics, batch.statics], dim=-1))], dim=-1)
        return self.head(pooled).squeeze(-1)

    @classmethod
    def sized(cls, stays: Stays, settings: Mapping[str, Any]) -> RiskNetwork:
        """A network for stays of these widths."""
        return cls(*stays.widths, settings)
