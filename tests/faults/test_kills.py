"""Killed at any moment, a lake breaks no promise, and ends as if nothing had been.

`KILLS` and `SEED` (variables of the environment) say how many processes are killed and which moments are drawn; `make
soak` kills 200. Moments are counted in files that appear in the lake: most of them belong to a commit.
"""

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.contents import Part
from tests.faults.invocations import Invocations
from tests.faults.lives import Killed, Known, Life, Moment, moments

pytestmark = [pytest.mark.usefixtures("spark"), pytest.mark.timeout(0)]  # a soak takes as long as it takes

KILLS, SEED = int(os.environ.get("KILLS", "10")), int(os.environ.get("SEED", "1"))
NOBODY_LISTENS = "http://127.0.0.1:9"
CLOSED_PROXY = {
    f"{scheme}_proxy": NOBODY_LISTENS for scheme in ("http", "https", "all", "HTTP", "HTTPS", "ALL", "grpc")
}
OF_A_LIFE = (6, 4)
"""Kills in the first delivery of a lake, and in the second, before it is compared with an undisturbed one."""


@dataclass(frozen=True)
class Delivery:
    """Raw files, the files that an undisturbed run of them makes in a lake, and what is then in its tables."""

    raw: Path
    files: int
    parts: dict[Part, str]


@dataclass(frozen=True)
class Undisturbed:
    """A lake that nobody killed: its first delivery came to a process without network, its second to one behind a proxy
    that does not answer."""

    life: Life
    deliveries: list[Delivery]
    without_network: bool
    """False where the system allows nobody to go without."""


@pytest.fixture(scope="module")
def undisturbed(first: Path, second: Path, ehr: Invocations, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    life, deliveries = Life(tmp_path_factory.mktemp("undisturbed") / "lake", ehr), []
    alone = ehr("config", trouble="no_network").code == 0
    for raw, trouble, environment in ((first, "no_network" if alone else None, {}), (second, None, CLOSED_PROXY)):
        files = life.counted(raw, trouble, **environment)
        deliveries.append(Delivery(raw, files, life.contents.parts()))
    assert life.broken([deliveries[1].parts]) == []
    changed = {part for part, digest in deliveries[1].parts.items() if deliveries[0].parts.get(part) != digest}
    assert len(deliveries[0].parts) > 12 and len(changed) > 6, "the second delivery reaches as far as the predictions"
    return Undisturbed(life, deliveries, alone)


def test_a_whole_run_needs_no_network(undisturbed: Undisturbed) -> None:
    if not undisturbed.without_network:
        pytest.skip("the system allows no process to go without network")
    assert undisturbed.life.lake.row_count("gold.mortality_predictions") == 40


def test_a_lake_whose_runs_are_killed_ends_as_an_undisturbed_one(
    undisturbed: Undisturbed, ehr: Invocations, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed: list[Killed] = []
    for number in range(max(1, round(KILLS / sum(OF_A_LIFE)))):
        life = Life(tmp_path / str(number), ehr, journals=number % 2 == 1)
        killed += live(life, undisturbed, SEED + number)
        shutil.rmtree(life.root)
        with capsys.disabled():
            print(
                f"\nseed {SEED + number}: {len(killed)} kills so far, no promise broken, ended as the undisturbed lake"
            )
    with capsys.disabled():
        print(summary(killed))
    assert len(killed) >= KILLS


def test_a_risk_that_a_killed_scoring_gave_is_in_the_history_once(
    undisturbed: Undisturbed, ehr: Invocations, tmp_path: Path
) -> None:
    """History is written first: predictions as they were before stand beside it when a scoring dies between the two."""
    shutil.copytree(undisturbed.life.root, tmp_path / "lake")
    life = Life(tmp_path / "lake", ehr)
    parts = life.contents.parts()
    life.lake.restore("gold.mortality_predictions", 1)
    assert life.contents.parts() != parts
    life.run(undisturbed.deliveries[1].raw, "score")
    assert life.contents.parts() == parts


def live(life: Life, undisturbed: Undisturbed, seed: int) -> list[Killed]:
    """Kills runs of both deliveries, looks at the lake after each, and lets the last one finish."""
    killed: list[Killed] = []
    may_be: Known = []
    for delivery, kills in zip(undisturbed.deliveries, OF_A_LIFE, strict=True):
        may_be.append(delivery.parts)
        for moment in moments(seed, kills, delivery.files):
            done = life.killed(delivery.raw, moment)
            if not isinstance(done, Killed):  # it had ended: the one after it has nothing to do, and dies as it says so
                assert done.code == 0, done.said
                done = life.killed(delivery.raw, Moment(1, 0))
                assert isinstance(done, Killed), done.said
            assert life.broken(may_be) == [], done
            killed.append(done)
        life.run(delivery.raw)
        assert life.contents.parts() == delivery.parts, f"seed {seed}, after {killed}"
    assert life.broken([delivery.parts]) == []
    assert life.checked().notes == [], "every row of every table is counted again"
    assert life.contents.files() == undisturbed.life.contents.files()
    assert not (life.root / "_staging").exists() and (life.root / "_lock").read_text() == ""
    assert "nothing to do" in life.run(delivery.raw).said
    return killed


def summary(killed: list[Killed]) -> str:
    """Where processes were when they were killed, a row a folder of the lake."""
    lasts = [Path(one.last).parts for one in killed]
    where = Counter("/".join(parts[:1] if parts[0] == "_staging" else parts[:2]) for parts in lasts)
    rows = [f"{n:>5}  {place}" for place, n in sorted(where.items())]
    return "\n".join([f"{len(killed)} kills, by the last file that had appeared:", *rows])
