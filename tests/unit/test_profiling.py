"""Where the time of a run went: what is told of it, and what counts."""

import subprocess
import sys
from io import StringIO

import pytest
from rich.console import Console

from jobs.profiling import Profile, Spent, Stage, cpu_seconds, peak_memory
from jobs.progress import StageProgress
from lakehouse.records.ledger import Outcome


def shown(profile: Profile) -> list[list[str]]:
    said = StringIO()
    profile.show(Console(file=said, width=120))
    lines = [line for line in said.getvalue().splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]


def test_stages_and_their_long_tables_are_told_the_others_together() -> None:
    ingest = Stage(
        "ingest",
        [
            Spent("bronze.a[x]", 50.0, 80.0, 1_000_000),
            Spent("bronze.b", 0.5, 0.4, 10),
            Spent("bronze.c", 0.25, 0.25, 5),
        ],
        Spent("ingest", 60.0, 90.0),
    )
    train = Stage("train", [Spent("ssm", 40.0, 70.0)], Spent("train", 40.0, 70.0))
    assert shown(Profile([ingest, train])) == [
        ["ingest", "", "", "60.0", "90.0", "", "60 %"],
        ["", "bronze.a[x]", "1,000,000", "50.0", "80.0", "20,000", "50 %"],
        ["", "2 others", "15", "0.8", "0.7", "20", "1 %"],
        ["", "in between", "", "9.2", "9.3", "", "9 %"],
        ["train", "", "", "40.0", "70.0", "", "40 %"],
        ["", "ssm", "", "40.0", "70.0", "", "40 %"],
        ["all", "", "", "100.0", "160.0", "", "100 %"],
    ]


def test_what_is_built_is_measured_between_its_two_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([(0.0, 0.0), (1.0, 10.0), (3.0, 11.0), (4.0, 11.5), (5.0, 12.0)])
    monkeypatch.setattr("jobs.profiling._clocks", lambda: next(now))
    profile = Profile()
    with profile.stage("refine"), StageProgress(Console(quiet=True), ["t", "u"], profile) as progress:
        progress("t", None)
        progress("t", Outcome("t", "t", "built", rows_out=7))
        progress("u", None)
        progress("u", Outcome("u", "u", "unchanged", rows_out=9))
    assert profile.stages == [Stage("refine", [Spent("t", 2.0, 1.0, 7)], Spent("refine", 5.0, 12.0))]


def test_a_process_that_was_started_counts_while_it_lives_and_after() -> None:
    before, held = cpu_seconds(), peak_memory()
    burn = (
        "import time\nx = bytearray(60_000_000)\nwhile time.process_time() < 0.3: pass\nprint(1, flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        assert cpu_seconds() - before >= 0.25
        assert peak_memory() - held > 60_000_000
        child.communicate(b"\n")
    assert cpu_seconds() - before >= 0.25
