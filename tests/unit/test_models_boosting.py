"""XGBoost and its search: repeatable, resumable, within budget, honest out of fold, exact when stored."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from models_data import CATEGORIES, made_up_stays
from sklearn.metrics import roc_auc_score

from models import boosting
from models.base import Trained
from models.boosting import BoostedModel, Recipe
from models.features import describe
from models.splits import patient_folds
from models.tuning import Budget, OutOfTime, search, study_name, suggest

SPACE = {"eta": {"low": 0.1, "high": 0.4, "log": True}, "max_depth": {"low": 2, "high": 4}}
DEFAULTS = {"eta": 0.3, "max_depth": 3, "min_child_weight": 1.0}


def fit(n: int = 250, labels: np.ndarray | None = None, **changes: Any) -> Trained:
    frame, outcomes = made_up_stays(n)
    labels = outcomes if labels is None else labels
    told = {name: changes.pop(name) for name in ("seed", "parallel_trees") if name in changes}
    options: dict[str, Any] = {
        "recipe": Recipe(SPACE, DEFAULTS, rounds=30, patience=5, **told),
        "budget": Budget(3, 60),
        "threads": 1,
    }
    folds = patient_folds(labels, frame.index, 3)
    return boosting.train(frame, labels, folds, describe(frame, **CATEGORIES), **{**options, **changes})


def test_the_same_seed_gives_the_same_model_and_another_does_not() -> None:
    frame, _ = made_up_stays(250)
    first, again, other = fit(seed=3), fit(seed=3), fit(seed=4)
    assert first.trials == again.trials
    np.testing.assert_array_equal(first.model.margins(frame), again.model.margins(frame))
    np.testing.assert_array_equal(first.out_of_fold, again.out_of_fold)
    assert first.trials[1] != other.trials[1]


def test_the_number_of_threads_changes_nothing() -> None:
    one, many = fit(threads=1), fit(threads=3)
    assert one.trials == many.trials
    np.testing.assert_array_equal(one.out_of_fold, many.out_of_fold)


def test_parallel_trees_are_grown_by_the_chosen_model_and_not_by_the_search() -> None:
    one, many = fit(), fit(parallel_trees=3)
    assert one.trials == many.trials
    assert many.parameters["parallel_trees"] == 3
    assert isinstance(one.model, BoostedModel)
    assert isinstance(many.model, BoostedModel)
    rounds = many.parameters["rounds"]
    assert one.model.booster.num_boosted_rounds() == many.model.booster.num_boosted_rounds() == rounds
    assert len(many.model.booster.get_dump()) == 3 * rounds == 3 * len(one.model.booster.get_dump())


def test_the_defaults_are_tried_first_and_the_best_is_chosen() -> None:
    trained = fit(budget=Budget(4, 60))
    assert trained.trials[0]["eta"], trained.trials[0]["max_depth"] == (0.3, 3)
    complete = [trial for trial in trained.trials if trial["state"] == "complete"]
    best = min(complete, key=lambda trial: trial["log_loss"])
    assert {name: trained.parameters[name] for name in SPACE} == {name: best[name] for name in SPACE}
    assert trained.parameters["min_child_weight"] == 1.0  # outside the space: as the defaults have it
    assert 1 <= trained.parameters["rounds"] <= 30


def test_a_resumed_study_continues_with_the_same_trials(tmp_path: Path) -> None:
    straight = fit(budget=Budget(5, 60), storage=f"sqlite:///{tmp_path}/one.db")
    halfway = fit(budget=Budget(2, 60), storage=f"sqlite:///{tmp_path}/two.db")
    resumed = fit(budget=Budget(5, 60), storage=f"sqlite:///{tmp_path}/two.db")
    assert len(halfway.trials) == 2
    assert resumed.trials == straight.trials
    again = fit(budget=Budget(5, 60), storage=f"sqlite:///{tmp_path}/two.db")
    assert again.trials == straight.trials  # the budget is the study's: nothing is left to try


def test_a_killed_trial_is_run_again(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"

    def value(trial: optuna.Trial, _deadline: float) -> float:
        return trial.suggest_float("x", 0, 1)

    def options(trials: int) -> dict[str, Any]:
        return {"name": "s", "defaults": {"x": 0.5}, "budget": Budget(trials, 60), "seed": 1}

    straight = search(value, **options(4))
    search(value, **options(2), storage=storage)
    optuna.load_study(study_name="s", storage=storage).ask()  # a run that died in the middle of a trial
    resumed = search(value, **options(4), storage=storage)
    done = [trial for trial in resumed.trials if trial.state.name == "COMPLETE"]
    assert [trial.params for trial in done] == [trial.params for trial in straight.trials]
    assert [trial.state.name for trial in resumed.trials].count("FAIL") == 1


def test_the_clock_ends_a_search_but_not_before_one_trial() -> None:
    def slow(trial: optuna.Trial, deadline: float) -> float:
        time.sleep(0.05)
        if time.monotonic() > deadline:
            raise OutOfTime
        return trial.suggest_float("x", 0, 1)

    study = search(slow, name="s", defaults={"x": 0.5}, budget=Budget(1000, 0.12), seed=0)
    states = [trial.state.name for trial in study.trials]
    assert states[0] == "COMPLETE"
    assert len(states) < 10
    assert len(search(slow, name="s", defaults={"x": 0.5}, budget=Budget(1000, 0.0), seed=0).trials) == 1


def test_an_error_in_a_trial_is_raised_and_recorded(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"

    def broken(_trial: optuna.Trial, _deadline: float) -> float:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        search(broken, name="s", defaults={}, budget=Budget(2, 9), seed=0, storage=storage)
    assert optuna.load_study(study_name="s", storage=storage).trials[0].state.name == "FAIL"


def test_a_hopeless_trial_is_pruned_after_the_warm_up() -> None:
    ran: list[int] = []

    def folds(trial: optuna.Trial, _deadline: float) -> float:
        x = trial.suggest_float("x", 0, 1)
        for fold in range(5):
            trial.report(x, fold)
            ran.append(trial.number)
            if trial.should_prune():
                raise optuna.TrialPruned
        return x

    study = search(folds, name="s", defaults={"x": 0.0}, budget=Budget(4, 60), seed=0)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "PRUNED", "PRUNED"]
    assert [ran.count(number) for number in range(4)] == [5, 2, 2, 2]


def test_suggest_reads_every_form_and_refuses_others() -> None:
    trial = optuna.trial.FixedTrial({"a": 0.5, "b": 3, "c": "x"})
    space = {"a": {"low": 0.1, "high": 1.0, "log": True}, "b": {"low": 1, "high": 5}, "c": {"choices": ["x", "y"]}}
    assert suggest(trial, space) == {"a": 0.5, "b": 3, "c": "x"}
    with pytest.raises(ValueError, match="search space of eta"):
        suggest(trial, {"eta": {"from": 1, "to": 2}})


def test_a_study_s_name_tells_its_data_apart() -> None:
    frame, labels = made_up_stays(50)
    numbers = frame[["age", "gcs_min"]]
    name = study_name("xgboost", numbers, labels, {"seed": 0})
    assert name == study_name("xgboost", numbers.copy(), labels.copy(), {"seed": 0})
    changed = numbers.copy()
    changed.iloc[3, 0] += 1e-9
    others = [
        study_name("xgboost", changed, labels, {"seed": 0}),
        study_name("xgboost", numbers, 1 - labels, {"seed": 0}),
        study_name("xgboost", numbers, labels, {"seed": 1}),
        study_name("xgboost", numbers.rename(columns={"age": "years"}), labels, {"seed": 0}),
    ]
    assert len({name, *others}) == 5


def test_learns_the_signal_and_only_the_signal() -> None:
    frame, labels = made_up_stays(900, seed=9)
    assert roc_auc_score(labels, fit(500).model.risks(frame)) > 0.75
    _, labels = made_up_stays(500)
    rng = np.random.default_rng(1)
    permuted = [rng.permutation(labels) for _ in range(4)]
    chance = [roc_auc_score(one, fit(500, one, budget=Budget(1, 60)).out_of_fold) for one in permuted]
    assert abs(np.mean(chance) - 0.5) < 0.05  # four times the standard error of the mean of four AUROCs of 500 rows


def test_out_of_fold_risks_are_not_those_of_the_final_model() -> None:
    frame, labels = made_up_stays(250)
    trained = fit()
    assert np.isfinite(trained.out_of_fold).all()
    assert roc_auc_score(labels, trained.out_of_fold) < roc_auc_score(labels, trained.model.risks(frame))


def test_contributions_sum_to_the_margin() -> None:
    frame, _ = made_up_stays(250)
    model = fit().model
    contributions, bias = model.contributions(frame)
    assert contributions.shape == frame.shape
    np.testing.assert_allclose(contributions.sum(axis=1) + bias, model.margins(frame), atol=1e-5)
    reasons = model.reasons(frame)
    np.testing.assert_array_equal(reasons.contributions, contributions)
    np.testing.assert_array_equal(reasons.bias, bias)
    np.testing.assert_array_equal(reasons.margins, model.margins(frame))
    assert reasons.moments is None, "trees read no course"


def test_save_and_load_are_exact(tmp_path: Path) -> None:
    frame, _ = made_up_stays(250)
    model = fit().model
    model.save(tmp_path)
    loaded = BoostedModel.load(tmp_path, model.schema)
    np.testing.assert_array_equal(loaded.risks(frame), model.risks(frame))
    assert [file.name for file in tmp_path.iterdir()] == ["booster.json"]


def test_feature_names_that_xgboost_forbids_are_well() -> None:
    frame, labels = made_up_stays(200)
    numbers = frame[["age", "gcs_min"]].rename(columns={"age": "age [years] <now>"})
    folds = patient_folds(labels, frame.index, 3)
    trained = boosting.train(
        numbers, labels, folds, describe(numbers), recipe=Recipe({}, DEFAULTS, rounds=5), budget=Budget(1, 9), threads=1
    )
    assert trained.model.risks(numbers).shape == (200,)
