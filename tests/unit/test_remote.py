"""A session of a Spark Connect server elsewhere: joined as the engine that it runs, refused in one sentence."""

import pytest
from pyspark.sql import SparkSession

from lakehouse.engines import remote
from lakehouse.errors import ConfigError
from lakehouse.session import open_session
from lakehouse.settings import Settings, load_settings, origins
from tests.conftest import ENGINE

TOKEN = "correct-horse-battery-staple"


@pytest.fixture
def address(spark: SparkSession) -> str:
    """That of a server whose default session the tests have; with a parameter, as real addresses have."""
    return f"sc://{spark.client._builder.endpoint}/;x-of-tests={TOKEN}"


@pytest.mark.skipif(ENGINE != "sail", reason="the server that answers is the embedded engine's")
def test_a_server_elsewhere_runs_the_engine(address: str, spark: SparkSession) -> None:
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    session = open_session(Settings(engine="sail", remote=address))
    assert session.sql("SELECT current_timezone()").collect()[0][0] == "UTC"


@pytest.mark.skipif(ENGINE != "sail", reason="the server that answers is the embedded engine's")
def test_spark_without_delta_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"server at 127\.0\.0\.1:\d+ was started without Delta") as refused:
        open_session(Settings(engine="spark", remote=address))
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("sc://127.0.0.1:9/;x-of-tests=", "no Spark Connect server answers at 127.0.0.1:9 (setting remote)"),
        ("sc://:9/;x-of-tests=", "no address of a Spark Connect server"),
        ("sc://host:port/;x-of-tests=", "no address of a Spark Connect server"),
        ("sc://host/;", "no address of a Spark Connect server"),
    ],
)
def test_an_address_at_which_nobody_is_and_its_token_are_not_told_together(
    address: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "WAIT_SECONDS", 0.3)
    with pytest.raises(ConfigError) as refused:
        open_session(Settings(engine="spark", remote=address + TOKEN))
    assert said in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_the_setting_is_an_address_and_a_secret() -> None:
    settings = load_settings(remote=f"sc://host:443/;token={TOKEN}")
    assert TOKEN not in f"{settings!r} {origins(settings)} {settings.model_dump(mode='json')}"
    with pytest.raises(ConfigError, match="remote must be the address of a Spark Connect server, sc://host:port") as no:
        load_settings(remote=f"https://host/?{TOKEN}")
    assert TOKEN not in str(no.value)
