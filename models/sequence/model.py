"""The sequence model: an ensemble of fold networks (the mean of their logits) as a risk model like any other.

It reads two things of a stay, its features and its events: a feature frame that carries the columns minutes, concepts
and values of the gold sequences (`events.attach`). Stored as one file of weights (safetensors) and one of plain JSON
with settings and each member's encoding.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from torch import Tensor

from models.base import Floats, Ints, Moments, Reasons, RiskModel, Trained
from models.features import FeatureSchema
from models.sequence import tensorfile
from models.sequence.attribution import by_hour, integrated_gradients
from models.sequence.events import Events
from models.sequence.folds import Listener, Member, train_members
from models.sequence.grids import last_values
from models.sequence.inputs import Encoding, collect
from models.sequence.laid import Raw
from models.sequence.networks import RiskNetwork
from models.sequence.plan import Brief, checked, parts_of, stays_of
from models.sequence.tensors import Tensors
from models.sequence.training import predict, threads
from models.splits import in_order

WEIGHTS, FILE = "sequence.safetensors", "sequence.json"
EXPLAINED = 4  # folds whose network is explained: each costs ten times its logit, and more change the reasons little
Result = TypeVar("Result")


class SequenceModel(RiskModel):
    """Fitted networks, an encoding and some networks a fold; all read the same channels, statics and statistics."""

    kind: ClassVar[str] = "sequence"
    requirements = ("torch", "pyarrow")

    def __init__(
        self, members: Sequence[tuple[Encoding, list[RiskNetwork]]], network: Mapping[str, Any], schema: FeatureSchema
    ) -> None:
        self.members, self.network, self.schema = list(members), dict(network), schema
        self.size = sum(len(networks) for _, networks in members)

    def margins(self, features: pd.DataFrame) -> Floats:
        """Log odds (n,). ValueError for frames that do not fit the schema or carry no events."""
        checked, events = split(features, self.schema)

        def of_part(rows: Ints) -> Floats:
            raw = self._collect(checked.iloc[rows], events.take(rows))
            return np.sum([_logits(networks, encoding.encode(raw)) for encoding, networks in self.members], axis=0)

        margins = np.zeros(len(checked))
        for rows, found in self._by_part(of_part, len(checked)):
            margins[rows] = found / self.size
        return margins

    def contributions(self, features: pd.DataFrame) -> tuple[Floats, Floats]:
        """Those of `reasons`."""
        found = self.reasons(features)
        return found.contributions, found.bias

    def reasons(self, features: pd.DataFrame) -> Reasons:
        """What each channel's course (its last value beside it), each static and each statistic moved, by integrated
        gradients of a network of each of the first EXPLAINED folds; how far the other networks and the quadrature
        differ is in the bias."""
        checked, events = split(features, self.schema)
        first = self.members[0][0]
        channels = [channel.name for channel in first.channels]
        names = [*channels, *first.statics.names, *first.statistics.names]
        n, shape = len(checked), (len(checked), first.layout["hours"], len(channels))
        found = Reasons(
            names, np.full((n, len(names)), np.nan), np.zeros((n, len(names))), np.zeros(n), np.zeros(n),
            Moments(channels, np.full(shape, np.nan, dtype=np.float32), np.zeros(shape, dtype=np.float32)),
        )  # fmt: skip

        def of_part(rows: Ints) -> None:
            self._explain(self._collect(checked.iloc[rows], events.take(rows)), found, rows)

        for _ in self._by_part(of_part, n):
            pass
        return found

    def _explain(self, raw: Raw, found: Reasons, rows: Ints) -> None:
        """Fills in these rows of `found`."""
        assert found.moments is not None
        first, steps = self.members[0][0], torch.zeros(raw.grid.values.shape)
        flat = torch.zeros(len(rows), len(first.statics.names) + len(first.statistics.names))
        explained = min(EXPLAINED, len(self.members))
        for i, (encoding, networks) in enumerate(self.members):
            tensors = encoding.encode(raw)
            found.margins[rows] += _logits(networks, tensors) / self.size
            if i >= explained:
                continue
            moved = integrated_gradients(networks[0], tensors, encoding.never)
            statics, flags = moved.statics.split([len(encoding.statics.names), len(encoding.flagged)], dim=1)
            statics = statics.index_add(1, torch.tensor(encoding.flagged, dtype=torch.int64), flags)
            steps += moved.steps / explained
            flat += torch.cat([statics, moved.statistics], dim=1) / explained
        moments = found.moments
        moments.values[rows], moments.contributions[rows] = by_hour(raw.grid, first, steps)
        found.values[rows] = np.concatenate(
            [last_values(raw.grid, first.channels), raw.statics, raw.statistics], axis=1
        )
        courses = moments.contributions[rows].sum(axis=1, dtype=np.float64)
        found.contributions[rows] = np.concatenate([courses, flat.double().numpy()], axis=1)
        found.bias[rows] = found.margins[rows] - found.contributions[rows].sum(axis=1)

    def save(self, folder: Path) -> None:
        named = {
            f"{i}.{j}.{name}": value
            for i, (_, networks) in enumerate(self.members)
            for j, network in enumerate(networks)
            for name, value in network.state_dict().items()
        }
        tensorfile.save(folder / WEIGHTS, named)
        members = [{"networks": len(networks), "encoding": one.to_dict()} for one, networks in self.members]
        (folder / FILE).write_text(json.dumps({"network": self.network, "members": members}))

    @classmethod
    def load(cls, folder: Path, schema: FeatureSchema) -> Self:
        plain = json.loads((folder / FILE).read_text())
        own: dict[tuple[str, str], dict[str, Tensor]] = {}
        for name, value in tensorfile.load(folder / WEIGHTS).items():
            fold, network, parameter = name.split(".", 2)
            own.setdefault((fold, network), {})[parameter] = value
        members = [
            (Encoding.from_dict(one["encoding"]), [own[str(i), str(j)] for j in range(one["networks"])])
            for i, one in enumerate(plain["members"])
        ]
        return cls.of(members, plain["network"], schema)

    @classmethod
    def of(
        cls,
        members: Iterable[tuple[Encoding, Iterable[Mapping[str, Tensor]]]],
        network: Mapping[str, Any],
        schema: FeatureSchema,
    ) -> Self:
        """A model of encodings and their networks' weights."""

        def built(encoding: Encoding, weights: Mapping[str, Tensor]) -> RiskNetwork:
            with torch.random.fork_rng([]):  # what is drawn here is replaced at once
                made = RiskNetwork(*encoding.widths, network)
            made.load_state_dict(dict(weights))
            return made.eval().requires_grad_(False)  # a gradient is asked for inputs alone

        return cls([(one, [built(one, weights) for weights in networks]) for one, networks in members], network, schema)

    def _by_part(self, work: Callable[[Ints], Result], n: int) -> Iterator[tuple[Ints, Result]]:
        """Parts of n rows with what `work` makes of them, in order, as many at a time as there are cores."""
        parts = parts_of(n)
        with threads(1):
            yield from zip(parts, in_order(work, parts, os.cpu_count() or 1), strict=True)

    def _collect(self, features: pd.DataFrame, events: Events) -> Raw:
        encoding = self.members[0][0]
        return collect(features, events, encoding.channels, encoding.layout)


