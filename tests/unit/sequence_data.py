"""Made-up stays with events, for the tests of sequence models: risk shows in the course of the heart rate alone."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from models.sequence.events import attach
from models.sequence.grids import Channel
from models.sequence.inputs import LAYOUT, STATICS

DICTIONARY: list[dict[str, Any]] = [
    {"concept": "hr", "id": 1, "log": False, "aggregate": "mean"},
    {"concept": "lactate", "id": 2, "log": "true", "aggregate": "mean"},
    {"concept": "urine", "id": 4, "log": "false", "aggregate": "sum"},
    {"concept": "mech_vent", "id": 5, "log": False, "aggregate": "max"},
]
CHANNELS = Channel.of(DICTIONARY)
LAYOUTS = {grid: {**LAYOUT, "grid": grid} for grid in ("hourly", "events")}


def table(rows: list[list[tuple[int, int, float]]]) -> pa.Table:
    """Gold sequences of stays s0, s1, ...: each a list of (minute, concept, value)."""
    lists = [[[event[i] for event in row] for row in rows] for i in range(3)]
    kinds = (pa.list_(pa.int32()), pa.list_(pa.int32()), pa.list_(pa.float64()))
    columns = {n: pa.array(x, k) for n, x, k in zip(("minutes", "concepts", "values"), lists, kinds, strict=True)}
    return pa.table({"stay_id": [f"s{i}" for i in range(len(rows))], **columns})


def made_up(n: int = 120, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Features with their events (n rows; stay 0 has no event, stay 1 a single one) and labels (n,)."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.4).astype(np.int64)
    rows = []
    for label in labels:
        times = np.sort(rng.choice(2881, rng.integers(5, 40), replace=False))
        kinds = rng.choice([1, 1, 2, 4, 5], len(times))
        drift = (15 if label else -15) * times / 2880
        values = {1: 85 + drift + rng.normal(0, 4, len(times)), 2: rng.lognormal(0.6, 0.5, len(times))}
        values |= {4: rng.uniform(0, 200, len(times)), 5: np.ones(len(times))}
        rows.append([(int(t), int(k), float(values[k][i])) for i, (t, k) in enumerate(zip(times, kinds, strict=True))])
    rows[0], rows[1] = [], [(30, 1, 90.0)]
    features = pd.DataFrame(rng.normal(size=(n, len(STATICS))), columns=list(STATICS))
    features.loc[rng.random(n) < 0.2, "height_cm"] = np.nan
    features["hr_mean"] = [np.mean([v for _, k, v in row if k == 1] or [np.nan]) for row in rows]
    features["lactate_count"] = [float(sum(k == 2 for _, k, _ in row)) for row in rows]
    features["unrelated"] = rng.normal(size=n)
    features.index = pd.Index([f"s{i}" for i in range(n)], name="stay_id")
    return attach(features, table(rows)), labels
