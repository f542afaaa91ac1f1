"""`ehr` as processes that can be killed: each a fork of one that has imported everything, as imports take longer than a
small lake."""

import multiprocessing
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

IMPORTED = (
    "jobs.cli", "jobs.run", "jobs.sql", "jobs.operations.check", "jobs.operations.maintain", "lakehouse.io",
    "lakehouse.session", "lakehouse.engines.jvm", "models.tracking", "mlflow", "sklearn.linear_model", "pysail.spark",
    "pyspark.sql.connect.session", "pyspark.sql.connect.functions", "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store", "alembic", "skops.io", "tests.faults.verb",
)  # fmt: skip
_OF_A_SESSION = ("SPARK_CONNECT_MODE_ENABLED", "SPARK_REMOTE", "SPARK_LOCAL_REMOTE")
"""Left in the environment by the session of this process; with them, no other engine starts."""
# Threads that a numerical library starts as it is imported would not live on in a fork.
_QUIET = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal), and what it said."""

    code: int
    said: str


def sentence(ended: Ended) -> str:
    """The last line, which is all that this project says of the error: no trace, no second line."""
    assert "Traceback" not in ended.said, ended.said
    *_, last = ended.said.strip().splitlines()
    assert last.startswith("error ") and ended.said.count("error ") == 1, ended.said
    return last.removeprefix("error ")


class Running:
    """One `ehr` at work, leader of its own process group."""

    def __init__(self, process: BaseProcess, log: Path) -> None:
        self._process, self._log = process, log

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    @property
    def ended(self) -> bool:
        return not self._process.is_alive()

    def kill(self) -> None:
        """SIGKILL to it and to all that it started, unless it has ended."""
        with suppress(ProcessLookupError):
            leader = os.getpgid(self.pid) == self.pid
            (os.killpg if leader else os.kill)(self.pid, signal.SIGKILL)

    def wait(self, seconds: float = 240) -> Ended:
        """Its end; a process that does not come to it is killed, and TimeoutError tells."""
        self._process.join(seconds)
        if self._process.is_alive():
            self.kill()
            raise TimeoutError(f"no end after {seconds:g} s: {self._log.read_text()}")
        code = self._process.exitcode
        assert code is not None
        return Ended(code, self._log.read_text())


class Invocations:
    """Starts the command line; `environment` is that of each."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder, self._environment = folder, dict(environment)
        self._context = multiprocessing.get_context("forkserver")
        self._started = 0

    def start(self, *arguments: object, trouble: str | None = None, **environment: str) -> Running:
        """`ehr <arguments>`; `trouble` names a function of `tests.faults.troubles`."""
        from tests.faults import verb  # noqa: PLC0415  (imported by the server, not by who only collects tests)

        self._started += 1
        log = self._folder / f"{self._started:03}.log"
        log.touch()
        given = {**self._environment, **environment}
        told = [str(argument) for argument in arguments]
        process = self._context.Process(target=verb.run, args=(told, given, str(log), trouble), daemon=False)
        process.start()
        return Running(process, log)

    def __call__(self, *arguments: object, trouble: str | None = None, **environment: str) -> Ended:
        return self.start(*arguments, trouble=trouble, **environment).wait()


def serve() -> None:
    """Starts the process that all others are forks of; it ends with this one."""
    before = dict(os.environ)
    os.environ.update(_QUIET)
    for name in _OF_A_SESSION:
        os.environ.pop(name, None)
    multiprocessing.set_forkserver_preload(list(IMPORTED))
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
