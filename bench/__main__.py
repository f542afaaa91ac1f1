"""Raw files to gold, timed: the lake on its engines beside the same work by hand in polars.

python -m bench --sizes 4000,12000,40000,120000 --spark 12000,40000 --mimic 1,20 --plot docs/images/raw-to-gold.png

Every figure is of a whole process, from its start to its end; the table is printed as Markdown. Raw files come from the
folder that EHR_RAW names (published Challenge sets a and b, both MIMIC demos), or else are generated. Larger sizes
repeat their records and patients under new numbers. Raw files are kept below `--work`, lakes are not.
"""

import os
import shutil
import statistics
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import challenge, mimic
from bench.measure import LONGEST_SECONDS, ROOT, FailedError, Measured, lake_brought_up_to_date, measure
from bench.report import Result, draw, table

POLARS = "polars"


@dataclass(frozen=True)
class Job:
    """One program on one raw folder; `records` are Challenge records or, for MIMIC, times over."""

    work: str
    records: int
    program: str

    def run(self, given: Namespace) -> Measured:
        make = challenge.raw_folder if self.work == "Challenge" else mimic.raw_folder
        raw, out = make(given.work, self.records, given.raw), given.work / "out"
        shutil.rmtree(out, ignore_errors=True)
        try:
            if self.program != POLARS:
                return lake_brought_up_to_date(raw, out, self.program, given.cores, given.timeout)
            command = [sys.executable, "-m", "bench.polars_raw_to_gold", str(raw), str(out)]
            return measure(command, ROOT, {"POLARS_MAX_THREADS": str(given.cores)}, given.timeout)
        finally:
            shutil.rmtree(out, ignore_errors=True)


def jobs(given: Namespace) -> Iterator[Job]:
    for records in given.sizes:
        yield Job("Challenge", records, POLARS)
        yield Job("Challenge", records, "sail")
        if records in given.spark:
            yield Job("Challenge", records, "spark")
    for times in given.mimic:
        yield Job("MIMIC", times, "sail")


def main() -> None:
    given = _arguments()
    given.work.mkdir(parents=True, exist_ok=True)
    results, failed = list[Result](), False
    for job in jobs(given):
        try:
            runs = [job.run(given) for _ in range(given.repeat)]
        except FailedError as error:  # what the others took is worth telling all the same
            failed = True
            print(f"{job.work} {job.records:,} {job.program}: {error}", file=sys.stderr, flush=True)
            continue
        median = Measured(
            statistics.median(run.seconds for run in runs),
            statistics.median(run.cpu for run in runs),
            int(statistics.median(run.peak_bytes for run in runs)),
        )
        results.append(Result(job.work, job.records, job.program, median))
        said = f"{job.work} {job.records:,} {job.program}: {median.seconds:.1f} s, {median.cpu:.1f} s of CPU"
        print(said, file=sys.stderr, flush=True)
    print(table(results))
    if given.plot:
        draw(results, given.plot)
    sys.exit(failed)


def _arguments() -> Namespace:
    def numbers(text: str) -> list[int]:
        return [int(number) for number in text.split(",") if number]

    raw = os.environ.get("EHR_RAW")
    parser = ArgumentParser(prog="python -m bench", description="Raw files to gold, timed.")
    parser.add_argument("--sizes", type=numbers, default=[4_000, 12_000], help="Challenge records")
    parser.add_argument("--spark", type=numbers, default=[], help="those of the sizes that JVM Spark runs too")
    parser.add_argument("--mimic", type=numbers, default=[], help="how many times over the MIMIC demos")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each, of which the median is told")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=LONGEST_SECONDS, help="seconds that one run may take")
    parser.add_argument("--work", type=Path, default=ROOT / ".run" / "bench", help="where raw files and lakes lie")
    parser.add_argument(
        "--raw", type=Path, default=Path(raw) if raw else None, help="published files; default: EHR_RAW"
    )
    parser.add_argument("--plot", type=Path, help="file to draw cost against records in")
    given = parser.parse_args()
    given.work = given.work.resolve()
    return given


if __name__ == "__main__":
    main()
