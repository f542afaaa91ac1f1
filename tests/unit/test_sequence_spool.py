"""Stays laid out on disk: the same tensors as in memory to the bit, and never more of them in memory than a part."""

import pickle
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sequence_data import CHANNELS, DICTIONARY, LAYOUTS, made_up

from models.features import describe
from models.sequence import plan
from models.sequence.events import COLUMNS, Events
from models.sequence.inputs import Encoded, Encoding, collect, statistics_of
from models.sequence.laid import Raw
from models.sequence.model import train
from models.sequence.plan import Brief
from models.sequence.spool import Spooled
from models.sequence.training import predict, threads


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads(1):
        yield


def raw_of(features: pd.DataFrame, grid: str, rows: slice = slice(None)) -> Raw:
    part = features.iloc[rows]
    return collect(part, Events.read(part), CHANNELS, LAYOUTS[grid])


@pytest.mark.parametrize("grid", LAYOUTS)
@pytest.mark.parametrize("size", (1, 7, 100))
def test_parts_on_disk_are_the_whole_in_memory(size: int, grid: str, tmp_path: Path) -> None:
    features, _ = made_up(40)
    raw = raw_of(features, grid)
    spooled = Spooled.write(tmp_path, (raw_of(features, grid, slice(i, i + size)) for i in range(0, 40, size)))
    for name in ("told", "gaps", "offsets", "statics", "statistics", "measured"):
        one, other = getattr(spooled, name), getattr(raw, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert spooled.equal == raw.equal == (grid == "hourly") and len(spooled) == 40

    columns = statistics_of(features.columns, CHANNELS, LAYOUTS[grid]["statistics"])
    rows = np.arange(40) % 3 > 0
    encoding = Encoding.fit(spooled, rows, CHANNELS, columns, LAYOUTS[grid])
    assert encoding == Encoding.fit(raw, rows, CHANNELS, columns, LAYOUTS[grid])
    stays, tensors = Encoded(encoding, spooled), encoding.encode(raw)
    assert len(stays) == 40 and stays.widths == tensors.widths
    for some in (torch.tensor([5, 0, 39, 1]), torch.tensor([0]), torch.arange(40)):
        for one, other in zip(vars(stays.batch(some)).values(), vars(tensors.batch(some)).values(), strict=True):
            assert torch.equal(one, other)


def test_a_spool_is_handed_on_as_a_folder(tmp_path: Path) -> None:
    spooled = Spooled.write(tmp_path, [raw_of(made_up(30)[0], "hourly")])
    assert spooled.told.shape == (30 * 48, 12)
    handed = pickle.dumps(spooled)
    assert len(handed) < 1000
    np.testing.assert_array_equal(pickle.loads(handed).told, spooled.told)


def test_its_digest_is_of_all_that_it_holds(tmp_path: Path) -> None:
    features, _ = made_up(10)
    changed = [features, features.assign(age=1.0), features.assign(hr_mean=1.0), made_up(10, seed=1)[0]]
    digests = []
    for i, one in enumerate([*changed, features]):
        (tmp_path / str(i)).mkdir()
        digests.append(Spooled.write(tmp_path / str(i), [raw_of(one, "events")]).digest)
    assert len(set(digests)) == len(changed) and digests[-1] == digests[0]


def test_stays_without_any_event(tmp_path: Path) -> None:
    features, _ = made_up(2)
    nothing = features.iloc[[0, 0, 0]]  # stay 0 has no event
    spooled = Spooled.write(tmp_path, [raw_of(nothing, "events", slice(0, 2)), raw_of(nothing, "events", slice(2, 3))])
    assert spooled.told.shape == (0, 12) and spooled.offsets.tolist() == [0, 0, 0, 0]
    encoding = Encoding.fit(spooled, np.arange(3), CHANNELS, ["hr_mean", "lactate_count"], LAYOUTS["events"])
    batch = Encoded(encoding, spooled).batch(torch.arange(3))
    assert batch.inputs.shape == (1, 3, 12) and not batch.mask.any()


def trained(features: pd.DataFrame, labels: np.ndarray) -> Any:
    settings = {
        "network": {"width": 8, "states": 2, "reader": 4},
        "training": {"networks": 1, "epochs": 1, "batch": 32},
    }
    schema = describe(features.drop(columns=list(COLUMNS)))
    folds = np.arange(len(labels)) % 2
    brief = Brief.of(labels, folds, schema, dictionary=DICTIONARY, settings=settings)
    return train(features, brief, processes=1)


def test_training_by_parts_is_training_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = made_up(150)
    whole = trained(features, labels)
    monkeypatch.setattr(plan, "READ", 16)
    np.testing.assert_array_equal(trained(features, labels).out_of_fold, whole.out_of_fold)


def test_training_keeps_a_part_of_the_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peak of NumPy's memory above what went in: of four times the stays, less than half the grid that they add."""
    monkeypatch.setattr(plan, "READ", 64)
    trained(*made_up(40))  # whatever is imported at first is no training's
    laid: list[int] = []

    def counting(features: pd.DataFrame, *others: Any) -> Raw:
        laid.append(len(features))
        return collect(features, *others)

    monkeypatch.setattr(plan, "collect", counting)
    peaks = []
    for n in (400, 1600):
        features, labels = made_up(n)
        tracemalloc.start()
        try:
            trained(features, labels)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert max(laid) == 64 and sum(laid) == 2000, "no more stays at a time than READ, each of them once"
    grid = (1600 - 400) * 48 * 12 * 4
    assert peaks[1] - peaks[0] < grid / 2, [peak / grid for peak in peaks]


def test_risks_of_the_fold_are_those_of_the_scored_frame() -> None:
    features, labels = made_up(60)
    found = trained(features, labels)
    first = np.arange(60) % 2 == 0
    encoding, networks = found.model.members[0]
    raw = collect(features, Events.read(features), encoding.channels, encoding.layout)
    logits = predict(networks[0], encoding.encode(raw)).numpy()[first]
    np.testing.assert_allclose(found.out_of_fold[first], 1 / (1 + np.exp(-logits)), rtol=1e-5)
