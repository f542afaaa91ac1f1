"""JVM Spark, killed with its Python workers or without: the lake goes on as if nothing had been, on any engine."""

import shutil
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.faults.invocations import Invocations, Running, sentence
from tests.faults.lives import Killed, Known, Life, Moment, fed

pytestmark = [
    pytest.mark.usefixtures("spark"),
    pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java"),
]
JVM = {"EHR_ENGINE": "spark", "EHR_DRIVER_MEMORY": "1g"}


def kill_workers(running: Running) -> int:
    """Kills each Python worker of the engine as it appears, until the run has ended; how many."""
    killed = set[int]()
    while not running.ended:
        for process in _children(running.pid):
            with suppress(psutil.Error):  # it ended meanwhile
                parent = process.parent()
                if parent and all("pyspark.daemon" in one.cmdline() for one in (process, parent)):
                    process.kill()
                    killed.add(process.pid)
        time.sleep(0.02)
    return len(killed)


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def test_a_killed_jvm_or_worker_leaves_a_lake_that_goes_on(
    ehr: Invocations,
    tmp_path: Path,
    first: Path,
    whole: Known,
) -> None:
    life = Life(tmp_path / "lake", ehr)
    running = life.start(first, "ingest", **JVM)
    assert kill_workers(running) > 0
    ended = running.wait()
    assert ended.code == 7, ended.said
    assert "a Python process of the engine was ended from outside" in sentence(ended)
    assert all(word not in ended.said for word in ("WARN", "Ivy", "log4j")), "the JVM's own chatter"
    for verb, moment in (("ingest", Moment(12, 0)), ("refine", Moment(10, 0.1))):
        killed = life.killed(first, moment, verb, **JVM)
        assert isinstance(killed, Killed), killed
        assert life.broken(whole) == [], killed
        life.run(first, "ingest")
    fed(life, first)
    assert life.contents.parts() == whole[0]
