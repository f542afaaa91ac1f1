"""Commands side by side, each in a lane of its own: `python -m tests.lanes 'NAME: COMMAND' ...`.

What a lane says goes to `.lanes/NAME.log` as it comes, its last line to the screen; all of it is printed when the lane
has ended. Fails where one does.
"""

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID, TextColumn, TimeElapsedColumn

LOGS = Path(".lanes")
COLUMNS = (TextColumn("{task.description}"), TimeElapsedColumn(), TextColumn("{task.fields[last]}"))


@dataclass(frozen=True)
class Lane:
    """A running command, its log, its row on the screen."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    row: TaskID
    started: float

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def last(self) -> str:
        return escape(self.said.rstrip().rpartition("\n")[-1][-48:])


def run(commands: list[str], console: Console) -> bool:
    """Whether all ended well; none goes on when this is interrupted."""
    LOGS.mkdir(exist_ok=True)
    with Progress(*COLUMNS, console=console) as progress:
        lanes = [_start(*command.split(": ", 1), progress) for command in commands]
        running = list(lanes)
        try:
            while running:
                time.sleep(0.5)
                for lane in list(running):
                    progress.update(lane.row, last=lane.last)
                    if lane.process.poll() is not None:
                        running.remove(lane)
                        progress.stop_task(lane.row)
                        ended = "✓" if lane.process.returncode == 0 else "✗"
                        console.rule(f"{ended} {lane.name}, {time.monotonic() - lane.started:.0f} s", align="left")
                        console.out(lane.said, highlight=False)
        finally:
            for lane in running:
                lane.process.terminate()
    return all(lane.process.returncode == 0 for lane in lanes)


def _start(name: str, command: str, progress: Progress) -> Lane:
    log = LOGS / f"{name.replace(' ', '-')}.log"
    with log.open("w") as said:
        process = subprocess.Popen(["bash", "-c", f"exec {command}"], stdout=said, stderr=subprocess.STDOUT)
    return Lane(name, process, log, progress.add_task(name, total=None, last=""), time.monotonic())


if __name__ == "__main__":
    for stop in (signal.SIGINT, signal.SIGTERM):  # make sends the second where it is ended itself
        signal.signal(stop, lambda *_: sys.exit(1))
    sys.exit(not run(sys.argv[1:], Console()))
