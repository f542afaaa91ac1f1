"""One Spark session for one of three engines; with `jvm.py` and `io.py` the only place that knows which.

`sail` is embedded (Spark Connect served in this process, no Java); `spark` is JVM Spark with Delta; `databricks` is
the session that a Databricks job or notebook already has. Layer code cannot tell them apart.
"""

import atexit
import os
from functools import cache

from pyspark.sql import SparkSession

from lakehouse.errors import ConfigError
from lakehouse.settings import Settings

_ZONE = "spark.sql.session.timeZone"
# To note the caller of each function of a thousand-column table takes longer than to build it.
_CONF = {_ZONE: "UTC", "spark.python.sql.dataFrameDebugging.enabled": "false"}


def open_session(settings: Settings) -> SparkSession:
    """The session of the engine in force; ConfigError says what the engine lacks."""
    match settings.engine:
        case "sail":
            return _sail()
        case "spark":
            from lakehouse import jvm  # noqa: PLC0415  (an engine is imported only when it is chosen)

            return jvm.start(settings, _CONF)
        case _:
            return _given()


def _given() -> SparkSession:
    """The session of the job or notebook that this runs in, or of the server that SPARK_REMOTE names."""
    session = SparkSession.getActiveSession()
    # A wheel's process has its session made, but no thread of it active.
    if session is None and not {"DATABRICKS_RUNTIME_VERSION", "SPARK_REMOTE"}.isdisjoint(os.environ):
        session = SparkSession.builder.getOrCreate()
    if session is None:
        raise ConfigError(
            "engine databricks needs the session that a Databricks job or notebook gives; none is active."
        )
    session.conf.set(_ZONE, _CONF[_ZONE])  # serverless Spark takes few other settings
    return session


@cache
def _sail() -> SparkSession:
    os.environ.setdefault("RUST_LOG", "error")
    from pysail.spark import SparkConnectServer  # noqa: PLC0415

    server = SparkConnectServer(port=0)
    server.start(background=True)
    atexit.register(server.stop)
    host, port = server.listening_address
    session: SparkSession = SparkSession.builder.remote(f"sc://{host}:{port}").getOrCreate()
    for key, value in _CONF.items():
        session.conf.set(key, value)
    return session
