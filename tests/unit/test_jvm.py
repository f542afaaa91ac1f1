"""The JVM engine where it cannot start."""

import re
from pathlib import Path

import pytest

from lakehouse.engines import jvm
from lakehouse.errors import ConfigError
from lakehouse.settings import Settings


def test_without_java_one_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "no-java"))
    with pytest.raises(ConfigError, match=r"needs Java 17 or later, .*no-java.*set JAVA_HOME, or choose --engine sail"):
        jvm._launch(Settings(engine="spark"), {})


def test_why_java_did_not_start_is_told_from_what_else_was_said() -> None:
    said = "E1124 19:34:06.414280 6658 ev_epoll1_linux.cc:373] Bad file descriptor\nWARNING: old\n\nno java\n"
    assert jvm._reason(said + "it is missed\n") == "no java"
    assert jvm._reason("NOTE: all is well\n") is None


def test_the_package_is_for_the_installed_spark() -> None:
    assert re.fullmatch(r"io\.delta:delta-spark_\d+\.\d+_2\.13:\d+\.\d+\.\d+", jvm.delta_package())
