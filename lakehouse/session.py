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

# To note the caller of each function of a thousand-column table takes longer than to build it.
_CONF = {"spark.sql.session.timeZone": "UTC", "spark.python.sql.dataFrameDebugging.enabled": "false"}


def open_session(settings: Settings) -> SparkSession:
    """The session of the engine in force; ConfigError says what the engine lacks."""
    match settings.engine:
        case "sail":
            return _sail()
        case "spark":
            from lakehouse import jvm  # noqa: PLC0415  (an engine is imported only when it is chosen)

            return jvm.start(settings, _CONF)
        case _:
            active = SparkSession.getActiveSession()
            if active is None:
                raise ConfigError(
                    "engine databricks needs the session that a Databricks job or notebook gives; none is active."
                )
            return active


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
