"""One Spark session for one of three engines; the only place, with `lake.py`, that knows which.

`sail` is embedded (Spark Connect served in this process, no Java); `spark` is JVM Spark with Delta; `databricks` is
the session that a Databricks job or notebook already has. Layer code cannot tell them apart.
"""

import atexit
import os
import sys
from functools import cache
from typing import Any

from pyspark.sql import SparkSession

from lakehouse.errors import ConfigError
from lakehouse.settings import Settings

# To note the caller of each function of a thousand-column table takes longer than to build it.
_NO_CALL_SITES = ("spark.python.sql.dataFrameDebugging.enabled", "false")
_SPARK_CONF = {
    _NO_CALL_SITES[0]: _NO_CALL_SITES[1],
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # Statistics of every column of a wide table cost more than the write; the key columns come first in a contract.
    "spark.databricks.delta.properties.defaults.dataSkippingNumIndexedCols": "4",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # A Python worker for each of a wide plan's stages forks from one warm daemon.
    "spark.python.worker.reuse": "true",
}


def open_session(settings: Settings) -> SparkSession:
    """The session of the engine in force; ConfigError says what the engine lacks."""
    match settings.engine:
        case "sail":
            return _sail()
        case "spark":
            return _jvm(settings)
        case "databricks":
            session = SparkSession.getActiveSession()
            if session is None:
                raise ConfigError(
                    "engine databricks needs the session that a Databricks job or notebook gives; none is active."
                )
            return session
    raise ConfigError(f"engine {settings.engine!r} is none of sail, spark, databricks.")


@cache
def _sail() -> SparkSession:
    os.environ.setdefault("RUST_LOG", "error")
    from pysail.spark import SparkConnectServer  # noqa: PLC0415  (an engine is imported only when it is chosen)

    server = SparkConnectServer(port=0)
    server.start(background=True)
    atexit.register(server.stop)
    host, port = server.listening_address
    session: SparkSession = SparkSession.builder.remote(f"sc://{host}:{port}").getOrCreate()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    session.conf.set(*_NO_CALL_SITES)
    return session


def _jvm(settings: Settings) -> SparkSession:
    from delta import configure_spark_with_delta_pip  # noqa: PLC0415

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    builder: Any = SparkSession.builder.appName("ehr-lakehouse")
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # spark-submit started this process and has set master and memory
        builder = builder.master(f"local[{settings.cores}]").config("spark.driver.memory", settings.driver_memory)
        builder = builder.config("spark.sql.shuffle.partitions", str(settings.cores))
        builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    for key, value in _SPARK_CONF.items():
        builder = builder.config(key, value)
    try:
        session: SparkSession = configure_spark_with_delta_pip(builder).getOrCreate()
    except Exception as error:
        if "JAVA_GATEWAY_EXITED" in str(error):
            raise ConfigError(
                "engine spark needs Java 17 (set JAVA_HOME), or choose --engine sail, which needs none."
            ) from error
        raise
    session.sparkContext.setLogLevel("ERROR")
    return session
