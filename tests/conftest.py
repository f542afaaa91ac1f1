"""One Spark session for all tests, on the engine of EHR_ENGINE; frame equality that prints a readable difference.

The engine `spark` is asked over Spark Connect, as clusters and serverless Spark are: of the server that EHR_REMOTE
names, else of one that is started here. Where EHR_REMOTE is there and empty, it is a JVM of this process.
"""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from pyspark.sql import DataFrame, SparkSession

from lakehouse.garbage import spare_the_collector
from lakehouse.session import open_session
from lakehouse.settings import Settings
from tests.connect_server import connect_server

spare_the_collector()

# How long an example takes says more of a machine's other work than of the code; pytest-timeout bounds each test.
# In CI the same examples are tried each time, so that a change is judged by itself; elsewhere new ones are looked for.
settings.register_profile("project", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("project")

ENGINE = os.environ.get("EHR_ENGINE", "sail")
# Tests are over before the JVM's optimising compiler has earned what it costs: a third less time without it. A fifth of
# what is left goes to a collector that works beside them and to a look at each class that Spark generates.
JVM_OPTIONS = (
    "-XX:TieredStopAtLevel=1 -XX:CompileThresholdScaling=8 -XX:+UseSerialGC "
    "-XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
)
os.environ.setdefault("JDK_JAVA_OPTIONS", JVM_OPTIONS)


@pytest.fixture(scope="session", autouse=True)
def engine_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The engine where it is a process of its own: whoever opens a session of `spark` asks it."""
    if ENGINE != "spark" or "EHR_REMOTE" in os.environ:
        yield
        return
    with connect_server(tmp_path_factory.mktemp("connect") / "server.log") as remote:
        os.environ["EHR_REMOTE"] = remote
        yield
        if session := SparkSession.getActiveSession():
            session.stop()  # before the server, of which it takes its leave


@pytest.fixture(scope="session")
def spark(engine_server: None) -> SparkSession:  # noqa: ARG001
    return open_session(Settings(engine=ENGINE))


@pytest.fixture(scope="session")
def real_raw() -> Path:
    """The folder of real raw files; tests that ask for it run only where EHR_RAW names one."""
    if not (folder := os.environ.get("EHR_RAW")):
        pytest.skip("EHR_RAW names no folder of real data")
    return Path(folder).resolve()


def assert_frame(frame: DataFrame, expected: list[dict[str, Any]], key: tuple[str, ...]) -> None:
    """`assert_rows` of a frame's rows."""
    assert_rows([row.asDict(recursive=True) for row in frame.collect()], expected, key)


def assert_rows(rows: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]], key: tuple[str, ...]) -> None:
    """Rows equal `expected` in any order: same columns, exact values, floats to 1e-9."""

    def order(row: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(row[k]) for k in key)

    actual, wanted = sorted(rows, key=order), sorted(expected, key=order)
    assert [order(r) for r in actual] == [order(r) for r in wanted]
    for got, want in zip(actual, wanted, strict=True):
        assert set(got) == set(want), f"columns differ: {set(got) ^ set(want)}"
        wrong = {c: (got[c], want[c]) for c in want if not same(got[c], want[c])}
        assert not wrong, f"{order(want)}: (got, expected) differ: {wrong}"


def same(a: Any, b: Any) -> bool:
    """Equality that lets floats differ by 1e-9 relative, and looks into lists and dicts."""
    if isinstance(a, float) and isinstance(b, int | float):
        return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return bool(a == b)
