"""Where the command line writes: results on standard output, progress and messages on standard error."""

import sys
from typing import TextIO

from rich.console import Console

LOG_WIDTH = 160
"""Columns where there is no terminal, as in a scheduler's log: tables are not cut to the width of a screen."""


def messages() -> Console:
    return _on(sys.stderr)


def results() -> Console:
    return _on(sys.stdout)


def _on(stream: TextIO) -> Console:
    return Console(file=stream, highlight=False, width=None if stream.isatty() else LOG_WIDTH)
