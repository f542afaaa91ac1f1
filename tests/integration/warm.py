"""`ehr` from a process that has its libraries behind it: to import them is most of what a small command costs.

`python warm.py SOCKET` is the server. The `ehr` that `served` writes asks it: a request is the words, folder,
environment and three streams of the caller, and is answered by a fork of the server, a process as any other. The
project's own modules are imported by the fork, from where the caller's `PYTHONPATH` says.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from mlflow.utils import requirements_utils
from pages import PACKAGES

IMPORTED = (
    "jobs.run", "jobs.sql", "jobs.evaluate", "jobs.explanations.explain", "jobs.report.card", "jobs.report.write",
    "jobs.training.registry", "pysail.spark", "pyspark.sql.connect.session", "pyspark.sql.connect.functions",
    "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store", "alembic", "skops.io",
    "typer",
)  # fmt: skip
CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({address!r})
    request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(asked, [request], [0, 1, 2])
    sys.exit(asked.recv(1)[0])
"""


@contextmanager
def served(folder: Path) -> Iterator[Path]:
    """The path of an `ehr` in the folder, which answers while it lasts."""
    address, ehr = str(folder / "s"), folder / "ehr"
    ehr.write_text(CLIENT.format(python=sys.executable, address=address))
    ehr.chmod(0o755)
    with subprocess.Popen([sys.executable, __file__, address]) as server:
        try:
            while not Path(address).exists():
                assert server.poll() is None, "the server ended"
                time.sleep(0.05)
            yield ehr
        finally:
            server.terminate()


def serve(address: str) -> None:
    for name in IMPORTED:
        import_module(name)
    requirements_utils._init_packages_to_modules_map()  # MLflow looks through all that is installed to log a model
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        del sys.modules[name]
    del sys.path[0]  # the folder of this file
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while True:
            asked, _ = listening.accept()
            with asked:
                request, streams, _, _ = socket.recv_fds(asked, 1 << 20, 3)
                if not (child := os.fork()):
                    _answer(*json.loads(request), streams)
                for stream in streams:
                    os.close(stream)
                _, status = os.waitpid(child, 0)
                asked.sendall(bytes([os.waitstatus_to_exitcode(status) & 0xFF]))


def _answer(words: list[str], folder: str, variables: dict[str, str], streams: list[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.path[:0] = [path for path in variables.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv = ["ehr", *words]
    _end(import_module("jobs.cli").main)


def _end(command: Callable[[], None]) -> None:
    """Runs the command and ends at once with its code: at a fork's usual end, threads that it lacks are waited for."""
    code = 1
    try:
        command()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
