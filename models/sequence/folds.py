"""The networks of all folds, a process at a time each: a network learns its encoding and weights from the rows outside
its fold alone, and is the same whatever the number of processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.base import Floats, Ints
from models.sequence.grids import Channel
from models.sequence.inputs import Encoding, Raw
from models.sequence.state import Progress
from models.sequence.training import device_of, fit, predict

Told = Callable[[int, Progress], None]


@dataclass(frozen=True)
class Plan:
    """What is trained: the rows, their labels, folds and patients, settings, where checkpoints lie (if anywhere)."""

    raw: Raw
    labels: Floats
    folds: Ints
    patients: np.ndarray
    channels: Sequence[Channel]
    columns: Sequence[str]
    settings: Mapping[str, Any]
    seed: int
    device: str
    checkpoints: Path | None


@dataclass(frozen=True)
class Member:
    """One network: its fold, encoding and weights, logits of the fold's rows, which it did not see, its epochs."""

    fold: int
    encoding: Encoding
    weights: dict[str, Tensor]
    logits: Floats
    history: list[Progress]
    best: int


def train_member(plan: Plan, fold: int, repeat: int = 0, told: Told | None = None) -> Member:
    """A network of the rows outside `fold`, the `repeat`th of its seeds, and its logits of the rows inside."""
    inside, outside = plan.folds == fold, plan.folds != fold
    encoding = Encoding.fit(plan.raw, outside, plan.channels, plan.columns, plan.settings["layout"])
    tensors = encoding.encode(plan.raw)
    kept = validation_rows(plan, outside, fold)
    learned = outside.copy()
    learned[kept] = False
    fitted = fit(
        tensors,
        torch.from_numpy(plan.labels.astype(np.float32)),
        torch.from_numpy(np.flatnonzero(learned)),
        torch.from_numpy(kept) if len(kept) else None,
        network=plan.settings["network"],
        training=plan.settings["training"],
        seed=(plan.seed * 100 + fold) * 100 + repeat,
        device=plan.device,
        checkpoint=plan.checkpoints / f"fold{fold}-{repeat}.pt" if plan.checkpoints else None,
        progress=None if told is None else lambda progress: told(fold, progress),
    )
    logits = predict(fitted.network, tensors, torch.from_numpy(np.flatnonzero(inside))).double().numpy()
    weights = {name: value.detach().clone() for name, value in fitted.network.state_dict().items()}
    return Member(fold, encoding, weights, logits, fitted.history, fitted.best)


def validation_rows(plan: Plan, outside: np.ndarray, fold: int) -> Ints:
    """Positions of the stays of a share of the patients outside the fold, for early stopping: never the fold itself,
    whose risks would no longer be those of unseen rows."""
    share = plan.settings["training"]["validation"]
    names = np.unique(plan.patients[outside])
    chosen = np.random.default_rng([plan.seed, fold]).choice(names, round(share * len(names)), replace=False)
    return np.flatnonzero(outside & np.isin(plan.patients, chosen))


def train_members(plan: Plan, processes: int, told: Told | None = None) -> list[Member]:
    """`training.networks` members of each fold, fold by fold; `told` hears each epoch's fold and progress."""
    repeats = range(plan.settings["training"]["networks"])
    work = [(fold, repeat) for fold in np.unique(plan.folds).tolist() for repeat in repeats]
    if processes <= 1 or len(work) == 1 or device_of(plan.device).type == "cuda":
        return [train_member(plan, fold, repeat, told) for fold, repeat in work]
    context = multiprocessing.get_context("spawn")
    heard = context.Queue()
    # Each process is given the plan once, when it starts, not once a network.
    with ProcessPoolExecutor(min(processes, len(work)), context, _remember, (plan, heard)) as pool:
        futures = [pool.submit(_work, *one) for one in work]
        while not all(future.done() for future in futures):
            for fold, progress in _waiting(heard):
                if told is not None:
                    told(fold, progress)
        return [future.result() for future in futures]


def _waiting(heard: Any) -> Iterator[tuple[int, Progress]]:
    """What was said meanwhile; waits a moment for the first word."""
    try:
        yield heard.get(timeout=0.2)
        while True:
            yield heard.get_nowait()
    except Empty:
        return


_given: dict[str, Any] = {}


def _remember(plan: Plan, heard: Any) -> None:
    torch.set_num_threads(1)
    _given.update(plan=plan, heard=heard)


def _work(fold: int, repeat: int) -> Member:
    return train_member(_given["plan"], fold, repeat, lambda which, progress: _given["heard"].put((which, progress)))
