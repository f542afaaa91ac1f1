"""The rival's bronze: Challenge tarballs and outcome files into Parquet, a file for every `RECORDS_AT_ONCE` records."""

import tarfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl

RECORDS_AT_ONCE = 2_000
Record = tuple[int, bytes]
"""RecordID and the lines of the file without its header."""

OUTCOME_COLUMNS = {
    "RecordID": "record_id",
    "SAPS-I": "saps_i",
    "SOFA": "sofa",
    "Length_of_stay": "length_of_stay",
    "Survival": "survival",
    "In-hospital_death": "in_hospital_death",
}


def measurements(raw: Path, out: Path) -> list[Path]:
    """One row a line: record_set, record_id, time, parameter, value and where the line stands. The files written."""
    out.mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        files = pool.map(lambda tar: list(_of_tar(tar, raw, out)), sorted(raw.rglob("set-?.tar.gz")))
        return [file for group in files for file in group]


def outcomes(raw: Path, out: Path) -> None:
    """One row a record: how the stay ended."""
    frames = [
        pl.read_csv(file).rename(OUTCOME_COLUMNS).with_columns(record_set=pl.lit(file.stem[-1]))
        for file in sorted(raw.rglob("Outcomes-?.txt"))
    ]
    pl.concat(frames).write_parquet(out)


def _of_tar(tar: Path, raw: Path, out: Path) -> Iterator[Path]:
    name = str(tar.relative_to(raw))
    record_set = tar.name[len("set-")]
    records = _records(tar)
    for number in range(10**6):
        if not (some := list(islice(records, RECORDS_AT_ONCE))):
            return
        file = out / f"{record_set}-{number:04d}.parquet"
        _parsed(some).select(
            pl.lit(record_set).alias("record_set"),
            "record_id",
            "time",
            "parameter",
            "value",
            pl.lit(name).alias("_source_file"),
            "_source_row",
        ).write_parquet(file)
        yield file


def _records(tar: Path) -> Iterator[Record]:
    with tarfile.open(tar, "r|gz") as members:
        for member in members:
            if member.isfile() and (content := members.extractfile(member)):
                _header, _, body = content.read().partition(b"\n")
                yield int(PurePosixPath(member.name).stem), body


def _parsed(records: Iterable[Record]) -> pl.DataFrame:
    """Rows of many records parsed at once; a file that is not of its format is an error."""
    ids, bodies = zip(*records, strict=True)
    counts = [body.count(b"\n") for body in bodies]
    lines = pl.read_csv(
        b"".join(bodies),
        has_header=False,
        schema={"time": pl.String, "parameter": pl.String, "value": pl.Float64},
        quote_char=None,
    )
    return lines.with_columns(
        pl.Series("record_id", np.repeat(ids, counts)),
        pl.Series("_source_row", np.concatenate([np.arange(1, count + 1) for count in counts])),
    )
