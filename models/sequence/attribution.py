"""Integrated gradients of a risk network: which channel, in which step, moved the log odds, and by how much.

Sundararajan et al., ICML 2017. The path runs straight from a stay of average statics and statistics in which nothing
was ever measured to the stay itself; times of measurement are kept. Contributions sum to the difference of the two log
odds, up to the error of the quadrature (Gauss-Legendre).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.sequence.grids import Grid, in_units
from models.sequence.inputs import Encoding
from models.sequence.layers import GROUPS
from models.sequence.networks import RiskNetwork
from models.sequence.tensors import Batch, Tensors

# Of the quadrature. A contribution is off by .0001 log odds on average, all of a stay's together by .003 (with 2 points
# .0007 and .010, with 4 .00001 and .0002), where a stay's largest five are .15 to .3. A point costs three forward
# passes.
POINTS = 3
ATTRIBUTED = 128  # stays at a time


class Attribution(NamedTuple):
    """Contributions in log odds: steps (T, C) by channel (stay i's rows are the tensors' offsets), statics (n, S),
    statistics (n, R)."""

    steps: Tensor
    statics: Tensor
    statistics: Tensor


def integrated_gradients(network: RiskNetwork, tensors: Tensors, never: float, points: int = POINTS) -> Attribution:
    """The attribution of all stays of `tensors`. `never` is the input that tells a channel was not measured yet
    (log1p of the window's hours)."""
    network.eval()
    nodes, weights = np.polynomial.legendre.leggauss(points)
    path = [((1 + node) / 2, weight / 2) for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True)]
    parts = [_of_batch(network, batch, never, path) for batch in _batches(tensors)]
    return Attribution(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


@torch.inference_mode()
def baseline(network: RiskNetwork, tensors: Tensors, never: float) -> Tensor:
    """Log odds (n,) of each stay had nothing been measured in it, at average statics: where the path starts."""
    network.eval()
    return torch.cat([network(_emptied(batch, never)) for batch in _batches(tensors)])


def by_hour(grid: Grid, encoding: Encoding, steps: Tensor) -> tuple[NDArray[np.float32], ...]:
    """The values in force at the end of each hour, in the channels' units, and what they moved: (n, H, C) each.

    `steps` (S, C) are contributions of the grid's steps; those of one hour are added up. An hour without a step has no
    value and moved nothing.
    """
    n, hours = len(grid.offsets) - 1, encoding.layout["hours"]
    hour = np.repeat(np.arange(n) * hours, np.diff(grid.offsets)) + grid.hours
    values = np.full((n * hours, steps.shape[1]), np.nan, dtype=np.float32)
    values[hour] = grid.values  # of one hour's steps, the last one's stay
    moved = steps.new_zeros(values.shape).index_add_(0, torch.from_numpy(hour), steps).numpy()
    return tuple(one.reshape(n, hours, -1) for one in (in_units(values, encoding.channels), moved))


def _batches(tensors: Tensors) -> list[Batch]:
    return [tensors.batch(rows) for rows in torch.arange(len(tensors)).split(ATTRIBUTED)]


def _nothing(batch: Batch, never: float) -> Tensor:
    """The input (F,) of a step at which no channel was measured yet."""
    nothing = batch.inputs.new_zeros(batch.inputs.shape[-1])
    nothing[-(len(nothing) // GROUPS) :] = never
    return nothing


def _emptied(batch: Batch, never: float) -> Batch:
    return replace(
        batch,
        inputs=_nothing(batch, never).expand_as(batch.inputs),
        statics=torch.zeros_like(batch.statics),
        statistics=torch.zeros_like(batch.statistics),
    )


def _of_batch(network: RiskNetwork, batch: Batch, never: float, path: list[tuple[float, float]]) -> Attribution:
    # The embedding is linear: a straight path of inputs is a straight one of embedded steps, where gradients are added
    # up before they go back through the embedding, once.
    nothing = _nothing(batch, never)
    with torch.no_grad():
        start, end = network.embed(nothing), network.embed(batch.inputs)
    summed = [torch.zeros_like(one) for one in (end, batch.statics, batch.statistics)]
    for share, weight in path:
        at = [torch.lerp(start, end, share), batch.statics * share, batch.statistics * share]
        x, statics, statistics = (one.requires_grad_() for one in at)
        logits = network.of_embedded(x, replace(batch, statics=statics, statistics=statistics))
        found = torch.autograd.grad(logits.sum(), at, materialize_grads=True)
        for total, gradient in zip(summed, found, strict=True):
            total.add_(gradient, alpha=weight)
    with torch.no_grad():
        moved = (batch.inputs - nothing).mul_(summed[0] @ network.embed.weight)
        steps = moved.unflatten(-1, (GROUPS, -1)).sum(dim=-2)  # value, count and hours since, together
    return Attribution(steps.transpose(0, 1)[batch.mask.T], batch.statics * summed[1], batch.statistics * summed[2])
