"""The networks of all folds, a process at a time each: a network learns its encoding and weights from the rows outside
its fold alone, and is the same whatever the number of processes."""

from __future__ import annotations

import multiprocessing
import time
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
from models.sequence.inputs import Encoded, Encoding
from models.sequence.laid import Laid
from models.sequence.state import Progress
from models.sequence.training import device_of, fit, predict


@dataclass(frozen=True)
class Told:
    """After an epoch of a network: which of how many folds and networks a fold it is, its progress, and the seconds
    left (at most: early stopping comes sooner) until all networks are done."""

    fold: int
    folds: int
    network: int
    networks: int
    progress: Progress
    left: float


Listener = Callable[[Told], None]


@dataclass(frozen=True)
class Plan:
    """What is trained: the rows, their labels, folds and patients, settings, where checkpoints lie (if anywhere)."""

    laid: Laid
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


def train_member(
    plan: Plan, fold: int, repeat: int = 0, heard: Callable[[int, int, Progress], None] = lambda _f, _r, _p: None
) -> Member:
    """A network of the rows outside `fold`, the `repeat`th of its seeds, and its logits of the rows inside."""
    inside, outside = plan.folds == fold, plan.folds != fold
    encoding = Encoding.fit(plan.laid, outside, plan.channels, plan.columns, plan.settings["layout"])
    stays = Encoded(encoding, plan.laid)
    kept = validation_rows(plan, outside, fold)
    learned = outside.copy()
    learned[kept] = False
    fitted = fit(
        stays,
        torch.from_numpy(plan.labels.astype(np.float32)),
        torch.from_numpy(np.flatnonzero(learned)),
        torch.from_numpy(kept) if len(kept) else None,
        network=plan.settings["network"],
        training=plan.settings["training"],
        seed=(plan.seed * 100 + fold) * 100 + repeat,
        device=plan.device,
        checkpoint=plan.checkpoints / f"fold{fold}-{repeat}.pt" if plan.checkpoints else None,
        progress=lambda progress: heard(fold, repeat, progress),
    )
    logits = predict(fitted.network, stays, torch.from_numpy(np.flatnonzero(inside))).double().numpy()
    weights = {name: value.detach().clone() for name, value in fitted.network.state_dict().items()}
    return Member(fold, encoding, weights, logits, fitted.history, fitted.best)


def validation_rows(plan: Plan, outside: np.ndarray, fold: int) -> Ints:
    """Positions of the stays of a share of the patients outside the fold, for early stopping: never the fold itself,
    whose risks would no longer be those of unseen rows."""
    share = plan.settings["training"]["validation"]
    names = np.unique(plan.patients[outside])
    chosen = np.random.default_rng([plan.seed, fold]).choice(names, round(share * len(names)), replace=False)
    return np.flatnonzero(outside & np.isin(plan.patients, chosen))


def train_members(plan: Plan, processes: int, told: Listener | None = None) -> list[Member]:
    """`training.networks` members of each fold, fold by fold; `told` hears of each epoch."""
    networks = plan.settings["training"]["networks"]
    work = networks_of(plan.folds, networks)
    course = Course(work, networks, told)
    if processes <= 1 or len(work) == 1 or device_of(plan.device).type == "cuda":
        return [train_member(plan, fold, repeat, course) for fold, repeat in work]
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    # Each process is given the plan once, when it starts, not once a network.
    with ProcessPoolExecutor(min(processes, len(work)), context, _remember, (plan, queue)) as pool:
        futures = [pool.submit(_work, *one) for one in work]
        while not all(future.done() for future in futures):
            for one in _waiting(queue):
                course(*one)
        return [future.result() for future in futures]


def networks_of(folds: Ints, networks: int) -> list[tuple[int, int]]:
    """Fold and number of each network to be trained, fold by fold."""
    return [(fold, repeat) for fold in np.unique(folds).tolist() for repeat in range(networks)]


class Course:
    """What is left of the whole training, as seen from each epoch's end."""

    def __init__(self, work: Sequence[tuple[int, int]], networks: int, told: Listener | None) -> None:
        self.epochs = dict.fromkeys(work, 0)  # done, by network
        self.networks, self.told = networks, told
        self.started, self.heard = time.perf_counter(), 0

    def __call__(self, fold: int, repeat: int, progress: Progress) -> None:
        self.heard += 1
        self.epochs[fold, repeat] = progress.epoch
        to_go = progress.epochs * len(self.epochs) - sum(self.epochs.values())
        left = (time.perf_counter() - self.started) / self.heard * to_go
        if self.told is not None:
            folds = len(self.epochs) // self.networks
            self.told(Told(fold, folds, repeat, self.networks, progress, left))


def _waiting(queue: Any) -> Iterator[tuple[int, int, Progress]]:
    """What was said meanwhile; waits a moment for the first word."""
    try:
        yield queue.get(timeout=0.2)
        while True:
            yield queue.get_nowait()
    except Empty:
        return


_given: dict[str, Any] = {}


def _remember(plan: Plan, queue: Any) -> None:
    torch.set_num_threads(1)
    _given.update(plan=plan, queue=queue)


def _work(fold: int, repeat: int) -> Member:
    return train_member(_given["plan"], fold, repeat, lambda *heard: _given["queue"].put(heard))
