"""What one percent more records costs, beside all of them: the lake brought up to date, as a whole process each time.

python -m bench.incremental --records 40000

Four runs on one lake: all records, nothing new, one new record, one percent new. The run with one new record is what
any increment costs at least: the engine's start, and the planning of tables however few rows they get.
"""

import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from bench.challenge import Original, raw_folder, write_set
from bench.measure import ROOT, Measured, lake_brought_up_to_date
from bronze.synthetic import challenge2012

FIRST_NEW_ID = 990_000
SEED = 8


def add(raw: Path, letter: str, first: int, count: int) -> None:
    """One more set of generated records."""
    made = (challenge2012.record(SEED, i) for i in range(first, first + count))
    originals = (Original(one.record_id, one.text, one.outcome.split(",", 1)[1]) for one in made)
    write_set(raw, letter, FIRST_NEW_ID + first, originals)


def table(runs: Sequence[tuple[str, Measured]]) -> str:
    """The runs as Markdown, and what the last one costs beyond the one before it, in parts of the first."""
    lines = ["| run | wall s | CPU s | peak GB |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {m.seconds:.1f} | {m.cpu:.1f} | {m.peak_bytes / 1e9:.1f} |" for name, m in runs]
    (_, whole), *_, (_, least), (_, more) = runs
    share = [(getattr(more, unit) - getattr(least, unit)) / getattr(whole, unit) for unit in ("seconds", "cpu")]
    lines += ["", f"One percent beyond one record: {share[0]:.1%} of the wall time of all, {share[1]:.1%} of the CPU."]
    return "\n".join(lines)


def main() -> None:
    parser = ArgumentParser(prog="python -m bench.incremental", description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--engine", default="sail")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--work", type=Path, default=ROOT / ".run" / "bench", help="where raw files and lakes lie")
    given = parser.parse_args()
    raw, lake = given.work.resolve() / "incremental-raw", given.work.resolve() / "incremental-lake"
    for folder in (raw, lake):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(raw_folder(given.work.resolve(), given.records, None), raw)
    percent = given.records // 100
    new = {"nothing new": 0, "one record more": 1, f"{percent:,} records more": percent}
    runs = [(f"all {given.records:,} records", lake_brought_up_to_date(raw, lake, given.engine, given.cores))]
    first = 0
    for letter, (name, count) in zip("cde", new.items(), strict=True):
        if count:
            add(raw, letter, first, count)
        first += count
        runs.append((name, lake_brought_up_to_date(raw, lake, given.engine, given.cores)))
        print(f"{runs[-1][0]}: {runs[-1][1].seconds:.1f} s", file=sys.stderr, flush=True)
    print(table(runs))
    for folder in (raw, lake):
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
