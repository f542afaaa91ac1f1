"""The calibrated stack: weights from out-of-fold risks alone, contributions that add up, an exact copy from disk."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from models.base import restore, store
from models.features import describe
from models.kinds import linear
from models.splits import patient_folds
from models.stack import StackedModel, clipped_logit, fit_weights, out_of_fold

RNG = np.random.default_rng(3)
N = 4000
TRUE = RNG.normal(-1.5, 1.5, N)
LABELS = (RNG.random(N) < expit(TRUE)).astype(float)


def test_one_member_is_calibrated() -> None:
    """Log odds twice too large and shifted by one come back: weight 1/2, intercept -1/2."""
    weights, intercept = fit_weights(expit(2 * TRUE + 1)[:, None], LABELS)
    assert weights == pytest.approx([0.5], abs=0.04)
    assert intercept == pytest.approx(-0.5, abs=0.08)


def test_a_member_without_signal_gets_no_weight_and_none_counts_backwards() -> None:
    risks = np.column_stack([expit(TRUE), expit(RNG.normal(size=N)), expit(RNG.normal(size=N) - TRUE)])
    weights, _ = fit_weights(risks, LABELS)
    assert weights[0] == pytest.approx(1.0, abs=0.08)
    assert weights[1] == pytest.approx(0.0, abs=0.06)
    assert weights[2] == 0.0


def test_a_rows_stacked_risk_does_not_depend_on_its_own_folds_labels() -> None:
    folds = patient_folds(LABELS, np.arange(N), seed=1)
    risks = np.column_stack([expit(TRUE), expit(TRUE + RNG.normal(size=N))])
    before = out_of_fold(risks, LABELS, folds)
    other = np.where(folds == 2, 1 - LABELS, LABELS)
    after = out_of_fold(risks, other, folds)
    np.testing.assert_array_equal(before[folds == 2], after[folds == 2])
    assert not np.allclose(before[folds != 2], after[folds != 2])


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    columns = RNG.normal(size=(300, 3))
    return pd.DataFrame(columns, columns=["heart_rate_mean", "lactate_max", "age"])


@pytest.fixture(scope="module")
def stacked(frame: pd.DataFrame) -> StackedModel:
    y = (frame.sum(axis=1) + RNG.normal(size=300) > 0).astype(float).to_numpy()
    folds = patient_folds(y, np.arange(300))
    members = {}
    for name, columns in {"vitals": ["heart_rate_mean", "age"], "labs": ["lactate_max", "age"]}.items():
        part = frame[columns]
        members[name] = linear.train(part, y, folds, describe(part), search={"C": [1.0], "l1_ratio": [0.0]}).model
    return StackedModel(members, [0.7, 0.5], -0.2)


def test_contributions_and_bias_add_up_to_the_margin(stacked: StackedModel, frame: pd.DataFrame) -> None:
    found = stacked.reasons(frame)
    assert found.names == ["heart_rate_mean", "age", "lactate_max"]
    np.testing.assert_allclose(found.contributions.sum(axis=1) + found.bias, stacked.margins(frame), atol=1e-9)
    np.testing.assert_array_equal(found.values, frame[found.names].to_numpy())


def test_the_margin_is_the_weighted_sum_of_the_members(stacked: StackedModel, frame: pd.DataFrame) -> None:
    vitals, labs = stacked.members["vitals"], stacked.members["labs"]
    expected = -0.2 + 0.7 * vitals.margins(frame[["heart_rate_mean", "age"]])
    expected += 0.5 * labs.margins(frame[["lactate_max", "age"]])
    np.testing.assert_allclose(stacked.margins(frame), expected, atol=1e-12)


def test_a_stored_stack_answers_the_same_to_the_last_bit(
    stacked: StackedModel, frame: pd.DataFrame, tmp_path: Path
) -> None:
    store(stacked, tmp_path / "model")
    np.testing.assert_array_equal(restore(tmp_path / "model").margins(frame), stacked.margins(frame))


def test_certain_risks_have_finite_log_odds() -> None:
    assert np.isfinite(clipped_logit([0.0, 1.0])).all()
