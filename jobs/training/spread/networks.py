"""The networks of all folds on many machines, by PyTorch's distributor of Spark: each whole on one executor.

A network here has some hundred thousand weights and a step of some milliseconds, and there are several a fold: to train
them beside each other keeps every executor busy without a word between them, where to train one on all of them (data
parallelism) would send its gradients around at every step, and would be another model. That is for networks that one
machine cannot train in time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from io import TextIOBase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
from pyspark.ml.torch.distributor import TorchDistributor
from torch import distributed

from jobs.training.rows import stays_with_events
from models.base import Trained
from models.sequence.folds import Course, Listener, Member, networks_of, train_member
from models.sequence.model import assembled
from models.sequence.plan import Brief
from models.sequence.state import Progress

if TYPE_CHECKING:  # an executor imports this module for each process that it starts
    from jobs.training.spread.cluster import Cluster

SAID = "network: "
Work = Sequence[tuple[int, int]]
"""Fold and number of each network."""


def train(cluster: Cluster, brief: Brief, told: Listener | None = None) -> Trained:
    """As `models.sequence.model.train`, and the same model to the last bit on equal processors. Each process reads the
    cluster's folder part by part and lays it out on its own disk; `told` hears of each epoch."""
    networks = brief.settings["training"]["networks"]
    work = networks_of(brief.folds, networks)
    course = Course(work, networks, told)
    distributor = TorchDistributor(min(cluster.slots, len(work)), local_mode=False, use_gpu=cluster.gpus)
    distributor.logger.setLevel("WARNING")
    with _listening(course):
        members = distributor.run(_members, cluster.folder, brief, work)
    assert members is not None
    return assembled(brief, members)


def _members(folder: Path, brief: Brief, work: Work) -> list[Member] | None:
    """One process: its share of the networks. The first process gives back those of all."""
    torch.set_num_threads(1)
    # The longest that one process waits for the others: the first has done its share before the last.
    distributed.init_process_group("gloo", timeout=timedelta(days=2))
    rank, processes = distributed.get_rank(), distributed.get_world_size()
    with TemporaryDirectory(prefix="ehr-sequences-") as spool:
        plan = brief.plan(lambda: stays_with_events(folder), Path(spool))
        own = [train_member(plan, fold, network, _say) for fold, network in work[rank::processes]]
    parts: list[list[Member]] | None = [[] for _ in range(processes)] if rank == 0 else None
    distributed.gather_object(own, parts)
    distributed.destroy_process_group()
    return None if parts is None else [parts[i % processes][i // processes] for i in range(len(work))]


def _say(fold: int, network: int, progress: Progress) -> None:
    """A line that the distributor carries from the executor to the driver."""
    print(SAID + json.dumps([fold, network, asdict(progress)]), flush=True)


@contextmanager
def _listening(heard: Callable[[int, int, Progress], None]) -> Iterator[None]:
    """What processes say, which the distributor writes on standard error, is heard instead: the epochs, no chatter."""
    before, sys.stderr = sys.stderr, _Ear(heard)
    try:
        yield
    finally:
        sys.stderr = before


class _Ear(TextIOBase):
    def __init__(self, heard: Callable[[int, int, Progress], None]) -> None:
        self.heard = heard

    def write(self, text: str) -> int:
        for line in text.splitlines():
            _, said, told = line.partition(SAID)
            if said:
                fold, network, progress = json.loads(told)
                self.heard(fold, network, Progress(**progress))
        return len(text)
