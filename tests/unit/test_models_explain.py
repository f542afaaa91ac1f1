"""Which hours moved a risk: the largest first, weighed and added up over the models that read the course."""

import numpy as np
import pytest

from models.base import Moments
from models.explain import Moment, joined, top_moments

NAN = float("nan")


def moments(channels: list[str], values: list, contributions: list) -> Moments:
    return Moments(channels, np.array(values, dtype=np.float32), np.array(contributions, dtype=np.float32))


TWO_HOURS = moments(
    ["hr", "lactate"],
    [[[80, NAN], [90, 2.1]], [[70, NAN], [70, NAN]]],
    [[[0.25, 0.0], [-0.5, 0.125]], [[0.0, 0.0], [0.0, 0.0]]],
)


def test_the_largest_hours_by_hand() -> None:
    first, second = top_moments(TWO_HOURS, 2)
    assert first == [Moment("hr", 1, 90.0, -0.5), Moment("hr", 0, 80.0, 0.25)]
    assert second == [], "what moved nothing is no reason"
    assert top_moments(TWO_HOURS, 9)[0][2] == Moment("lactate", 1, 2.1, 0.125), "six digits, as single precision has"


def test_an_hour_before_the_first_measurement_has_no_value() -> None:
    unmeasured = moments(["hr"], [[[NAN], [60]]], [[[0.5], [0.25]]])
    assert top_moments(unmeasured, 1) == [[Moment("hr", 0, None, 0.5)]]


def test_models_are_added_up_by_channel_times_their_weights() -> None:
    other = moments(["map", "hr"], [[[65, NAN]], [[NAN, 71]]], [[[1.0, 2.0]], [[3.0, 4.0]]])  # of one hour
    whole = joined([(0.5, TWO_HOURS), (0.25, other)])
    assert whole is not None and whole.channels == ["hr", "lactate", "map"]
    assert whole.contributions[0].tolist() == [[0.625, 0.0, 0.25], [-0.25, 0.0625, 0.0]]
    assert whole.contributions[1].tolist() == [[1.0, 0.0, 0.75], [0.0, 0.0, 0.0]]
    np.testing.assert_array_equal(whole.values[0], np.array([[80, NAN, 65], [90, 2.1, NAN]], dtype=np.float32))
    assert joined([]) is None


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_a_weight_scales_every_hour(weight: float) -> None:
    whole = joined([(weight, TWO_HOURS)])
    assert whole is not None
    np.testing.assert_array_equal(whole.contributions, np.float32(weight) * TWO_HOURS.contributions)
