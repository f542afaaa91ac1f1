"""Preprocessing and logistic regression: each step by hand, and nothing learned from rows that were not given."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from models_data import CATEGORIES, made_up_stays
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import PowerTransformer

from models import linear
from models.features import describe
from models.linear import LogisticModel
from models.preprocessing import MedianFill, MissingFlags, QuantileCap, Unskew, UsefulColumns
from models.splits import patient_folds

SEARCH = {"C": [0.01, 0.1], "l1_ratio": [0.0, 1.0]}
nan = np.nan


def fit(frame: pd.DataFrame, labels: np.ndarray, **more: object) -> linear.Trained:
    schema = describe(frame, **CATEGORIES)
    return linear.train(frame, labels, patient_folds(labels, frame.index, 3), schema, search=SEARCH, threads=1, **more)


def test_useful_columns_drops_the_unmeasured_and_the_constant() -> None:
    rare = np.full(100, nan)
    rare[:4] = [1, 2, 3, 4]
    steady = np.full(100, 7.0)
    steady[0] = 8
    X = np.column_stack([rare, steady, np.arange(100.0), np.full(100, nan)])
    step = UsefulColumns(max_missing=0.95, max_same=0.985).fit(X)
    np.testing.assert_array_equal(step.kept_, [2])
    np.testing.assert_array_equal(UsefulColumns(0.96, 0.99).fit(X).kept_, [0, 1, 2])
    assert list(step.get_feature_names_out(["a", "b", "c", "d"])) == ["c"]


def test_missing_flags_are_shared_by_a_panel() -> None:
    X = np.array([[1, 1, 5, 1], [nan, nan, 5, nan], [1, 1, 5, 1], [nan, nan, 5, 1.0]])
    step = MissingFlags().fit(X)
    np.testing.assert_array_equal(step.transform(X), [[0, 0], [1, 1], [0, 0], [1, 0]])
    assert list(step.get_feature_names_out(["na", "k", "hr", "mg"])) == ["na|missing", "mg|missing"]


@pytest.mark.parametrize(("column", "median"), [([3, nan, 1], 2), ([5, 1, 2], 2), ([nan, nan], 0), ([4, nan], 4)])
def test_median_fill(column: list[float], median: float) -> None:
    X = np.array(column)[:, None]
    filled = MedianFill().fit(X).transform(X)[:, 0]
    np.testing.assert_array_equal(filled, np.where(np.isnan(column), median, column))


def test_quantile_cap_uses_training_quantiles() -> None:
    step = QuantileCap(0.1, 0.9).fit(np.arange(11.0)[:, None])
    np.testing.assert_array_equal(step.transform([[-50.0], [5.0], [99.0]])[:, 0], [1, 5, 9])


def test_unskew_agrees_with_scikit_learn_and_leaves_symmetric_columns() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.lognormal(0, 0.8, 2000), rng.normal(50, 9, 2000)])
    step = Unskew(skew=1.0).fit(X)
    ours = step.transform(X)
    np.testing.assert_array_equal(step.columns_, [0])
    np.testing.assert_allclose(ours[:, 1], (X[:, 1] - X[:, 1].mean()) / X[:, 1].std())
    z = (X - X.mean(0)) / X.std(0)
    theirs = PowerTransformer("yeo-johnson", standardize=False).fit(z)
    assert step.powers_[0] == pytest.approx(theirs.lambdas_[0], abs=0.125)  # the powers tried are 0.25 apart
    theirs.lambdas_ = np.array([step.powers_[0], 1.0])
    np.testing.assert_allclose(ours[:, 0], theirs.transform(z)[:, 0], rtol=1e-9)
    assert pd.Series(X[:, 0]).skew() > 2
    assert abs(pd.Series(ours[:, 0]).skew()) < 0.5


def test_test_rows_change_nothing_that_is_fitted() -> None:
    """Same training rows, other test rows: the stored pipeline is the same to the last number."""
    frame, labels = made_up_stays(400)
    one, other = fit(frame[:300], labels[:300]), fit(frame[:300], labels[:300])
    one.model.risks(frame[300:])
    absurd = frame[300:].assign(lactate_max=1e6, age=-1e6, ward="unheard of", icu_type=nan)
    assert np.isfinite(other.model.risks(absurd)).all()
    assert isinstance(one.model, LogisticModel)
    assert isinstance(other.model, LogisticModel)
    np.testing.assert_array_equal(one.model.pipeline[-1].coef_, other.model.pipeline[-1].coef_)
    numbers = one.model.pipeline["columns"].named_transformers_["numbers"]
    np.testing.assert_array_equal(numbers["fill"].medians_, frame[:300][numbers.feature_names_in_].median())


def test_out_of_fold_risks_ignore_the_fold_s_own_labels() -> None:
    """Flipping the labels of one fold leaves the risks of that fold as they were: they come from the other folds."""
    frame, labels = made_up_stays(300)
    folds = patient_folds(labels, frame.index, 3)
    schema = describe(frame, **CATEGORIES)
    flipped = np.where(folds == 1, 1 - labels, labels)
    search = {"C": [0.1]}
    one = linear.train(frame, labels, folds, schema, search=search, threads=1).out_of_fold
    other = linear.train(frame, flipped, folds, schema, search=search, threads=1).out_of_fold
    np.testing.assert_array_equal(one[folds == 1], other[folds == 1])
    assert (one[folds != 1] != other[folds != 1]).any()


def test_learns_the_signal_and_only_the_signal() -> None:
    frame, labels = made_up_stays(900)
    trained = fit(frame[:600], labels[:600])
    assert roc_auc_score(labels[600:], trained.model.risks(frame[600:])) > 0.75
    assert [set(trial) for trial in trained.trials] == [{"C", "l1_ratio", "log_loss", "auroc", "auprc"}] * 4
    assert min(trial["log_loss"] for trial in trained.trials) == next(
        t["log_loss"] for t in trained.trials if {"C": t["C"], "l1_ratio": t["l1_ratio"]} == trained.parameters
    )
    rng = np.random.default_rng(1)
    permuted = [rng.permutation(labels) for _ in range(4)]
    chance = [roc_auc_score(one, fit(frame, one).out_of_fold) for one in permuted]
    assert abs(np.mean(chance) - 0.5) < 0.04  # four times the standard error of the mean of four AUROCs of 900 rows


def test_save_and_load_are_exact_without_pickle(tmp_path: Path) -> None:
    frame, labels = made_up_stays(200)
    model = fit(frame, labels).model
    model.save(tmp_path)
    loaded = LogisticModel.load(tmp_path, model.schema)
    np.testing.assert_array_equal(loaded.risks(frame), model.risks(frame))
    np.testing.assert_array_equal(loaded.contributions(frame)[0], model.contributions(frame)[0])
    assert [file.suffix for file in tmp_path.iterdir()] == [".skops"]


def test_contributions_sum_to_the_margin_by_source_feature() -> None:
    frame, labels = made_up_stays(300)
    model = fit(frame, labels).model
    contributions, bias = model.contributions(frame)
    assert contributions.shape == frame.shape
    np.testing.assert_allclose(contributions.sum(axis=1) + bias, model.margins(frame), atol=1e-9)
    # A feature's contribution depends on that feature alone.
    other, _ = model.contributions(frame.assign(ward="surgical"))
    same = [i for i, name in enumerate(model.schema.names) if name != "ward"]
    np.testing.assert_allclose(other[:, same], contributions[:, same])
    # An average row is moved by nothing: contributions are centred on the training rows.
    np.testing.assert_allclose(contributions.mean(axis=0), 0, atol=1e-9)


def test_a_frame_without_some_kinds_of_column_is_well() -> None:
    frame, labels = made_up_stays(200)
    numbers = frame[["lactate_max", "gcs_min"]].assign(turned_off=nan)
    trained = linear.train(
        numbers, labels, patient_folds(labels, frame.index, 3), describe(numbers), search={"C": [0.1]}, threads=1
    )
    assert roc_auc_score(labels, trained.model.risks(numbers)) > 0.6
