"""`make test` and `make soak` fail where one of their lanes does, and say what each said."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.lanes import run


@pytest.mark.parametrize(("last", "well"), [("true", True), ("false", False)])
def test_all_must_end_well_and_all_are_heard(
    last: str, well: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    console = Console(file=StringIO(), width=80)
    lanes = ["first: env SAID='[ 50%]' printenv SAID", "the second: echo [bold] said", f"third: {last}"]
    assert run(lanes, console) is well
    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    for text in ("✓ first", "[ 50%]", "✓ the second", "[bold] said", f"{'✓' if well else '✗'} third"):
        assert text in shown, text


def test_a_lane_that_cannot_start_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not run(["nobody: /no/such/command"], Console(file=StringIO()))
