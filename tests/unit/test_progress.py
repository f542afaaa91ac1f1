"""What is said of a long training: on a terminal and in a log."""

from io import StringIO
from types import SimpleNamespace

import optuna
import pytest
from rich.console import Console

from jobs import progress
from jobs.progress import Doing, ModelProgress, remaining
from jobs.training.fitting import _learning, _searching
from models.sequence.folds import Told
from models.sequence.state import Progress
from models.tuning import Budget, OutOfTime, Tried, search

EPOCH = Doing("fold 2 of 5, epoch 3 of 6, loss 0.2810", 75.0, False)
FOLD = Doing("fold 2 of 5, epoch 6 of 6, loss 0.2700", 61.0, True)


def listening(terminal: bool) -> tuple[ModelProgress, StringIO]:
    said = StringIO()
    return ModelProgress(Console(file=said, force_terminal=terminal, width=120), ["ssm", "ensemble"]), said


def test_a_terminal_shows_fold_epoch_loss_and_time_left() -> None:
    heard, said = listening(True)
    with heard:
        heard("ssm", None)
        heard("ssm", EPOCH)
        heard._progress.refresh()
    assert "ssm: fold 2 of 5, epoch 3 of 6, loss 0.2810, 75 s left" in said.getvalue()


def test_a_log_has_a_line_a_part_at_most_and_none_of_a_short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    heard, said = listening(False)
    heard("ssm", None)
    for at, news in ((10, FOLD), (31, EPOCH), (32, FOLD), (40, FOLD), (63, FOLD)):
        now[0] = at
        heard("ssm", news)
    assert said.getvalue().splitlines() == ["    ssm: fold 2 of 5, epoch 6 of 6, loss 0.2700, 61 s left"] * 2
    heard("ssm", SimpleNamespace(trials=[{}] * 3, seconds=70.0))  # type: ignore[arg-type]
    assert said.getvalue().splitlines()[-1].split() == ["✓", "ssm", "3", "trials", "70.0", "s"]


def test_words() -> None:
    assert [remaining(s) for s in (0.4, 1, 99, 100, 3600)] == [
        "nearly done",
        "1 s left",
        "99 s left",
        "2 min left",
        "60 min left",
    ]
    at = Progress(3, 6, 0.2812, 0.3, 1.0, 1.0)
    assert _learning(Told(1, 5, 0, 2, at, 75.0)) == Doing(
        "fold 2 of 5, network 1 of 2, epoch 3 of 6, loss 0.2812, validation 0.3000", 75.0, False
    )
    assert _searching(Tried(1, 12, None, 60.0)).text == "trial 1 of 12, best log loss none yet"
    assert _searching(Tried(2, 12, 0.28034, 50.0)) == Doing("trial 2 of 12, best log loss 0.2803", 50.0, True)


def test_a_search_tells_of_each_trial_the_best_and_the_time_left() -> None:
    heard: list[Tried] = []
    values = iter([0.3, 0.4, 0.2])

    def objective(trial: optuna.Trial, _deadline: float) -> float:
        if trial.number == 3:
            raise OutOfTime
        return next(values)

    search(objective, name="x", defaults={}, budget=Budget(5, 100.0), seed=0, told=heard.append)
    assert [(one.number, one.trials, one.best) for one in heard] == [(1, 5, 0.3), (2, 5, 0.3), (3, 5, 0.2)]
    assert all(0 <= one.left <= 100 for one in heard)
