"""Metrics against scikit-learn and against the Challenge's rule worked by hand; the bootstrap by its definition."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from models.bootstrap import intervals, paired_differences
from models.metrics import METRICS, SortedRows, choose_threshold, scores


def made_up(n: int = 500, seed: int = 0, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Labels and informative risks, rounded so that many are equal."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1.5, 1.2, n)
    risks = np.round(1 / (1 + np.exp(-logit)), digits).clip(0.01, 0.99)
    return (rng.random(n) < 1 / (1 + np.exp(-1.3 * logit))).astype(int), risks


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(1, 19)), min_size=12, max_size=60).filter(
        lambda rows: len({y for y, _ in rows}) == 2
    ),
    st.integers(0, 20),
)
@settings(max_examples=60, deadline=None)
def test_equal_scikit_learn(rows: list[tuple[int, int]], cut: int) -> None:
    y = np.array([label for label, _ in rows])
    risks = np.array([risk / 20 for _, risk in rows])
    found = scores(y, risks, cut / 20)
    flagged = risks >= cut / 20
    assert found["auroc"] == pytest.approx(roc_auc_score(y, risks), abs=1e-12)
    assert found["auprc"] == pytest.approx(average_precision_score(y, risks), abs=1e-12)
    assert found["log_loss"] == pytest.approx(log_loss(y, risks), abs=1e-12)
    assert found["brier"] == pytest.approx(brier_score_loss(y, risks), abs=1e-12)
    assert found["sensitivity"] == pytest.approx(recall_score(y, flagged), abs=1e-12)
    assert found["ppv"] == pytest.approx(precision_score(y, flagged, zero_division=0), abs=1e-12)
    assert found["accuracy"] == pytest.approx(accuracy_score(y, flagged), abs=1e-12)
    assert found["event1"] == min(found["sensitivity"], found["ppv"])


def test_calibration_equals_an_unpenalised_regression() -> None:
    y, risks = made_up(2000)
    logit = np.log(risks / (1 - risks))
    found = scores(y, risks, 0.5)
    fitted = LogisticRegression(C=np.inf, tol=1e-10).fit(logit[:, None], y)
    assert found["calibration_slope"] == pytest.approx(fitted.coef_[0, 0], abs=1e-5)
    # With the slope held at 1, the intercept makes expected and observed deaths equal.
    shifted = 1 / (1 + np.exp(-(logit + found["calibration_intercept"])))
    assert shifted.sum() == pytest.approx(y.sum(), abs=1e-6)


@pytest.mark.parametrize("kind", ["chance", "far_too_low", "upside_down", "far_too_sure"])
def test_calibration_is_found_however_far_off_the_risks_are(kind: str) -> None:
    rng = np.random.default_rng(8)
    y = (rng.random(250) < 0.3).astype(int)
    margins = {
        "chance": np.log(1 / rng.random(250) - 1),
        "far_too_low": rng.normal(-9, 0.3, 250) + 0.1 * y,
        "upside_down": rng.normal(0, 2, 250) - 3 * y,
        "far_too_sure": 12 * (rng.normal(0, 1, 250) + 0.5 * y),
    }[kind]
    found = scores(y, 1 / (1 + np.exp(-margins)), 0.5)
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(margins[:, None], y)
    assert found["calibration_slope"] == pytest.approx(fitted.coef_[0, 0], abs=1e-4)
    assert (1 / (1 + np.exp(-(margins + found["calibration_intercept"])))).sum() == pytest.approx(y.sum(), abs=1e-6)


def test_risks_that_part_the_outcomes_have_no_slope() -> None:
    found = scores([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.7], 0.5)
    assert np.isnan(found["calibration_slope"])
    assert np.isfinite(found["calibration_intercept"])


def test_perfect_calibration_is_slope_1_intercept_0() -> None:
    risks = np.repeat([0.1, 0.25, 0.5, 0.8], [10, 8, 8, 10])
    y = np.concatenate([np.arange(n) < k for n, k in ((10, 1), (8, 2), (8, 4), (10, 8))]).astype(int)
    found = scores(y, risks, 0.5)
    assert found["calibration_slope"] == pytest.approx(1, abs=1e-9)
    assert found["calibration_intercept"] == pytest.approx(0, abs=1e-9)


def test_event_1_by_hand() -> None:
    y = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    risks = np.array([0.9, 0.8, 0.7, 0.2, 0.85, 0.6, 0.3, 0.1, 0.1, 0.1])
    found = scores(y, risks, 0.7)  # flags 4, of whom 3 died; 3 of 4 deaths flagged
    assert (found["sensitivity"], found["ppv"], found["event1"]) == (0.75, 0.75, 0.75)
    assert scores(y, risks, 0.95)["event1"] == 0.0  # nobody flagged


def test_event_2_by_hand() -> None:
    # 23 records: ten groups of two by risk, the three of highest risk are in none.
    risks = np.concatenate([np.repeat(np.arange(1, 11) / 20, 2), [0.9, 0.95, 0.99]])
    y = np.zeros(23, dtype=int)
    y[[13, 18, 19]] = 1  # groups 7 (one death) and 10 (two deaths)
    expected = 0.0
    for group, deaths in enumerate([0, 0, 0, 0, 0, 0, 1, 0, 0, 2], start=1):
        p = group / 20
        expected += (deaths - 2 * p) ** 2 / (2 * p * (1 - p) + 0.001)
    expected /= 0.5 - 0.05
    shuffled = np.random.default_rng(1).permutation(23)
    assert scores(y[shuffled], risks[shuffled], 0.5)["event2"] == pytest.approx(expected, rel=1e-12)


def challenge_event_2(y: np.ndarray, risks: np.ndarray) -> float:
    """The Challenge's scoring script (lemeshow.m, version 1.4), line by line."""
    order = np.argsort(risks, kind="stable")  # sortrows keeps the order of equal risks
    y, risks = y[order], risks[order]
    m = len(y) // 10
    h, centroid = 0.0, []
    for i in range(1, 11):
        high = i * m
        low = high - m + 1
        observed = y[low - 1 : high].sum()
        centroid.append(risks[low - 1 : high].mean())
        expected = m * centroid[-1]
        h += (observed - expected) ** 2 / (m * centroid[-1] * (1 - centroid[-1]) + 0.001)
    return h / (centroid[9] - centroid[0])


