"""The embedded engine's session."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ENGINE

IDLE = """
import time
from lakehouse.session import open_session
from lakehouse.settings import load_settings

session = open_session(load_settings(engine="sail"))
assert session.range(3).count() == 3
time.sleep(4)
print(session.range(4).count())
"""


LIMIT = "SAIL_SPARK__SESSION_TIMEOUT_SECS"


@pytest.mark.usefixtures("spark")
def test_a_session_outlives_a_long_training_between_two_tables() -> None:
    """The engine heeds a limit on idle sessions by this name, and the project sets it to more than a day."""
    short = {**os.environ, LIMIT: "2"}
    ended = subprocess.run([sys.executable, "-c", IDLE], env=short, capture_output=True, text=True, check=False)
    assert ended.returncode != 0 and "is not running" in ended.stderr
    if ENGINE == "sail":
        assert int(os.environ[LIMIT]) > 24 * 3600
