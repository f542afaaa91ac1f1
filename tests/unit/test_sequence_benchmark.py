"""The benchmark of training steps: its figures, its exponent, its drawing."""

from pathlib import Path

import pytest

from models.sequence import benchmark
from models.sequence.benchmark import Timing, exponent, main, plot, scaling, step_times


def test_encoders_of_equal_width_take_turns() -> None:
    rows = step_times(["ssm", "gru"], [3, 5], size=4, repeats=2)
    assert [(row.encoder, row.length) for row in rows] == [("ssm", 3), ("gru", 3), ("ssm", 5), ("gru", 5)]
    assert [row.parameters for row in rows[:2]] == [53_120, 39_296]
    assert all(0 < row.fastest_ms <= row.median_ms for row in rows)


def made_up(power: float) -> list[Timing]:
    lengths = (100, 1_000, 2_000, 10_000)
    return [Timing("ssm", n, "equal", 1, 0.05 * n**power + (n < 1_000), 1.0, 1.0) for n in lengths]


@pytest.mark.parametrize("power", (1.0, 1.2))
def test_the_exponent_is_that_of_the_long_sequences(power: float) -> None:
    assert exponent(made_up(power), "ssm") == pytest.approx(power)


def test_the_drawing_is_small(tmp_path: Path) -> None:
    plot(made_up(1.0), tmp_path / "cost.png")
    content = (tmp_path / "cost.png").read_bytes()
    assert content.startswith(b"\x89PNG") and len(content) < 60_000


def test_what_got_slow_is_asked_for_no_greater_length(monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(names: list[str], lengths: list[int], **_: object) -> list[Timing]:
        milliseconds = {"ssm": 1.0, "transformer": 0.7}
        cost = {name: milliseconds[name] * lengths[0] ** (2 if name == "transformer" else 1) for name in names}
        return [Timing(name, lengths[0], "equal", 1, cost[name], 1.0, 1.0) for name in names]

    monkeypatch.setattr(benchmark, "step_times", timed)
    rows = scaling(["ssm", "transformer"], [20, 30, 40])
    assert [(row.encoder, row.length) for row in rows] == [
        ("ssm", 20), ("transformer", 20), ("ssm", 30), ("transformer", 30), ("ssm", 40)
    ]  # fmt: skip


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "step_times", lambda *_, **__: made_up(1.0))
    main(["--encoders", "ssm"])
    assert "| ssm | 1 | 1,000 | 50.0 | 1.0 | 1 |" in capsys.readouterr().out.splitlines()
    with pytest.raises(SystemExit):
        main(["--plot", "x.png"])
