"""JVM Spark with Delta: started here with its own chatter kept off the screen, or joined where spark-submit did so.

A Spark Connect server elsewhere is joined by `remote.py`.
"""

import atexit
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkRuntimeError
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from lakehouse.errors import ConfigError
from lakehouse.settings import Settings

IVY = Path.home() / ".ivy2.5.2"
"""Where Spark keeps jars that it fetched from Maven."""

STATIC = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # To note the caller of each function of a thousand-column table takes longer than to build it.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}
"""What Spark must be started with; the rest can be set in a session."""

SESSION = {
    # Delta's own type of time; the default, INT96, has no statistics and is read as nanoseconds by others.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # The log of a table here has a few hundred entries: more partitions of it are more tasks and no more speed.
    "spark.databricks.delta.snapshotPartitions": "1",
    # VACUUM lists files in so many tasks, be there one file: in the 10,000 of the default, in half a minute.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "32",
    "spark.databricks.delta.properties.defaults.dataSkippingNumIndexedCols": "4",
    # By rows alone, a batch of thousand-column rows is 100 MB, of which the JVM and its Python hold several copies.
    "spark.sql.execution.arrow.maxBytesPerBatch": "16m",
}
_CONF = {
    "spark.app.name": "ehr-lakehouse",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    **STATIC,
    **SESSION,
}
_LOCAL_CONF = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.jars.ivy": str(IVY),
}

_CHATTER = re.compile(r"NOTE|WARNING|[IWEF]\d{4} ")
"""Lines by Java's launcher, and by gRPC in the child of a process that has used it (`E1124 19:34:06.41 …`)."""


def start(settings: Settings, conf: Mapping[str, str]) -> SparkSession:
    """A session with `conf`; ConfigError where there is no Java, or no Delta in the JVM that spark-submit started."""
    # Hadoop has a umask of its own, and so has every executor.
    owned = {"spark.hadoop.fs.permissions.umask-mode": "077"} if settings.private else {}
    conf = {**_CONF, **owned, **conf}
    if "PYSPARK_GATEWAY_PORT" in os.environ:  # spark-submit started this process: master and memory are its business
        context = SparkContext.getOrCreate(SparkConf().setAll(list(conf.items())))
        if not _knows_delta(context):
            raise ConfigError(f"spark-submit started Spark without Delta: add --packages {delta_package()}.")
        atexit.register(context.stop)  # else executors are found missing while the JVM ends
    else:
        context = SparkContext._active_spark_context or _launch(settings, conf)
    context.setLogLevel("ERROR")
    return SparkSession.builder.getOrCreate()


def delta_package() -> str:
    """Maven coordinates of Delta for the installed PySpark."""
    spark = ".".join(version("pyspark").split(".")[:2])
    return f"io.delta:delta-spark_{spark}_2.13:{version('delta-spark')}"


def delta_jars() -> dict[str, str]:
    """The setting by which a JVM of this machine finds Delta.

    Jars that an earlier start fetched spare this one asking Maven again, which takes seconds and a network.
    """
    jars = {jar.name: str(jar) for jar in (IVY / "jars").glob(f"io.delta_*-{version('delta-spark')}.jar")}
    if delta_package().replace(":", "_", 1).replace(":", "-") + ".jar" in jars:
        return {"spark.driver.extraClassPath": os.pathsep.join(jars.values())}
    return {"spark.jars.packages": delta_package()}


def _launch(settings: Settings, given: Mapping[str, str]) -> SparkContext:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    conf = SparkConf().setAll([*_LOCAL_CONF.items(), *delta_jars().items(), *given.items()])
    conf.setMaster(f"local[{settings.cores}]")
    conf.set("spark.driver.memory", settings.driver_memory).set("spark.sql.shuffle.partitions", str(settings.cores))
    with tempfile.TemporaryFile() as said:
        try:
            gateway = launch_gateway(conf, {"stderr": said})
        except PySparkRuntimeError as error:
            said.seek(0)
            reason = _reason(said.read().decode(errors="replace")) or str(error)
            raise ConfigError(
                f"engine spark needs Java 17 or later, which did not start ({reason}): set JAVA_HOME, or "
                "choose --engine sail, which needs none."
            ) from error
        return SparkContext(conf=conf, gateway=gateway)


def _reason(said: str) -> str | None:
    """Why Java did not start: what stops it is said first, what its absence breaks after it."""
    lines = (line.strip() for line in said.splitlines())
    return next((line for line in lines if line and not _CHATTER.match(line)), None)


def _knows_delta(context: SparkContext) -> bool:
    loader = context._jvm.java.lang.Thread.currentThread().getContextClassLoader()  # type: ignore[union-attr]
    return loader.getResource("io/delta/sql/DeltaSparkSessionExtension.class") is not None
