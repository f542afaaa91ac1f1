"""The gate: who is promoted by which figures, what it says, and how champions are gone back through."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bootstrap import Interval
from models.promotion import Appointment, Decision, enough, judge, line_of, not_judged

LABELS = np.repeat([0.0, 1.0], 50)
FEW = np.repeat([0.0, 1.0], [50, 19])
TRUE = {"calibration_slope": Interval(1.0, 0.95, 1.05), "calibration_intercept": Interval(0.0, -0.1, 0.1)}
TIMID = {**TRUE, "calibration_slope": Interval(1.3, 1.11, 1.5)}
HIGH = {**TRUE, "calibration_intercept": Interval(-0.5, -0.8, -0.21)}
NAN = float("nan")


def differences(log_loss: Interval, auroc: Interval, auprc: Interval) -> dict[str, Interval]:
    return {"log_loss": log_loss, "auroc": auroc, "auprc": auprc}


def around(value: float, half: float = 0.02) -> Interval:
    return Interval(value, value - half, value + half)


EQUAL = differences(around(0), around(0), around(0))


def decided(labels: np.ndarray = LABELS, figures: dict[str, Interval] = TRUE, **changed: Interval) -> Decision:
    return judge(labels, figures, {**EQUAL, **changed}, "against champion version 1")


def test_of_equals_the_newer_one_wins() -> None:
    found = decided()
    assert found.verdict == "promoted"
    assert found.reason == (
        "against champion version 1: log loss +0.0000 (-0.0200 to +0.0200), AUROC +0.0000 (-0.0200 to +0.0200), "
        "AUPRC +0.0000 (-0.0200 to +0.0200); not worse; calibration slope 1.00 (0.95 to 1.05) holds; "
        "calibration intercept 0.00 (-0.10 to 0.10) holds"
    )
    assert set(found.figures) == {"difference_log_loss", "difference_auroc", "difference_auprc"}


@pytest.mark.parametrize(
    ("name", "worse", "better"),
    [
        ("log_loss", Interval(0.02, 0.001, 0.04), Interval(-0.02, -0.04, -0.001)),
        ("auroc", Interval(-0.004, -0.007, -0.001), Interval(0.02, 0.001, 0.04)),
        ("auprc", Interval(-0.004, -0.007, -0.001), Interval(0.02, 0.001, 0.04)),
    ],
)
def test_a_figure_whose_interval_is_wholly_worse_refuses(name: str, worse: Interval, better: Interval) -> None:
    refused = decided(**{name: worse})
    assert refused.verdict == "refused"
    assert "is worse beyond chance" in refused.reason and "not worse" not in refused.reason
    assert decided(**{name: better}).promoted


def test_what_may_be_chance_is_allowed_up_to_a_margin() -> None:
    assert decided(auroc=around(-0.005), auprc=around(-0.0049)).promoted
    refused = decided(auroc=around(-0.005), auprc=around(-0.0051))
    assert refused.verdict == "refused"
    assert "AUROC and AUPRC together are worse by 0.0101, more than 0.01" in refused.reason
    assert decided(auroc=around(-0.03, 0.05), auprc=around(0.021)).promoted, "one may make up for the other"


@pytest.mark.parametrize(("figures", "said"), [(TIMID, "slope 1.30 (1.11 to 1.50)"), (HIGH, "intercept -0.50 (")])
def test_risks_that_are_not_true_refuse_a_better_model(figures: dict[str, Interval], said: str) -> None:
    refused = decided(figures=figures, log_loss=Interval(-0.02, -0.04, -0.001))
    assert refused.verdict == "refused"
    assert f"{said}" in refused.reason and "does not hold" in refused.reason


def test_of_few_rows_calibration_is_told_but_refuses_nobody() -> None:
    found = decided(labels=FEW, figures=TIMID)
    assert found.promoted
    assert "does not hold" in found.reason and "too few rows to refuse it by that: fewer than 20" in found.reason


def test_a_wide_or_unknown_interval_passes_and_says_so() -> None:
    wide = {**TRUE, "calibration_slope": Interval(1.4, 0.2, 9.0)}
    assert decided(figures=wide).promoted
    assert "1.40 (0.20 to 9.00) holds, though the interval is wide" in decided(figures=wide).reason
    unknown = {**TRUE, "calibration_slope": Interval(NAN, NAN, NAN)}
    assert decided(figures=unknown).promoted
    assert "cannot be told" in decided(figures=unknown).reason


def test_where_nothing_serves_any_model_does_but_its_calibration_is_told() -> None:
    first = judge(LABELS, TRUE, None, "the first champion")
    assert first.promoted and first.reasons[0] == "the first champion" and first.figures == {}
    timid = judge(LABELS, TIMID, None, "the first champion")
    assert timid.promoted
    assert timid.reasons[-1] == "promoted all the same, for nothing else can serve"


def test_what_cannot_be_compared_is_not_judged() -> None:
    assert not_judged("why").verdict == "not judged"
    assert not not_judged("why").promoted
    assert enough(LABELS) and not enough(FEW) and not enough(1 - FEW)


difference = st.floats(-0.1, 0.1).flatmap(lambda v: st.floats(0, 0.1).map(lambda half: around(v, half)))


@given(difference, difference, difference, st.floats(0, 0.05))
def test_a_better_challenger_is_never_judged_worse(
    log_loss: Interval, auroc: Interval, auprc: Interval, gain: float
) -> None:
    """Whatever is promoted would be with a lower log loss and higher AUROC and AUPRC as well."""

    def moved(one: Interval, by: float) -> Interval:
        return Interval(one.value + by, one.low + by, one.high + by)

    before = decided(log_loss=log_loss, auroc=auroc, auprc=auprc)
    after = decided(log_loss=moved(log_loss, -gain), auroc=moved(auroc, gain), auprc=moved(auprc, gain))
    assert after.promoted or not before.promoted


def test_going_back_takes_the_last_champion_off() -> None:
    def line(*steps: tuple[int, str]) -> list[int]:
        return line_of(Appointment(version, how, "", "", "") for version, how in steps)  # type: ignore[arg-type]

    assert line() == []
    assert line((1, "gate"), (4, "gate"), (3, "person")) == [1, 4, 3]
    assert line((1, "gate"), (4, "gate"), (1, "rollback")) == [1]
    assert line((1, "gate"), (4, "gate"), (1, "rollback"), (6, "gate"), (1, "rollback")) == [1]
    assert line((1, "gate"), (4, "gate"), (4, "person")) == [1, 4], "named again, it stands there once"
    assert line((1, "before"), (2, "gate"), (1, "person"), (2, "rollback"), (1, "rollback")) == [1]
