"""`ehr` from a process that has its imports behind it: they are most of what a command on a small lake costs.

`python warm.py SOCKET` is the server. The `ehr` that `installed` writes asks it: a request is the words, folder,
environment and three streams of the caller, and is answered by a fork of the server, a process as any other.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({address!r})
    request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(asked, [request], [0, 1, 2])
    sys.exit(asked.recv(1)[0])
"""


@contextmanager
def installed(environment: Path) -> Iterator[None]:
    """While it lasts, `environment` is like the one that runs the tests but for its `ehr`, which the server answers."""
    own = Path(sys.prefix)
    (environment / "bin").mkdir(parents=True)
    for entry in (*own.iterdir(), *(own / "bin").iterdir()):
        if entry.name not in ("bin", "ehr", "activate"):
            (environment / entry.relative_to(own)).symlink_to(entry)
    activate = (own / "bin" / "activate").read_text()
    (environment / "bin" / "activate").write_text(activate.replace(str(own), str(environment)))
    with TemporaryDirectory() as folder:
        address = f"{folder}/s"
        ehr = environment / "bin" / "ehr"
        ehr.write_text(CLIENT.format(python=sys.executable, address=address))
        ehr.chmod(0o755)
        server = subprocess.Popen([sys.executable, __file__, address])
        try:
            while not Path(address).exists():
                assert server.poll() is None, "the server ended"
                time.sleep(0.05)
            yield
        finally:
            server.terminate()
            server.wait()
    shutil.rmtree(environment)


def serve(address: str) -> None:
    import jobs.evaluate  # noqa: PLC0415
    import jobs.explanations.explain  # noqa: PLC0415
    import jobs.report.card  # noqa: PLC0415
    import jobs.report.write  # noqa: PLC0415
    import jobs.run  # noqa: PLC0415
    import jobs.training.registry  # noqa: F401, PLC0415
    from jobs.cli import main  # noqa: PLC0415

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while True:
            asked, _ = listening.accept()
            with asked:
                request, streams, _, _ = socket.recv_fds(asked, 1 << 20, 3)
                if not (child := os.fork()):
                    words, folder, variables = json.loads(request)
                    for number, stream in enumerate(streams):
                        os.dup2(stream, number)
                        os.close(stream)
                    os.chdir(folder)
                    os.environ.clear()
                    os.environ.update(variables)
                    sys.argv = ["ehr", *words]
                    _end(main)
                for stream in streams:
                    os.close(stream)
                _, status = os.waitpid(child, 0)
                asked.sendall(bytes([os.waitstatus_to_exitcode(status) & 0xFF]))


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
