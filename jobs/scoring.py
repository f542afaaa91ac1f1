"""Scores Arrow batches wherever an engine runs them: a champion's risks and reasons for the rows that are due.

The engine streams the joined gold rows, and `Scoring` answers batch by batch, so that memory is bounded by a batch
whatever the number of stays. A row is due unless the digest of what the model reads of it is the known one.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from models.registry import RegisteredModel
from models.scorer import Scorer
from models.sequence.events import COLUMNS

TOP = 5
"""Reasons of each kind that are stored with a risk."""
BATCH = 2048
"""Stays that are scored at a time."""
KNOWN = "_known"
"""Column of the digest of what this very model has scored already; null where it has not."""
DECIMALS = 9
REASON = pa.struct([("feature", pa.string()), ("value", pa.float64()), ("contribution", pa.float64())])
MOMENT = pa.struct(
    [("channel", pa.string()), ("hour", pa.int32()), ("value", pa.float64()), ("contribution", pa.float64())]
)


@dataclass(frozen=True)
class Scoring:
    """Batches in, batches of predictions out: a function for `mapInArrow`, plain enough to be sent to any worker.

    A batch has the cohort's stay_id, source and split, KNOWN, the `features` in the table's order and, where `series`,
    the event sequence.
    """

    packed: bytes
    features: tuple[str, ...]
    series: bool
    model_name: str
    model_version: int
    run_id: str
    feature_version: int
    now: datetime

    @classmethod
    def of(
        cls, champion: RegisteredModel, features: Iterable[str], series: bool, feature_version: int, now: datetime
    ) -> Scoring:
        return cls(
            pack(champion.scorer), tuple(features), series, champion.name, champion.version, champion.run_id,
            feature_version, now,
        )  # fmt: skip

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, BATCH):
                rows = batch.slice(start, BATCH)
                values = matrix(rows, self.features)
                digests = digests_of(values, rows if self.series else None)
                due = np.array(digests, dtype=object) != rows[KNOWN].to_numpy(zero_copy_only=False)
                if due.any():
                    yield self._scored(rows.filter(pa.array(due)), values[due], np.array(digests, dtype=object)[due])

    def _scored(self, rows: pa.RecordBatch, values: np.ndarray, digests: np.ndarray) -> pa.RecordBatch:
        inputs = pd.DataFrame(values, columns=list(self.features))
        if self.series:
            lists = {name: pd.Series(rows[name], dtype=pd.ArrowDtype(rows[name].type)) for name in COLUMNS}
            inputs = pd.concat([inputs, pd.DataFrame(lists)], axis=1)
        scored = unpack(self.packed).score(inputs, top=TOP)
        n = len(scored)
        told = {
            name: pa.array([[one._asdict() for one in row] for row in scored[name]], pa.list_(kind))
            for name, kind in (("top_features", REASON), ("moments", MOMENT))
        }
        columns: dict[str, Any] = {
            **{name: rows[name].cast(pa.string()) for name in ("stay_id", "source", "split")},
            "risk": pa.array(scored["risk"], pa.float64()),
            "flagged": pa.array(scored["flagged"], pa.bool_()),
            "threshold": pa.array(scored["threshold"], pa.float64()),
            **told,
            "model_name": pa.array([self.model_name] * n, pa.string()),
            "model_version": pa.array([self.model_version] * n, pa.int32()),
            "run_id": pa.array([self.run_id] * n, pa.string()),
            "feature_version": pa.array([self.feature_version] * n, pa.int64()),
            "input_digest": pa.array(digests, pa.string()),
            "scored_at": pa.array([self.now] * n, pa.timestamp("us", "UTC")),
        }
        return pa.RecordBatch.from_pydict(columns)


def matrix(rows: pa.RecordBatch, features: Iterable[str]) -> np.ndarray:
    """The rows' features (n, p), float64, NaN where null."""
    return np.column_stack([rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in features])


def digests_of(values: np.ndarray, events: pa.RecordBatch | None) -> list[str]:
    """A digest of each row's features (n, p) and events: the same measurements give the same digest on every run.

    Features are told in single precision and to nine decimals: an engine adds numbers up in an order of its own, and a
    table built anew differs in the last bits of a mean, or in the sign of a slope of zero, of which no risk speaks.
    """
    rounded = (np.round(values, DECIMALS) + 0.0).astype(np.float32)  # plus zero: there is a negative one
    told = [row.tobytes() for row in np.ascontiguousarray(rounded)]
    if events is not None:
        for column in COLUMNS:
            told = [row + b"|" + cells for row, cells in zip(told, _bytes_of(events[column]), strict=True)]
    return [hashlib.blake2b(row, digest_size=12).hexdigest() for row in told]


def _bytes_of(lists: pa.ListArray) -> Iterator[bytes]:
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    flat = lists.flatten().to_numpy(zero_copy_only=False)
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        yield flat[end - length : end].tobytes()


def pack(scorer: Scorer) -> bytes:
    """The scorer's plain files as one archive."""
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        scorer.save(Path(folder))
        for path in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(folder))
    return packed.getvalue()


@lru_cache(maxsize=2)
def unpack(packed: bytes) -> Scorer:
    """The scorer of an archive; once a process."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(io.BytesIO(packed)) as archive:
        archive.extractall(folder)
        return Scorer.load(Path(folder))
