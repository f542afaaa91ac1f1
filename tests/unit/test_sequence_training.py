"""The training loop: killed and resumed to the last bit, stopped early, spread over processes, blind to other rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sequence_data import CHANNELS, LAYOUTS, made_up
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from models.base import Ints
from models.metrics import scores
from models.sequence.events import Events
from models.sequence.folds import Course, Plan, Told, train_members, validation_rows
from models.sequence.inputs import Encoding, collect, statistics_of
from models.sequence.networks import NETWORK, RiskNetwork
from models.sequence.state import Progress
from models.sequence.tensors import Batch, Tensors
from models.sequence.training import TRAINING, Fitted, compiled, device_of, fit, predict, threads

SMALL = {**NETWORK, "width": 16, "states": 4, "reader": 8}
FEW = {**TRAINING, "epochs": 4, "batch": 16, "rate": 5e-3}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads(1):
        yield


def rows_of(n: int = 80, seed: int = 0) -> tuple[Tensors, torch.Tensor]:
    plan = plan_of(n, seed)
    encoding = Encoding.fit(plan.laid, np.arange(n), CHANNELS, plan.columns, plan.settings["layout"])
    return encoding.encode(plan.laid), torch.from_numpy(plan.labels.astype(np.float32))


def plan_of(n: int = 80, seed: int = 0, checkpoints: Path | None = None, **training: Any) -> Plan:
    features, labels = made_up(n, seed)
    layout = LAYOUTS["events"]
    raw = collect(features, Events.read(features), CHANNELS, layout)
    columns = statistics_of(features.columns, CHANNELS, layout["statistics"])
    settings = {"layout": layout, "network": SMALL, "training": {**FEW, "networks": 1, "validation": 0.0, **training}}
    patients = np.arange(n) // 2
    return Plan(raw, labels, patients % 3, patients, CHANNELS, columns, settings, 7, "cpu", checkpoints)


def same(one: Fitted, other: Fitted) -> bool:
    pairs = zip(one.network.state_dict().values(), other.network.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class Killed(Exception):  # noqa: N818  (what a scheduler does, no error)
    pass


@pytest.mark.parametrize("validated", (False, True))
def test_a_killed_training_resumes_to_the_same_weights(validated: bool, tmp_path: Path) -> None:
    tensors, labels = rows_of()
    train, held = torch.arange(60), torch.arange(60, 80)
    how: dict[str, Any] = {"network": SMALL, "training": {**FEW, "patience": 9}, "seed": 3}
    arguments = (tensors, labels, train, held if validated else None)
    whole = fit(*arguments, **how)
    file = tmp_path / "deep" / "fold.pt"

    def kill(progress: Progress) -> None:
        if progress.epoch == 2:
            raise Killed

    before = torch.get_rng_state()
    with pytest.raises(Killed):
        fit(*arguments, **how, checkpoint=file, progress=kill)
    assert torch.equal(torch.get_rng_state(), before), "the random numbers of others go on undisturbed"
    heard: list[Progress] = []
    torch.rand(5)
    resumed = fit(*arguments, **how, checkpoint=file, progress=heard.append)
    assert [one.epoch for one in heard] == [3, 4], "two epochs were not done again"
    assert same(resumed, whole) and resumed.best == whole.best
    assert [one.loss for one in resumed.history] == [one.loss for one in whole.history]
    assert not list(tmp_path.rglob("*.part"))


def test_the_checkpoint_of_another_training_is_not_resumed(tmp_path: Path) -> None:
    tensors, labels = rows_of()
    file = tmp_path / "x.pt"
    fit(tensors, labels, torch.arange(60), network=SMALL, training=FEW, checkpoint=file)
    others = {
        "labels": fit(tensors, 1 - labels, torch.arange(60), network=SMALL, training=FEW, checkpoint=file),
        "rows": fit(tensors, 1 - labels, torch.arange(50), network=SMALL, training=FEW, checkpoint=file),
        "seed": fit(tensors, 1 - labels, torch.arange(50), network=SMALL, training=FEW, seed=1, checkpoint=file),
    }
    assert all(len(fitted.history) == FEW["epochs"] for fitted in others.values())
    assert same(others["rows"], fit(tensors, 1 - labels, torch.arange(50), network=SMALL, training=FEW))


def test_early_stopping_keeps_the_best_epoch() -> None:
    tensors, labels = rows_of()
    misleading = labels.clone()
    misleading[60:] = 1 - labels[60:]
    how: dict[str, Any] = {"network": SMALL, "training": {**FEW, "epochs": 30, "patience": 2}}
    fitted = fit(tensors, misleading, torch.arange(60), torch.arange(60, 80), **how)
    losses = [one.validation for one in fitted.history]
    assert fitted.best == 1 + int(np.argmin(losses)) and len(losses) == fitted.best + 2 < 30
    logits = predict(fitted.network, tensors, torch.arange(60, 80))
    kept = torch.nn.functional.binary_cross_entropy_with_logits(logits, misleading[60:])
    assert float(kept) == pytest.approx(min(losses))


def test_progress_tells_loss_and_time_left() -> None:
    tensors, labels = rows_of()
    history = fit(tensors, labels, torch.arange(80), network=SMALL, training=FEW).history
    assert [one.epoch for one in history] == [1, 2, 3, 4] and {one.epochs for one in history} == {4}
    assert history[-1].loss < history[0].loss and all(one.validation is None for one in history)
    assert history[-1].left == 0 and history[0].left == pytest.approx(3 * history[0].seconds)


def test_folds_are_the_same_whatever_the_number_of_processes() -> None:
    plan = plan_of(epochs=1)
    heard: list[tuple[int, int]] = []
    spread = train_members(plan, 2, lambda told: heard.append((told.fold, told.progress.epoch)))
    alone = train_members(plan, 1)
    assert sorted(heard) == [(0, 1), (1, 1), (2, 1)]
    for one, other in zip(spread, alone, strict=True):
        assert one.encoding == other.encoding
        assert all(torch.equal(one.weights[name], other.weights[name]) for name in other.weights)
        np.testing.assert_array_equal(one.logits, other.logits)


def test_a_course_tells_what_is_left_of_all_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 20.0, 21.0])
    monkeypatch.setattr("models.sequence.folds.time.perf_counter", lambda: next(clock))
    heard: list[Told] = []
    course = Course([(0, 0), (0, 1), (1, 0), (1, 1)], 2, heard.append)
    for fold, network, epoch in ((0, 0, 1), (0, 1, 1), (1, 0, 3)):  # the last was resumed after its second epoch
        course(fold, network, Progress(epoch, 3, 0.5, None, 1.0, 1.0))
    assert [one.left for one in heard] == [110.0, 100.0, 49.0], "seconds an epoch times epochs to go, of twelve"
    assert (heard[-1].fold, heard[-1].folds, heard[-1].network, heard[-1].networks) == (1, 2, 0, 2)


class Mean(nn.Module):
    """A network that is traced in no time."""

    def forward(self, batch: Batch) -> torch.Tensor:
        return batch.statistics.mean(dim=1)


def test_a_network_that_does_not_compile_runs_as_it_is() -> None:
    tensors, _ = rows_of(10)
    network = Mean()

    def broken(*_: Any) -> Any:
        raise RuntimeError("no compiler here")

    forward, batch = compiled(network, broken), tensors.batch(torch.arange(10))
    with pytest.warns(UserWarning, match="not compiled"):
        found = forward(batch)
    assert torch.equal(found, network(batch)) and torch.equal(forward(batch), found)


@pytest.mark.parametrize("encoder", ("ssm", "transformer"))
def test_logits_of_a_gpu_without_a_gpu(encoder: str) -> None:
    """On PyTorch's tensors without values: shapes and devices, with the scan of logarithmic depth."""
    tensors, _ = rows_of(10)
    batch = tensors.batch(torch.arange(10))
    with FakeTensorMode(), torch.device("cuda"):
        network = RiskNetwork.sized(tensors, {**SMALL, "encoder": encoder})
        there = Batch(*(torch.empty(part.shape, dtype=part.dtype) for part in vars(batch).values()))
        logits = network(there)
        assert logits.shape == (10,) and logits.device.type == "cuda"


