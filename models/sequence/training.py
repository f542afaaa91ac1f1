"""The training loop of one network: the same rows, settings and seed give the same weights, killed and resumed or not.

Unweighted cross-entropy (class weights would spoil calibration), AdamW under a cosine, an exponential moving average of
the weights, which is what is kept, and early stopping on validation log loss where rows are given for that. On a GPU
also bfloat16 and compilation.
"""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.sequence.networks import RiskNetwork
from models.sequence.state import Progress, State, identity_of
from models.sequence.tensors import Batch, Stays

TRAINING: dict[str, Any] = {
    "epochs": 6,
    "batch": 64,
    "rate": 2e-3,
    "warmup": 0.05,  # share of the steps
    "weight_decay": 0.05,  # of matrices; neither of biases and norms nor of the state space's rates
    "clip": 1.0,  # norm of the gradient
    "average": 0.995,  # decay a step of the moving average
    "patience": 2,  # epochs without gain on the validation rows
}
PREDICTED = 256  # stays a batch when nothing is learned


@dataclass(frozen=True)
class Fitted:
    """The averaged network of the best epoch, on the CPU, in evaluation mode; and what each epoch gave."""

    network: RiskNetwork
    history: list[Progress]
    best: int


def device_of(name: str) -> torch.device:
    """`auto` is the GPU where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def fit(
    stays: Stays,
    labels: Tensor,
    train: Tensor,
    validation: Tensor | None = None,
    *,
    network: Mapping[str, Any],
    training: Mapping[str, Any] = TRAINING,
    seed: int = 0,
    device: str = "auto",
    cores: int = 1,
    checkpoint: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Fits a network to the rows `train` (positions) of `stays` with `labels` (n,) of 0 and 1.

    Stops after `patience` epochs without gain on the rows `validation`; without them the last epoch is kept. The file
    `checkpoint` is written after each epoch and resumed from if it belongs to this very training; it is left for the
    caller to delete. On a CPU the result is the same to the last bit for the same `cores`.
    """
    where = device_of(device)
    with _seeded(seed, where), threads(cores):
        labels = labels.to(torch.float32)
        state = _start(RiskNetwork.sized(stays, network).to(where), training)
        if checkpoint is not None:
            rows = [train] if validation is None else [train, validation]
            identity = identity_of(stays, [labels, *rows], [dict(network), dict(training), seed])
            state.resume(checkpoint, identity, where)
        forward = compiled(state.network) if where.type == "cuda" else state.network
        while state.epoch < training["epochs"] and state.epoch - state.best_epoch < _patience(validation, training):
            clock = time.perf_counter()
            loss = _epoch(state, forward, stays, labels, train, training, seed)
            found = None
            if validation is not None:
                logits = predict(state.average, stays, validation)
                found = nn.functional.binary_cross_entropy_with_logits(logits, labels[validation]).item()
            state.seconds += time.perf_counter() - clock
            _note(state, loss, found, training["epochs"])
            if checkpoint is not None:
                state.write(checkpoint, identity, where)
            if progress is not None:
                progress(state.history[-1])
        state.average.load_state_dict(state.best)
        return Fitted(state.average.cpu().eval(), state.history, state.best_epoch)


def predict(network: nn.Module, stays: Stays, rows: Tensor | None = None) -> Tensor:
    """Logits (n,) of the rows (all without), float32, on the CPU; computed where the network is."""
    rows = torch.arange(len(stays)) if rows is None else rows
    where = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        parts = [network(stays.batch(part).to(where)) for part in rows.split(PREDICTED)]
    return torch.cat(parts).float().cpu() if parts else torch.empty(0)


def compiled(network: nn.Module, backend: str | Callable[..., Any] = "inductor") -> Callable[[Batch], Tensor]:
    """The network's forward, compiled at its first batch; the network itself, with a warning, where that fails: a GPU
    machine may lack a compiler."""
    from torch._dynamo.exc import TorchDynamoException  # noqa: PLC0415 (takes seconds; a CPU has no need of it)

    chosen: Callable[[Batch], Tensor] = torch.compile(network, dynamic=True, backend=backend)

    def forward(batch: Batch) -> Tensor:
        nonlocal chosen
        try:
            return chosen(batch)
        except TorchDynamoException as error:
            if chosen is network:
                raise
            warnings.warn(f"not compiled, which is slower: {str(error).partition(chr(10))[0]}", stacklevel=2)
            chosen = network
            return network(batch)

    return forward


def _start(network: RiskNetwork, training: Mapping[str, Any]) -> State:
    matrices = [p for name, p in network.named_parameters() if p.ndim > 1 and ".space." not in name]
    others = [p for name, p in network.named_parameters() if not (p.ndim > 1 and ".space." not in name)]
    groups = [{"params": matrices, "weight_decay": training["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=training["rate"], fused=True)
    return State(network, copy.deepcopy(network).eval(), optimiser, [], {})


def _epoch(
    state: State,
    forward: Callable[..., Tensor],
    stays: Stays,
    labels: Tensor,
    train: Tensor,
    training: Mapping[str, Any],
    seed: int,
) -> float:
    """One pass over the training rows in an order of its own; the mean loss."""
    order = torch.Generator().manual_seed(seed * 1000 + state.epoch)
    rows, where = train[torch.randperm(len(train), generator=order)], next(state.network.parameters()).device
    whole = max(len(rows) // training["batch"], 1)  # a last, smaller batch would count more than its share
    total = torch.zeros((), device=where)  # read once an epoch: the loop waits for no GPU
    state.network.train()
    for i in range(whole):
        batch = rows[i * training["batch"] : (i + 1) * training["batch"]]
        step = state.epoch * whole + i
        for group in state.optimiser.param_groups:
            group["lr"] = training["rate"] * _schedule(step, whole * training["epochs"], training["warmup"])
        with torch.autocast(where.type, torch.bfloat16, enabled=where.type == "cuda"):
            logits = forward(stays.batch(batch).to(where))
        target = labels[batch].to(where, non_blocking=True)
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), target)
        state.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(state.network.parameters(), training["clip"])
        state.optimiser.step()
        _follow(state, min(training["average"], (1 + step) / (10 + step)))
        total += loss.detach()
    return float(total) / whole


def _schedule(step: int, steps: int, warmup: float) -> float:
    """The share of the learning rate: a short rise, then half a cosine down to zero."""
    return min(1.0, (step + 1) / (warmup * steps + 1)) * 0.5 * (1 + math.cos(math.pi * step / steps))


@torch.no_grad()
def _follow(state: State, decay: float) -> None:
    torch._foreach_lerp_(list(state.average.parameters()), list(state.network.parameters()), 1 - decay)


def _note(state: State, loss: float, validation: float | None, epochs: int) -> None:
    """Adds the epoch to the history and keeps the average if it is the best one."""
    done = state.epoch + 1
    left = state.seconds / done * (epochs - done)
    earlier = [one.validation for one in state.history if one.validation is not None]
    state.history.append(Progress(done, epochs, loss, validation, state.seconds, left))
    if validation is None or validation < min(earlier, default=math.inf):
        state.best = {name: value.clone() for name, value in state.average.state_dict().items()}
        state.best_epoch = done


def _patience(validation: Tensor | None, training: Mapping[str, Any]) -> float:
    return math.inf if validation is None else training["patience"]


@contextmanager
def threads(n: int) -> Iterator[None]:
    """PyTorch's threads within; more than one to a network of this size are slower wherever cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """The random numbers of a seed within; those outside go on as if nothing had been."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
