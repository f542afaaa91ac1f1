"""What differs on Databricks, as far as it can be had here: a given session, a workspace's secrets, how a task ends."""

import base64
import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.connect.session import SparkSession as ConnectSession

from jobs import cli
from jobs.training.sealed import opened, sealed
from lakehouse.errors import ConfigError
from lakehouse.secret_scope import read_secret
from lakehouse.session import open_session
from lakehouse.settings import Settings, load_settings, origins
from tests.conftest import ENGINE

SECRET = "correct-horse-battery-staple"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No EHR_* or DATABRICKS_* variable, no Spark elsewhere, no configuration of a workspace in the home folder."""
    for name in [name for name in os.environ if name.startswith(("EHR_", "DATABRICKS_", "SPARK_REMOTE"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))


@pytest.fixture
def asked(bare: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:  # noqa: ARG001
    """A workspace whose scope `ehr` holds pseudonym_key; what it was asked for, as (scope, key)."""
    requests: list[tuple[str, str]] = []

    class Workspace(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            found = {}
            if address.path == "/api/2.0/secrets/get" and self.headers["Authorization"] == "Bearer made-up":
                wanted = {k: v[0] for k, v in parse_qs(address.query).items()}
                requests.append((wanted["scope"], wanted["key"]))
                if requests[-1] == ("ehr", "pseudonym_key"):
                    found = {"key": "pseudonym_key", "value": base64.b64encode(SECRET.encode()).decode()}
            body = found or {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Secret does not exist"}
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Workspace)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("DATABRICKS_HOST", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("DATABRICKS_TOKEN", "made-up")
    yield requests
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("env", ["staging", "prod"])
def test_the_key_is_read_from_the_secret_scope(asked: list[tuple[str, str]], env: str) -> None:
    settings = load_settings(env=env)
    assert settings.pseudonym_key is not None
    assert settings.pseudonym_key.get_secret_value() == SECRET
    assert set(asked) == {("ehr", "pseudonym_key")}
    shown = origins(settings)
    assert shown["pseudonym_key"] == ("**********", "secret scope ehr")
    assert SECRET not in f"{settings!r}{shown}{os.environ}"


def test_a_key_that_is_given_is_taken_and_the_scope_not_asked(
    asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EHR_PSEUDONYM_KEY", "given")
    settings = load_settings(env="prod")
    assert settings.pseudonym_key is not None
    assert settings.pseudonym_key.get_secret_value() == "given"
    assert origins(settings)["pseudonym_key"] == ("**********", "environment")
    assert load_settings().pseudonym_key is not None
    assert asked == []


def test_a_scope_without_the_key_stops_the_run_in_one_sentence(asked: list[tuple[str, str]]) -> None:
    says = "^environment prod needs EHR_PSEUDONYM_KEY: secret scope other does not give pseudonym_key: Secret does not"
    with pytest.raises(ConfigError, match=says):
        load_settings(env="prod", secret_scope="other")
    assert set(asked) == {("other", "pseudonym_key")}


@pytest.mark.usefixtures("bare")
def test_no_workspace_to_ask_stops_the_run() -> None:
    with pytest.raises(ConfigError, match=r"^secret scope ehr does not give pseudonym_key: [^\n]+$"):
        read_secret("ehr", "pseudonym_key")


def on_databricks() -> SparkSession:
    return open_session(Settings(engine="databricks", catalog="ehr", volume="/Volumes/ehr/ops/staging"))


def in_another_thread(function: Callable[[], SparkSession]) -> SparkSession | Exception:
    """What the function gives or raises where no session is active yet, as in the process of a wheel task."""
    outcome: list[SparkSession | Exception] = []

    def call() -> None:
        try:
            outcome.append(function())
        except ConfigError as error:
            outcome.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return outcome[0]


@pytest.mark.engine
@pytest.mark.usefixtures("bare")
def test_the_given_session_is_taken_and_set_to_utc(spark: SparkSession) -> None:
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    try:
        assert SparkSession.getActiveSession() is not None
        session = on_databricks()
        assert session.conf.get("spark.sql.session.timeZone") == "UTC"
        assert session.sql("SELECT current_timezone()").collect()[0][0] == "UTC"
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")


@pytest.mark.engine
@pytest.mark.usefixtures("bare")
def test_a_wheel_task_has_a_session_though_none_is_active(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SparkSession, "getActiveSession", classmethod(lambda _: None))
    refused = in_another_thread(on_databricks)
    assert isinstance(refused, ConfigError)
    assert "none is active" in str(refused)
    if ENGINE == "spark" and not isinstance(spark, ConnectSession):
        monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    else:  # as Databricks Connect and serverless tell of theirs
        monkeypatch.setenv("SPARK_REMOTE", f"sc://{spark.client._builder.endpoint}")
    session = in_another_thread(on_databricks)
    assert not isinstance(session, Exception)
    assert session.range(3).count() == spark.range(3).count()


def test_a_sealed_folder_is_carried_to_a_volume_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a volume are written from start to end: no archive is made in place, no folder renamed."""
    volume = tmp_path / "Volumes"
    monkeypatch.setattr("jobs.training.sealed.VOLUMES", volume)
    written: list[str] = []

    def copy(source: Path, target: Path) -> None:
        if target.name == "broken.txt":
            raise OSError("the volume is gone")
        written.append(target.relative_to(volume).as_posix())
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr("shutil.copyfile", copy)

    def seal(name: str) -> None:
        with sealed(volume / "out" / name, {"told": 1}) as filling:
            assert not filling.is_relative_to(volume)
            (filling / "inner").mkdir()
            (filling / "inner" / f"{name}.txt").write_text("one")
            (filling / "z.txt").write_text("two")

    seal("whole")
    assert written == ["out/whole/inner/whole.txt", "out/whole/z.txt", "out/whole/manifest.json"], "the manifest last"
    assert opened(volume / "out" / "whole")["told"] == 1
    with pytest.raises(OSError, match="the volume is gone"):
        seal("broken")
    assert [path.name for path in (volume / "out").iterdir()] == ["whole"]


@pytest.mark.parametrize(
    ("arguments", "code"), [(["config"], 0), (["refine", "--engine", "abacus"], 2), (["polish"], 2)]
)
@pytest.mark.usefixtures("bare")
def test_a_task_that_succeeds_returns_and_one_that_fails_exits(
    arguments: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["ehr", *arguments])
    if not code:
        cli.main()
        return
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == code