def split(features: pd.DataFrame, schema: FeatureSchema) -> tuple[pd.DataFrame, Events]:
    """The checked features and the events of a frame that carries both: see `checked`."""
    plain, sequences = checked(features, schema)
    return plain, Events.read(sequences)


def _logits(networks: Sequence[RiskNetwork], tensors: Tensors) -> Floats:
    """The sum (n,) of the networks' log odds."""
    return np.sum([predict(network, tensors).double().numpy() for network in networks], axis=0)


def train(features: pd.DataFrame, brief: Brief, processes: int = 2, told: Listener | None = None) -> Trained:
    """Networks of each fold, fitted on the other folds' rows; the model is the mean of their logits.

    `features` carries the events (`events.attach`) of the training rows, in the order of the brief. No more stays are
    laid out in memory at a time than READ or a batch: the rest are in files of the system's temporary folder (TMPDIR),
    about 20 kB a stay, until the networks are trained.
    """
    with TemporaryDirectory(prefix="ehr-sequences-") as folder:
        members = train_members(brief.plan(stays_of(features), Path(folder)), processes, told)
    return assembled(brief, members)


def assembled(brief: Brief, members: Sequence[Member]) -> Trained:
    """The model of all folds' networks, with the risks of each stay by those that did not see it."""
    if brief.checkpoints is not None:  # done: nothing is left to be resumed
        for file in brief.checkpoints.glob("fold*.pt"):
            file.unlink()
    out_of_fold, ensemble = np.full(len(brief.labels), np.nan), []
    for fold in np.unique(brief.folds):
        own = [member for member in members if member.fold == fold]
        out_of_fold[brief.folds == fold] = expit(np.mean([member.logits for member in own], axis=0))
        ensemble.append((own[0].encoding, [member.weights for member in own]))
    model = SequenceModel.of(ensemble, brief.settings["network"], brief.schema)
    return Trained(model, out_of_fold, {**brief.settings, "seed": brief.seed}, _trials(members))


def _trials(members: Sequence[Member]) -> list[dict[str, Any]]:
    return [
        {
            "fold": m.fold,
            "epoch": one.epoch,
            "loss": one.loss,
            "validation": one.validation,
            "kept": one.epoch == m.best,
        }
        for m in members
        for one in m.history
    ]
