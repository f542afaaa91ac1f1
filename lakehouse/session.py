"""One Spark session for one of three engines; with `jvm.py` and `io.py` the only place that knows which.

`sail` is embedded (Spark Connect served in this process, no Java); `spark` is JVM Spark with Delta; `databricks` is
the session that a Databricks job or notebook already has. Each can run elsewhere, behind the Spark Connect server that
the setting `remote` names. Layer code cannot tell them apart.
"""

import atexit
import os
from functools import cache

from pyspark.sql import SparkSession

from lakehouse.errors import ConfigError
from lakehouse.settings import Settings

_UTC = {"spark.sql.session.timeZone": "UTC"}  # what serverless Spark takes, which takes few other settings
# To note the caller of each function of a thousand-column table takes longer than to build it.
_CONF = {**_UTC, "spark.python.sql.dataFrameDebugging.enabled": "false"}

IDLE_SECONDS = 30 * 24 * 3600
"""How long the embedded engine keeps a session that nobody uses: longer than any training."""
POOL_BYTES = 2 << 30
"""What the embedded engine's aggregates, joins and sorts hold in memory before they go to the disk."""


def open_session(settings: Settings) -> SparkSession:
    """The session of the engine in force; ConfigError says what the engine lacks."""
    if settings.remote:
        return _elsewhere(settings.engine, settings.remote.get_secret_value())
    match settings.engine:
        case "sail":
            return _sail()
        case "spark":
            from lakehouse.engines import jvm  # noqa: PLC0415  (an engine is imported only when it is chosen)

            return jvm.start(settings, _CONF)
        case _:
            return _given()


def _elsewhere(engine: str, address: str) -> SparkSession:
    from lakehouse.engines.remote import join  # noqa: PLC0415

    if engine == "spark":
        from lakehouse.engines import jvm  # noqa: PLC0415

        return join(address, {**jvm.SESSION, **_UTC}, delta=True)
    return join(address, _CONF if engine == "sail" else _UTC)


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
    for key, value in _UTC.items():
        session.conf.set(key, value)
    return session


@cache
def _sail() -> SparkSession:
    os.environ.setdefault("RUST_LOG", "error")
    # The engine ends an idle session after twenty minutes: a training between two tables takes longer.
    os.environ.setdefault("SAIL_SPARK__SESSION_TIMEOUT_SECS", str(IDLE_SECONDS))
    # Four times as many rows at a time as by default: a tenth less CPU on tables of millions of rows.
    os.environ.setdefault("SAIL_EXECUTION__BATCH_SIZE", "32768")
    # Pages of 2 MiB are cleared whole for the little of them that a batch needs: a fifth of all CPU.
    os.environ.setdefault("MIMALLOC_ALLOW_THP", "0")
    # Aggregates and sorts beyond this go to the disk in parts. Without a bound, memory grows with the number of rows.
    os.environ.setdefault("SAIL_RUNTIME__MEMORY_POOL__TYPE", "greedy")
    os.environ.setdefault("SAIL_RUNTIME__MEMORY_POOL__GREEDY__MAX_SIZE", str(POOL_BYTES))
    from pysail.spark import SparkConnectServer  # noqa: PLC0415

    from lakehouse.engines.remote import join  # noqa: PLC0415

    server = SparkConnectServer(port=0)
    server.start(background=True)
    atexit.register(server.stop)
    host, port = server.listening_address
    os.environ.setdefault("no_grpc_proxy", host)  # a hospital's proxy knows nothing of this machine's own addresses
    return join(f"sc://{host}:{port}", _CONF)