@given(st.integers(10, 400), st.integers(0, 2**32 - 1), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_event_2_is_that_of_the_challenge_script(n: int, seed: int, digits: int) -> None:
    y, risks = made_up(n, seed, digits)
    expected = challenge_event_2(y, risks) if np.ptp(risks[np.argsort(risks)][: n // 10 * 10]) else np.nan
    if np.isfinite(expected):
        assert scores(y, risks, 0.5)["event2"] == pytest.approx(expected, rel=1e-9)


def test_undefined_figures_are_nan_not_zero() -> None:
    found = scores([0] * 20, np.linspace(0.1, 0.5, 20), 0.3)
    undefined = {name for name, value in found.items() if np.isnan(value)}
    assert undefined == {"auroc", "auprc", "sensitivity", "event1", "calibration_slope", "calibration_intercept"}


@pytest.mark.parametrize(
    ("labels", "risks", "message"),
    [
        ([0, 2], [0.1, 0.2], "labels must be 0 or 1"),
        ([0, 1], [0.1, 1.2], "risks must lie"),
        ([0, 1], [0.1, np.nan], "risks must lie"),
        ([0, 1], [0.1], "equally long"),
        ([], [], "non-empty"),
    ],
)
def test_bad_input_is_refused(labels: list[int], risks: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scores(labels, risks, 0.5)


def test_threshold_is_the_best_of_all() -> None:
    y, risks = made_up(300)
    chosen = scores(y, risks, choose_threshold(y, risks))["event1"]
    assert chosen == max(scores(y, risks, cut)["event1"] for cut in np.unique(risks))


def test_threshold_lies_between_two_risks() -> None:
    assert choose_threshold([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.8]) == pytest.approx(0.4)
    with pytest.raises(ValueError, match="no event"):
        choose_threshold([0, 0], [0.1, 0.2])


def test_resample_scores_equal_scores_of_the_resampled_rows() -> None:
    """A vector of counts must say the same as the rows written out that often."""
    y, risks = made_up(200, digits=1)
    rows = SortedRows(y, risks, 0.3)
    counts = np.bincount(np.random.default_rng(3).integers(200, size=200), minlength=200).astype(float)
    ours = rows.scores(counts[None, :])
    order = np.repeat(rows.order, counts.astype(int))
    theirs = scores(y[order], risks[order], 0.3)
    assert {name: float(value[0]) for name, value in ours.items()} == pytest.approx(theirs, rel=1e-9)


def test_intervals_hold_the_estimate_and_repeat_by_seed() -> None:
    y, risks = made_up(400)
    found = intervals(y, risks, 0.3, resamples=200, seed=5)
    assert list(found) == list(METRICS)
    for name in ("auroc", "auprc", "log_loss", "brier", "event1"):
        assert found[name].low < found[name].value < found[name].high
    assert found == intervals(y, risks, 0.3, resamples=200, seed=5)
    assert found != intervals(y, risks, 0.3, resamples=200, seed=6)


def test_interval_width_is_that_of_the_theory() -> None:
    """The standard error of a Brier score is that of a mean."""
    y, risks = made_up(2000)
    found = intervals(y, risks, 0.3, resamples=500)["brier"]
    error = np.std((y - risks) ** 2) / np.sqrt(2000)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_the_calibration_intercept_is_as_uncertain_as_the_number_of_deaths() -> None:
    """Its standard error is 1 / sqrt(sum of p (1 - p)): resamples that all had the same deaths would hide it."""
    y, risks = made_up(2000)
    risks = np.full(2000, y.mean())  # nothing but the number of deaths to be wrong about
    found = intervals(y, risks, 0.3, resamples=800)["calibration_intercept"]
    assert found.value == pytest.approx(0, abs=1e-9)
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(np.sum(risks * (1 - risks))), rel=0.15)


def test_patients_are_drawn_whole() -> None:
    """Each row doubled under the same patient says nothing new: the interval must not shrink."""
    y, risks = made_up(300)
    once = intervals(y, risks, 0.3, patients=np.arange(300), resamples=300)["auroc"]
    twice = intervals(np.tile(y, 2), np.tile(risks, 2), 0.3, patients=np.tile(np.arange(300), 2), resamples=300)[
        "auroc"
    ]
    assert twice == pytest.approx(once, abs=1e-12)


def test_paired_difference_is_antisymmetric_and_zero_for_equals() -> None:
    y, risks = made_up(300)
    worse = np.clip(risks + np.random.default_rng(2).normal(0, 0.2, 300), 0, 1)
    same = paired_differences(y, risks, risks, 0.3, 0.3, resamples=50)
    assert all(tuple(found) == (0.0, 0.0, 0.0) for found in same.values())
    one = paired_differences(y, risks, worse, 0.3, 0.4, resamples=100)
    other = paired_differences(y, worse, risks, 0.4, 0.3, resamples=100)
    assert one["auroc"].value == pytest.approx(roc_auc_score(y, risks) - roc_auc_score(y, worse))
    assert one["auroc"].low > 0
    assert one["auroc"].low == pytest.approx(-other["auroc"].high)
    unpaired = intervals(y, risks, 0.3, resamples=100)["log_loss"]
    paired = paired_differences(y, risks, np.clip(risks + 0.001, 0, 1), 0.3, 0.3, resamples=100)["log_loss"]
    assert paired.high - paired.low < (unpaired.high - unpaired.low) / 10


def test_a_thousand_resamples_are_quick() -> None:
    y, risks = made_up(4000, digits=6)
    started = time.process_time()
    intervals(y, risks, 0.3, resamples=1000)
    assert time.process_time() - started < 15
