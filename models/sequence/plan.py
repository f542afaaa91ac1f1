"""What the networks of all folds are trained on: stays, laid on the disk some hundred at a time, and their settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from models.base import Floats, Ints
from models.features import FeatureMismatchError, FeatureSchema
from models.sequence.events import COLUMNS, Events
from models.sequence.folds import Plan
from models.sequence.grids import Channel
from models.sequence.inputs import LAYOUT, collect, statistics_of
from models.sequence.laid import Raw
from models.sequence.networks import NETWORK
from models.sequence.spool import Spooled
from models.sequence.training import TRAINING

LEAST_SHARE = 0.01  # of the training stays in which a concept must be measured to become a channel
READ = 512  # stays that are encoded at a time
DEFAULTS: dict[str, Any] = {
    "layout": LAYOUT,
    "network": NETWORK,
    # `networks` a fold, of different seeds; `validation`: share of the other folds' patients kept for early stopping,
    # without which all epochs run (as good on 8,000 stays, and no row is lost)
    "training": {**TRAINING, "networks": 2, "validation": 0.0},
}
Stays = Callable[[], Iterable[pd.DataFrame]]
"""Feature frames with events (`events.attach`), READ stays each but for the last: from the first, at each call."""


@dataclass(frozen=True)
class Brief:
    """What a training is told beside its stays, to whose order `labels` (n,), `folds` (n,) and `patients` (n,) keep.

    `dictionary` is rows of the clinical dictionary (keys concept, id, log, aggregate): concepts measured often enough
    become channels. `settings` are whole (`merged`). `checkpoints` is a folder that a killed training resumes from.
    """

    labels: Floats
    folds: Ints
    patients: np.ndarray
    schema: FeatureSchema
    dictionary: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Mapping[str, Any]]
    seed: int
    device: str = "auto"
    checkpoints: Path | None = None

    @classmethod
    def of(
        cls,
        labels: ArrayLike,
        folds: Ints,
        schema: FeatureSchema,
        *,
        dictionary: Sequence[Mapping[str, Any]],
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        patients: ArrayLike | None = None,
        seed: int = 0,
        device: str = "auto",
        checkpoints: Path | None = None,
    ) -> Self:
        """With DEFAULTS where `settings` (layout, network, training) say nothing, and each stay a patient of its own
        where none are named. Raises ValueError for an unknown setting, naming it."""
        y = np.asarray(labels, dtype=np.float64)
        names = np.arange(len(y)) if patients is None else np.unique(np.asarray(patients), return_inverse=True)[1]
        return cls(y, folds, names, schema, dictionary, merged(settings or {}), seed, device, checkpoints)

    def plan(self, stays: Stays, folder: Path) -> Plan:
        """The plan of stays that are laid out in an existing, empty folder, about 20 kB each; they are read twice.

        Raises ValueError where they do not fit the schema, carry no events or are not as many as the labels.
        """
        layout = self.settings["layout"]
        read = (Events.read(checked(part, self.schema)[1]) for part in stays())
        channels = measured_channels(read, Channel.of(self.dictionary))
        plain = [name for name in self.schema.names if name not in COLUMNS]
        laid = Spooled.write(folder, (self._laid(part, channels) for part in stays()))
        if len(laid) != len(self.labels):
            raise ValueError(f"{len(laid)} stays, {len(self.labels)} labels")
        columns = statistics_of(plain, channels, layout["statistics"])
        return Plan(
            laid, self.labels, self.folds, self.patients, channels, columns, self.settings, self.seed, self.device,
            self.checkpoints,
        )  # fmt: skip

    def _laid(self, part: pd.DataFrame, channels: Sequence[Channel]) -> Raw:
        features, sequences = checked(part, self.schema)
        return collect(features, Events.read(sequences), channels, self.settings["layout"])


def stays_of(features: pd.DataFrame) -> Stays:
    """The rows of a frame in memory."""
    return lambda: (features.iloc[rows] for rows in parts_of(len(features)))


def parts_of(n: int) -> list[Ints]:
    """The positions of n stays, READ at a time."""
    return np.split(np.arange(n), range(READ, n, READ)) if n else []


def merged(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """DEFAULTS with these settings in their place. ValueError for one that there is not."""
    unknown = [name for name in settings if name not in DEFAULTS]
    unknown += [f"{part}.{name}" for part in DEFAULTS for name in settings.get(part, {}) if name not in DEFAULTS[part]]
    if unknown:
        raise ValueError(f"unknown settings: {', '.join(unknown)}")
    return {part: {**defaults, **settings.get(part, {})} for part, defaults in DEFAULTS.items()}


def measured_channels(parts: Iterable[Events], channels: Sequence[Channel]) -> list[Channel]:
    """The channels measured in at least LEAST_SHARE of the stays of all parts."""
    stays, measured = 0, Counter[int]()
    for events in parts:
        stays += len(events)
        pairs = np.unique(np.stack([events.stays, events.concepts.astype(np.int64)]), axis=1)[1]
        measured.update(dict(zip(*(x.tolist() for x in np.unique(pairs, return_counts=True)), strict=True)))
    return [channel for channel in channels if measured[channel.id] >= LEAST_SHARE * stays]


def checked(features: pd.DataFrame, schema: FeatureSchema) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The checked features (those of the schema that are no events) and the sequences of a frame that carries both.

    Raises ValueError where the frame does not fit the schema or lacks the events.
    """
    lacking = [name for name in COLUMNS if name not in features]
    if lacking:
        raise FeatureMismatchError(lacking, ())
    plain = FeatureSchema(tuple(feature for feature in schema.features if feature.name not in COLUMNS))
    return plain.check(features.drop(columns=list(COLUMNS))), features[list(COLUMNS)]
