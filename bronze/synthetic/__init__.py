"""Raw files of all sources, made up, in the published formats: a project without real data still runs whole.

Deterministic by seed, to the byte. Each patient is drawn from (seed, source, index) alone and written at once, so
memory does not grow with their number, and the first patients stay the same when more are asked for.
"""

from collections.abc import Callable
from pathlib import Path

from bronze.synthetic import challenge2012, mimiciii, mimiciv

__all__ = ["Progress", "generate"]

#: Called with the source, how many of its patients are written, and how many there will be.
Progress = Callable[[str, int, int], None]

_FEWEST_MIMIC = 20


def generate(out: Path, patients: int, seed: int, on_progress: Progress | None = None) -> dict[str, int]:
    """Writes ``patients`` Challenge stays (half set a, half set b) and ``max(20, patients // 10)`` people each for
    MIMIC-III and MIMIC-IV below ``out``; gives the data rows of each table, keyed ``<folder>/<table>``.

    Raises ``ValueError`` for fewer than two patients or a negative seed. Files already there are overwritten.
    """
    if patients < 2:
        raise ValueError(f"patients must be at least 2 (one for each set), not {patients}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, not {seed}")
    rows: dict[str, int] = {}
    for source in (challenge2012, mimiciii, mimiciv):
        name = source.SOURCE
        many = patients if source is challenge2012 else max(_FEWEST_MIMIC, patients // 10)

        def report(done: int, name: str = name, many: int = many) -> None:
            if on_progress is not None:
                on_progress(name, done, many)

        rows |= source.write(out, many, seed, report)
    return rows
