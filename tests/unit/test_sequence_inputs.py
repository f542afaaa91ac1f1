"""Events on grids and their encoding: exact values, nothing fitted outside the training rows."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sequence_data import CHANNELS, DICTIONARY, LAYOUTS, made_up, table

from models.sequence.events import Events, attach
from models.sequence.grids import Channel, last_values, lay
from models.sequence.inputs import LAYOUT, Encoding, collect, statistics_of
from models.sequence.laid import Raw
from models.sequence.scale import Scale

HR, LACTATE, URINE, VENT = range(4)
STAYS = [
    [(0, 1, 80.0), (30, 1, 90.0), (30, 4, 50.0), (50, 4, 25.0), (130, 2, np.e), (200, 5, 1.0), (2880, 1, 100.0)],
    [],
    [(61, 1, 70.0), (61, 3, 9.0)],
]


def raw_of(features: pd.DataFrame, layout: dict) -> tuple[Raw, list[str]]:
    columns = statistics_of(features.columns, CHANNELS, layout["statistics"])
    return collect(features, Events.read(features), CHANNELS, layout), columns


def test_the_hourly_grid() -> None:
    grid = lay(Events.read(table(STAYS)), CHANNELS, "hourly", hours=48)
    assert grid.offsets.tolist() == [0, 48, 96, 144] and grid.equal and (grid.gaps == 1).all()
    assert grid.values[:4, HR].tolist() == [85, 85, 85, 85], "mean of the hour, carried forward"
    assert grid.counts[:4, HR].tolist() == [2, 0, 0, 0]
    assert grid.since[:4, HR].tolist() == [0.5, 1.5, 2.5, 3.5], "from the last measurement to the hour's end"
    assert grid.values[0, URINE] == 75, "volumes add up"
    assert np.isnan(grid.values[:2, LACTATE]).all() and grid.values[2, LACTATE] == 1, "its logarithm"
    assert grid.values[3, VENT] == 1
    assert (grid.values[47, HR], grid.counts[47, HR], grid.since[47, HR]) == (100, 1, 0), "minute 2880 is in the window"
    assert np.isnan(grid.values[48:96]).all() and not grid.counts[48:96].any(), "no events: nothing known"
    assert grid.values[97, HR] == 70 and np.isnan(grid.values[96, HR]), "nothing is carried from stay to stay"


def test_the_event_grid() -> None:
    grid = lay(Events.read(table(STAYS)), CHANNELS, "events", hours=48)
    assert grid.offsets.tolist() == [0, 6, 6, 7] and not grid.equal
    np.testing.assert_allclose(grid.gaps, np.array([60, 30, 20, 80, 70, 2680, 60]) / 60, rtol=1e-6)
    assert grid.values[:6, HR].tolist() == [80, 90, 90, 90, 90, 100]
    np.testing.assert_allclose(grid.since[:6, HR], np.array([0, 0, 20, 100, 170, 0]) / 60, rtol=1e-6)
    assert grid.values[1, URINE] == 50 and grid.values[2, URINE] == 25, "each entry is a step of its own"
    assert grid.values[6].tolist()[HR] == 70 and grid.counts[6].tolist() == [1, 0, 0, 0], "concept 3 is no channel"


def test_of_too_many_steps_the_latest_are_kept_with_what_was_known() -> None:
    grid = lay(Events.read(table(STAYS)), CHANNELS, "events", steps=2)
    assert grid.offsets.tolist() == [0, 2, 2, 3]
    assert grid.values[0].tolist() == [90, 1, 25, 1]


def test_events_after_the_window_change_nothing() -> None:
    later = [[*row, (2881, 1, 300.0), (4000, 2, 9.0)] for row in STAYS]
    for kind in LAYOUTS:
        one, other = (lay(Events.read(table(rows)), CHANNELS, kind, hours=48) for rows in (STAYS, later))
        for name in ("offsets", "gaps", "values", "counts", "since"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_last_values_are_in_the_unit() -> None:
    last = last_values(lay(Events.read(table(STAYS)), CHANNELS, "events"), CHANNELS)
    np.testing.assert_allclose(last, [[100, np.e, 25, 1], [np.nan] * 4, [70, np.nan, np.nan, np.nan]], rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 2880), st.sampled_from([1, 2, 3, 4, 5]), st.floats(0.1, 99))), max_size=5
    )
)
def test_grids_agree_with_a_loop(rows: list[list[tuple[int, int, float]]]) -> None:
    rows = [sorted(row) for row in rows]
    grid = lay(Events.read(table(rows)), CHANNELS, "hourly")
    for i, row in enumerate(rows):
        for j, channel in enumerate(CHANNELS):
            own = [(minute, value) for minute, concept, value in row if concept == channel.id]
            for hour in range(48):
                inside = [v for m, v in own if min(m // 60, 47) == hour]
                before = [m for m, _ in own if min(m // 60, 47) <= hour]
                step = grid.offsets[i] + hour
                assert grid.counts[step, j] == len(inside)
                expected = (hour + 1) - max(before) / 60 if before else np.nan
                np.testing.assert_allclose(grid.since[step, j], expected, atol=1e-4)
                if inside:
                    told = np.log(inside) if channel.log else inside
                    how = {"mean": np.mean, "sum": np.sum, "max": np.max}[channel.aggregate]
                    np.testing.assert_allclose(grid.values[step, j], how(told), rtol=1e-4, atol=1e-5)


def test_reading_refuses_what_is_no_sequence() -> None:
    columns = {"minutes": [[3, 2]], "concepts": [[1, 1]], "values": [[1.0, 1.0]]}
    with pytest.raises(ValueError, match="ascend"):
        Events.read(pa.table(columns))
    with pytest.raises(ValueError, match="equally long"):
        Events.read(pa.table({**columns, "minutes": [[3]]}))
    with pytest.raises(KeyError, match="1 stays have no sequence, s9"):
        attach(pd.DataFrame({"age": [1.0]}, index=["s9"]), table(STAYS))


def test_rows_are_taken_in_the_order_asked_for() -> None:
    events = Events.read(table(STAYS)).take(np.array([2, 1, 0]))
    assert events.offsets.tolist() == [0, 2, 2, 9] and events.minutes[:3].tolist() == [61, 61, 0]
    features = attach(pd.DataFrame({"age": [1.0, 2.0]}, index=["s2", "s0"]), table(STAYS))
    assert Events.read(features).offsets.tolist() == [0, 2, 9]


@pytest.mark.parametrize("grid", LAYOUTS)
def test_an_encoding_knows_training_rows_alone_and_survives_json(grid: str) -> None:
    layout = LAYOUTS[grid]
    features, _ = made_up(60)
    train = np.arange(60) < 40
    raw, columns = raw_of(features, layout)
    encoding = Encoding.fit(raw, train, CHANNELS, columns, layout)
    others = made_up(20, seed=9)[0].set_index(features.index[40:])
    changed, _ = raw_of(pd.concat([features[:40], others]), layout)
    assert Encoding.fit(changed, train, CHANNELS, columns, layout) == encoding
    again = Encoding.from_dict(json.loads(json.dumps(encoding.to_dict())))
    for one, other in zip(vars(encoding.encode(raw)).values(), vars(again.encode(raw)).values(), strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    part = encoding.encode(raw, np.array([7, 3]))
    whole = encoding.encode(raw)
    assert torch.equal(part.statics, whole.statics[[7, 3]])
    assert torch.equal(part.batch(torch.tensor([0])).inputs, whole.batch(torch.tensor([7])).inputs)


def test_encoded_values() -> None:
    features = attach(made_up(3)[0].iloc[:, :10], table(STAYS)).assign(hr_mean=[85.0, np.nan, 70.0])
    raw, columns = raw_of(features, LAYOUT)
    encoding = Encoding.fit(raw, np.arange(3), CHANNELS, columns, LAYOUT)
    assert encoding.values.spread == (np.inf,) * 4, "too few rows to tell a spread"
    tensors = Encoding.from_dict(
        {
            **encoding.to_dict(),
            "values": {**encoding.to_dict()["values"], "mean": [80, 1, 0, 0], "spread": [2, 1, 1, 1]},
        }
    ).encode(raw)
    first, never = tensors.batch(torch.tensor([0])).inputs[:, 0], np.log1p(48)
    assert first[0, :4].tolist() == [2.5, 0, 4, 0], "(85 - 80) / 2; unknown; capped; unknown"
    np.testing.assert_allclose(first[0, 4:], [np.log(3), 0, np.log(3), 0, np.log(1.5), never, np.log1p(1 / 6), never])
    assert tensors.batch(torch.tensor([1])).inputs.unique().tolist() == pytest.approx([0, never])


def test_a_scale_is_of_known_values_unskewed_and_capped() -> None:
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(5, 2, 500), rng.lognormal(2, 1.5, 500), np.full(500, 3.0), np.full(500, np.nan)], 1)
    values[::7, 0] = np.nan
    scale = Scale.fit(["plain", "skewed", "constant", "unknown"], values, unskew=True)
    assert scale.logged == (False, True, False, False)
    scaled = scale.apply(values)
    assert (scaled[::7, 0] == 0).all() and (scaled[:, 2:] == 0).all() and abs(scaled).max() <= 4
    known = scaled[~np.isnan(values[:, 0]), 0]
    assert abs(known.mean()) < 0.01 and abs(known.std() - 1) < 0.01


def test_channels_come_from_the_dictionary() -> None:
    assert CHANNELS[1] == Channel("lactate", 2, True, "mean") and not CHANNELS[2].log
    assert statistics_of(["lactate_mean", "hr_max", "hr_mean", "age"], CHANNELS, ["mean", "max"]) == [
        "hr_mean",
        "hr_max",
        "lactate_mean",
    ]
    assert len(DICTIONARY) == len(CHANNELS)
    with pytest.raises(ValueError, match="none of hourly, events"):
        lay(Events.read(table(STAYS)), CHANNELS, "daily")
