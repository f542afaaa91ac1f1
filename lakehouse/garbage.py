"""Python's collector of garbage, in a process that imports much and lives for seconds or minutes."""

import atexit
import gc
import sys

OLD = 100
"""So many collections of the middle generation stand between two of the old one; Python's own are ten."""
COUNTED = "triton"
"""A library that counts what of it outlives the interpreter, and complains."""


def spare_the_collector() -> None:
    """What such a process imports stays to its end: to look for garbage in it time and again while the imports go on,
    and once more when the process ends, is up to a third of the time of a small command. Young garbage goes as ever."""
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, OLD)
    atexit.register(_end)


def _end() -> None:
    if COUNTED not in sys.modules:
        gc.freeze()
