"""Every encoder alike: shapes, padding, a single event, no event, learning, repeating, storing, explaining."""

import itertools
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit
from sequence_data import CHANNELS, DICTIONARY, LAYOUTS, made_up, table

from models.base import Trained
from models.features import FeatureMismatchError, describe
from models.metrics import scores
from models.sequence import layers, tensorfile
from models.sequence.attribution import baseline, by_hour, integrated_gradients
from models.sequence.encoders import ENCODERS
from models.sequence.events import COLUMNS, Events
from models.sequence.inputs import Encoding, collect, statistics_of
from models.sequence.layers import ChannelDropout, TiedDropout, gaps_after, in_one
from models.sequence.model import SequenceModel, train
from models.sequence.networks import NETWORK, RiskNetwork
from models.sequence.plan import Brief, measured_channels, merged
from models.sequence.tensors import Batch, Tensors
from models.sequence.training import TRAINING, fit, predict, threads

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"width": 16, "states": 4, "reader": 8, "heads": 2}
EAGER = {"dropout": 0.0, "reader_dropout": 0.0, "channel_dropout": 0.0, "reader": 0}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks this small are slower on two."""
    with threads(1):
        yield


def encoded(grid: str, n: int = 40, seed: int = 0, **more: int) -> tuple[Tensors, torch.Tensor]:
    features, labels = made_up(n, seed)
    layout = LAYOUTS[grid] | more
    raw = collect(features, Events.read(features), CHANNELS, layout)
    columns = statistics_of(features.columns, CHANNELS, layout["statistics"])
    encoding = Encoding.fit(raw, np.arange(n), CHANNELS, columns, layout)
    return encoding.encode(raw), torch.from_numpy(labels.astype(np.float32))


def network_of(encoder: str, tensors: Tensors, **settings: float) -> RiskNetwork:
    torch.manual_seed(3)
    return RiskNetwork.sized(tensors, {**NETWORK, **SMALL, "encoder": encoder, **settings}).eval()


def trained(encoder: str = "ssm", n: int = 60, **more: Any) -> tuple[Trained, pd.DataFrame, np.ndarray, np.ndarray]:
    """A small model of two folds with the rows, labels and folds that it was trained on."""
    features, labels = made_up(n)
    folds = np.arange(n) % 2
    return retrained(features, labels, folds, encoder, **more), features, labels, folds


def retrained(
    features: pd.DataFrame, labels: np.ndarray, folds: np.ndarray, encoder: str = "ssm", **more: Any
) -> Trained:
    given = more.pop("settings", {})
    settings: dict[str, dict[str, Any]] = {
        "layout": {"grid": "events", **given.get("layout", {})},
        "network": {**SMALL, "encoder": encoder, **given.get("network", {})},
        "training": {"epochs": 2, "batch": 16, **given.get("training", {})},
    }
    schema = describe(features.drop(columns=list(COLUMNS)))
    processes = more.pop("processes", 1)
    brief = Brief.of(labels, folds, schema, dictionary=DICTIONARY, settings=settings, **{"seed": 1, **more})
    return train(features, brief, processes)


@pytest.mark.parametrize("grid", LAYOUTS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_alike(encoder: str, grid: str) -> None:
    tensors, labels = encoded(grid)
    network = network_of(encoder, tensors)
    everyone = torch.arange(len(tensors))
    with torch.no_grad():
        logits = network(tensors.batch(everyone))
        assert logits.shape == (len(tensors),) and torch.isfinite(logits).all(), "stay 0 has no event, stay 1 has one"
        alone = torch.cat([network(tensors.batch(one)) for one in everyone.split(1)])
        torch.testing.assert_close(alone, logits, atol=2e-6, rtol=2e-5, msg="a longer neighbour's padding leaks")
        shuffled = torch.randperm(len(tensors))
        torch.testing.assert_close(network(tensors.batch(shuffled)), logits[shuffled], atol=2e-6, rtol=2e-5)
        batch = tensors.batch(everyone)
        dirty = torch.where(batch.mask[..., None], batch.inputs, 1e3)
        torch.testing.assert_close(network(replace(batch, inputs=dirty)), logits, msg="padding's content leaks")

    network.train()
    logits = network(tensors.batch(everyone))
    torch.nn.functional.binary_cross_entropy_with_logits(logits, labels).backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not still or (grid == "hourly" and still == ["encoder.gap.weight"]), "parameters that learn nothing"


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_overfits_32_stays_and_repeats(encoder: str) -> None:
    tensors, labels = encoded("events", 32, seed=1)
    labels = labels[torch.randperm(32, generator=torch.Generator().manual_seed(0))]  # nothing to be understood
    settings = {**NETWORK, **SMALL, **EAGER, "encoder": encoder, "width": 32}
    training = {**TRAINING, "epochs": 40, "batch": 16, "rate": 1e-2, "weight_decay": 0.0, "average": 0.9}
    rows = torch.arange(32)
    fitted = fit(tensors, labels, rows, network=settings, training=training, seed=5)
    logits = predict(fitted.network, tensors)
    known = 2  # stays 0 and 1 have nothing to be told apart by but their statics
    assert ((logits > 0).float() == labels)[known:].all()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[known:], labels[known:])
    assert loss < 0.05, float(loss)
    few = {**training, "epochs": 2}
    one, other = (fit(tensors, labels, rows, network=settings, training=few, seed=5).network for _ in range(2))
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    different = fit(tensors, labels, rows, network=settings, training=few, seed=6).network
    assert not torch.equal(predict(one, tensors), predict(different, tensors))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_model_is_stored_exactly(encoder: str, tmp_path: Path) -> None:
    found, features, _, _ = trained(encoder)
    found.model.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sequence.json", "sequence.safetensors"]
    before = torch.get_rng_state()
    again = SequenceModel.load(tmp_path, found.model.schema)
    assert torch.equal(torch.get_rng_state(), before), "loading takes no random number from anyone"
    np.testing.assert_array_equal(again.margins(features), found.model.margins(features))
    np.testing.assert_array_equal(again.risks(features), expit(found.model.margins(features)))


def test_the_margin_is_the_mean_of_the_members() -> None:
    found, features, _, folds = trained()
    model = found.model
    assert isinstance(model, SequenceModel) and len(model.members) == len(np.unique(folds))
    assert [len(networks) for _, networks in model.members] == [2, 2]
    single = [SequenceModel([member], model.network, model.schema).margins(features) for member in model.members]
    np.testing.assert_allclose(model.margins(features), np.mean(single, axis=0), atol=1e-12)
    encoding, networks = model.members[0]
    alone = [SequenceModel([(encoding, [one])], model.network, model.schema).margins(features) for one in networks]
    np.testing.assert_allclose(single[0], np.mean(alone, axis=0), atol=1e-12)
    np.testing.assert_allclose(found.out_of_fold[folds == 0], expit(single[0][folds == 0]), rtol=1e-6)
    np.testing.assert_allclose(found.out_of_fold[folds == 1], expit(single[1][folds == 1]), rtol=1e-6)
    assert model.margins(features[:0]).shape == (0,)


def test_labels_and_features_of_a_fold_reach_none_of_its_risks() -> None:
    found, features, labels, folds = trained()
    other = labels.copy()
    other[folds == 0] = 1 - other[folds == 0]
    odd = features.copy()
    odd.loc[folds == 0, "hr_mean"] *= 3
    for changed_features, changed_labels in ((features, other), (odd, labels)):
        again = retrained(changed_features, changed_labels, folds)
        one, same = (part.model.members[0] for part in (found, again))  # type: ignore[attr-defined]
        assert one[0] == same[0]
        for network, equal in zip(one[1], same[1], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(network.parameters(), equal.parameters(), strict=True))


def test_a_model_learns_the_course_of_the_heart_rate() -> None:
    settings = {"training": {"epochs": 12, "rate": 5e-3}, "network": {"reader": 0}}
    found, _, labels, _ = trained(n=240, settings=settings)
    assert scores(labels, found.out_of_fold, 0.5)["auroc"] > 0.85
    assert [t["epoch"] for t in found.trials] == [*range(1, 13)] * 4


def test_frames_that_do_not_fit_are_refused_by_name() -> None:
    found, features, _, _ = trained()
    with pytest.raises(FeatureMismatchError, match="missing features: minutes"):
        found.model.margins(features.drop(columns="minutes"))
    with pytest.raises(FeatureMismatchError, match="unknown features: odd"):
        found.model.margins(features.assign(odd=1.0))
    with pytest.raises(ValueError, match=r"unknown settings: nets, network\.depth"):
        merged({"nets": {}, "network": {"depth": 2}})


def test_concepts_hardly_ever_measured_are_no_channels() -> None:
    features, _ = made_up(40)
    events = Events.read(features)
    rare = [*CHANNELS, replace(CHANNELS[0], name="rare", id=9)]
    assert measured_channels([events.take(np.arange(40) < 9), events.take(np.arange(40) >= 9)], rare) == list(CHANNELS)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_integrated_gradients_are_complete(encoder: str) -> None:
    tensors, _ = encoded("events", n=12)
    network = network_of(encoder, tensors)
    never = float(np.log1p(48))
    found = integrated_gradients(network, tensors, never, points=32)
    assert found.steps.shape == (len(tensors.inputs), len(CHANNELS))
    stays = [found.steps[a:z].sum() for a, z in itertools.pairwise(tensors.offsets.tolist())]
    total = torch.stack(stays) + found.statics.sum(dim=1) + found.statistics.sum(dim=1)
    start = baseline(network, tensors, never)
    torch.testing.assert_close(total + start, predict(network, tensors), atol=2e-4, rtol=1e-3)
    assert stays[0] == 0, "no event, nothing moved"


def test_what_is_never_read_moves_nothing() -> None:
    tensors, _ = encoded("hourly")
    network = network_of("ssm", tensors)
    with torch.no_grad():
        network.embed.weight[:, [1, 1 + len(CHANNELS), 1 + 2 * len(CHANNELS)]] = 0  # deaf to the second channel
    steps = integrated_gradients(network, tensors, float(np.log1p(48))).steps
    assert (steps[:, 1] == 0).all() and steps[:, 0].abs().sum() > 0


def test_reasons_name_channels_and_sum_to_the_margin() -> None:
    found, features, _, _ = trained(settings={"training": {"networks": 1}})
    reasons = found.model.reasons(features)
    assert reasons.names[:4] == ["hr", "lactate", "urine", "mech_vent"] and "height_cm" in reasons.names
    np.testing.assert_allclose(reasons.contributions.sum(axis=1) + reasons.bias, found.model.margins(features))
    assert np.isnan(reasons.values[0, :4]).all() and reasons.values[1, 0] == 90
    assert np.ptp(reasons.bias[1:]) < 0.1, "the bias is the log odds of a stay in which nothing is known"
    assert reasons.bias[1:].std() < 0.02, "up to the quadrature, which is worst where a small network bends most"
    np.testing.assert_array_equal(reasons.margins, found.model.margins(features))


@pytest.mark.parametrize("grid", LAYOUTS)
def test_the_hours_of_a_channel_sum_to_its_contribution(grid: str) -> None:
    found, features, _, _ = trained(settings={"layout": {"grid": grid}, "training": {"networks": 1}})
    reasons = found.model.reasons(features)
    moments = reasons.moments
    assert moments is not None and moments.channels == ["hr", "lactate", "urine", "mech_vent"]
    assert moments.contributions.shape == moments.values.shape == (60, 48, 4)
    np.testing.assert_allclose(moments.contributions.sum(axis=1), reasons.contributions[:, :4], atol=1e-6)
    assert moments.values[1, 0, 0] == 90 and np.isnan(moments.values[1, :, 1:]).all()
    carried = 90.0 if grid == "hourly" else np.nan  # an hour without a step tells of nothing
    np.testing.assert_array_equal(moments.values[1, 1:, 0], np.full(47, carried, dtype=np.float32))
    last = np.array([row[np.isfinite(row)][-1] for row in moments.values[2:, :, 0]])
    np.testing.assert_allclose(last, reasons.values[2:, 0], rtol=1e-6)


def test_steps_of_one_hour_are_added_up_and_its_last_value_stays() -> None:
    features, _ = made_up(3)
    events = Events.read(table([[(0, 1, 80.0), (59, 1, 90.0), (2880, 2, 4.0)], [], [(60, 1, 70.0)]]))
    raw = collect(features, events, CHANNELS, LAYOUTS["events"])
    encoding = Encoding.fit(raw, np.arange(3), CHANNELS, [], LAYOUTS["events"])
    steps = torch.arange(16, dtype=torch.float32).view(4, 4)
    values, moved = by_hour(raw.grid, encoding, steps)
    assert moved[0, 0].tolist() == [4, 6, 8, 10] and moved[0, 47].tolist() == [8, 9, 10, 11]
    assert moved[2, 1].tolist() == [12, 13, 14, 15] and moved.sum() == steps.sum()
    assert values[0, 0, 0] == 90 and values[0, 47, 0] == 90 and values[2, 1, 0] == 70
    assert values[0, 47, 1] == pytest.approx(4.0) and np.isnan(values[1]).all()


def test_reasons_of_one_network_a_fold_sum_to_the_margin_of_all() -> None:
    found, features, _, _ = trained()
    model = found.model
    assert isinstance(model, SequenceModel)
    first = SequenceModel([(one, networks[:1]) for one, networks in model.members], model.network, model.schema)
    contributions, bias = model.contributions(features)
    np.testing.assert_array_equal(contributions, first.contributions(features)[0])
    np.testing.assert_allclose(contributions.sum(axis=1) + bias, model.margins(features))


def test_gaps_of_the_other_direction() -> None:
    gaps = torch.tensor([[1.0, 1.0, 0.0], [2.0, 0.0, 0.0], [5.0, 0.0, 0.0]])
    assert gaps_after(gaps).T.tolist() == [[2, 5, 1], [1, 0, 0], [0, 0, 0]], "the last step follows nothing"
    assert gaps_after(torch.ones(1, 1)).shape == (1, 1)
    assert gaps_after(torch.tensor([[3.0, 0.0]])).tolist() == [[1, 0]], "a batch of stays of one step"


def test_dropouts_take_channels_and_features_at_all_steps() -> None:
    torch.manual_seed(0)
    kept = ChannelDropout(0.5).train()(torch.ones(7, 5, 12))
    assert torch.equal(kept, kept[:1].expand(7, -1, -1)) and torch.equal(kept[..., :4], kept[..., 8:])
    assert set(kept.unique().tolist()) == {0, 1}
    tied = TiedDropout(0.5).train()(torch.ones(7, 500, 12))
    assert torch.equal(tied, tied[:1].expand(7, -1, -1)) and abs(float(tied.mean()) - 1) < 0.05
    assert torch.equal(TiedDropout(0.5).eval()(kept), kept)


@pytest.mark.parametrize("grid", LAYOUTS)
def test_a_compiler_can_trace_the_state_space(grid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "in_blocks", in_one)  # what runs on a GPU, which alone is compiled for
    tensors, _ = encoded(grid, n=6, hours=6, steps=6)  # each doubling is traced anew
    network = network_of("ssm", tensors, blocks=1)
    batch = tensors.batch(torch.arange(6))
    compiled = torch.compile(network, dynamic=True, backend="aot_eager")
    found, expected = (
        torch.autograd.grad(call(batch).sum(), list(network.parameters()), allow_unused=True)
        for call in (compiled, network)
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_bfloat16_reaches_no_recurrence() -> None:
    tensors, _ = encoded("events")
    network = network_of("ssm", tensors)
    batch = tensors.batch(torch.arange(len(tensors)))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(network(batch).float(), network_logits(network, batch), atol=0.03, rtol=0.05)


def network_logits(network: RiskNetwork, batch: Batch) -> torch.Tensor:
    with torch.autocast("cpu", enabled=False):
        return network(batch)


def test_files_of_tensors_follow_the_format(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = {"b": torch.randn(2, 3), "a": torch.arange(4), "c": torch.tensor(0.1, dtype=torch.float64)}
    tensorfile.save(path, tensors)
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    assert size % 8 == 0 and header["b"] == {"dtype": "F32", "shape": [2, 3], "data_offsets": [32, 56]}
    assert content[8 + size :][32:56] == tensors["b"].numpy().tobytes()
    for name, tensor in tensorfile.load(path).items():
        assert torch.equal(tensor, tensors[name]) and tensor.dtype == tensors[name].dtype
    for broken in (content[:-1], content[:20], b"", b"junk" * 9):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"x\.safetensors"):
            tensorfile.load(path)
