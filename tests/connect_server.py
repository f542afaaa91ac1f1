"""A Spark Connect server on the JVM: a process of its own, as a cluster's is."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyspark

from lakehouse.engines import jvm

SPARK_HOME = Path(pyspark.__file__).parent
SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"


@contextmanager
def connect_server(log: Path) -> Iterator[str]:
    """Its address, `sc://...`, from when it answers until the end of the block; it talks to `log`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    conf = {
        **jvm.STATIC,
        **jvm.delta_jars(),
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(log.parent / "warehouse"),
        "spark.ui.enabled": "false",
        # To compile a plan takes longer than its few rows: a sixth less CPU. The run on a cluster compiles its plans.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.ui.explainMode": "simple",  # plans are told in words for a page that nobody opens
    }
    given = [word for key, value in conf.items() for word in ("--conf", f"{key}={value}")]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK_", "EHR_"))}
    environment |= {"PYSPARK_PYTHON": sys.executable, "SPARK_HOME": str(SPARK_HOME)}
    command = [SPARK_HOME / "bin" / "spark-submit", "--master", "local[2]", "--driver-memory", "2g"]
    with log.open("w") as said:
        server = subprocess.Popen(
            [*command, "--class", SERVER, *given, "spark-internal"], env=environment, stdout=said, stderr=said
        )
    try:
        while not _answers(port):
            assert server.poll() is None, log.read_text()
            time.sleep(0.2)
        yield f"sc://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)


def _answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0