def test_folds_resume_from_their_checkpoints(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    first = train_members(plan_of(checkpoints=tmp_path, networks=2), 1)
    again = train_members(
        plan_of(checkpoints=tmp_path, networks=2), 1, lambda told: heard.append((told.fold, told.progress.epoch))
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"fold{i}-{j}.pt" for i in range(3) for j in range(2)]
    assert not heard, "all was done"
    np.testing.assert_array_equal(first[2].logits, again[2].logits)
    assert [member.fold for member in first] == [0, 0, 1, 1, 2, 2]
    assert not np.array_equal(first[0].logits, first[1].logits), "another seed, another network"


def test_rows_for_early_stopping_are_whole_patients_outside_the_fold() -> None:
    plan = plan_of(validation=0.25)
    outside = plan.folds != 1
    rows: Ints = validation_rows(plan, outside, 1)
    assert outside[rows].all() and len(rows) == round(0.25 * outside.sum() / 2) * 2
    assert not set(plan.patients[rows]) & set(np.delete(plan.patients, rows))
    assert len(validation_rows(plan_of(), outside, 1)) == 0
    np.testing.assert_array_equal(rows, validation_rows(plan, outside, 1))


def test_permuted_labels_teach_nothing_about_others() -> None:
    plan = plan_of(300, epochs=3)
    labels = np.random.default_rng(0).permutation(plan.labels)
    members = train_members(Plan(**{**vars(plan), "labels": labels}), 1)
    risks = np.full(300, np.nan)
    for fold, member in enumerate(members):
        risks[plan.folds == fold] = 1 / (1 + np.exp(-member.logits))
    assert 0.4 < scores(labels, risks, 0.5)["auroc"] < 0.6


def test_auto_is_the_device_at_hand() -> None:
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert device_of("cpu").type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_learns_the_same_within_its_precision() -> None:
    tensors, labels = rows_of(200)
    rows = torch.arange(200)
    found = [fit(tensors, labels, rows, network=SMALL, training=FEW, device=name) for name in ("cpu", "cuda")]
    one, other = (predict(fitted.network, tensors) for fitted in found)
    assert torch.corrcoef(torch.stack([one, other]))[0, 1] > 0.9
