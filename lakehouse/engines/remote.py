"""Spark Connect: a session of a server elsewhere, be it a process beside this one, a cluster or a workspace."""

from collections.abc import Mapping

import grpc  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql.connect.client import DefaultChannelBuilder

from lakehouse.errors import ConfigError

WAIT_SECONDS = 30.0
"""How long a server may take to answer: one that starts with us is waited for."""


def join(address: str, conf: Mapping[str, str], delta: bool = False) -> SparkSession:
    """A session of the server at `address` (`sc://host:port/;token=...`), with `conf`.

    ConfigError where nobody answers there, or where `delta` is asked for and the server knows no Delta tables. What it
    says never shows the address itself, in which there may be a token.
    """
    try:
        builder = DefaultChannelBuilder(address)
    except (PySparkException, ValueError):  # either quotes the address
        raise ConfigError("the setting remote is no address of a Spark Connect server, sc://host:port.") from None
    channel = builder.toChannel()
    try:
        grpc.channel_ready_future(channel).result(timeout=WAIT_SECONDS)
    except grpc.FutureTimeoutError:
        raise ConfigError(f"no Spark Connect server answers at {builder.endpoint} (setting remote).") from None
    finally:
        channel.close()
    session: SparkSession = SparkSession.builder.remote(address).getOrCreate()
    for key, value in conf.items():
        session.conf.set(key, value)
    if delta and "delta" not in (session.conf.get("spark.sql.extensions", "") or "").lower():
        raise ConfigError(
            f"the Spark Connect server at {builder.endpoint} was started without Delta: see docs/engines.md."
        )
    return session
