"""The benchmark compares like with like: the script in polars gives the lake's own tables, and measures are true."""

import shutil
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bench import challenge, mimic
from bench.measure import FailedError, Measured, measure
from bench.polars_raw_to_gold import raw_to_gold
from bench.report import Result, draw, table
from jobs.featurize import featurize
from lakehouse.io import Lake
from tests.integration.conftest import quiet_context
from tests.integration.worlds import records
from tests.raw_csv import rows

HALF_GIB = 2**29
KEYS = {
    "silver.stays": ["stay_id"],
    "silver.events": ["stay_id", "concept", "minute"],
    "gold.mortality_cohort": ["stay_id"],
    "gold.mortality_features": ["stay_id"],
    "gold.mortality_sequences": ["stay_id"],
}


@pytest.fixture(scope="module")
def lake(generated_raw: Path, refined_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    root = Path(shutil.copytree(refined_lake, tmp_path_factory.mktemp("bench") / "lake"))
    featurize(quiet_context(generated_raw, root))
    return Lake(root)


@pytest.fixture(scope="module")
def by_hand(generated_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("polars") / "out"
    raw_to_gold(generated_raw / challenge.FOLDER, out)
    return out


@pytest.mark.parametrize("name", KEYS)
def test_polars_gives_the_lakes_rows(lake: Lake, by_hand: Path, name: str) -> None:
    own = pl.from_arrow(lake.read_arrow(name))
    assert isinstance(own, pl.DataFrame)
    own = own.filter(pl.col("source") == "challenge2012")
    other = pl.read_parquet(by_hand / name.split(".")[1].removeprefix("mortality_") / "*.parquet")
    shared = [column for column in own.columns if column in other.columns]
    if name in ("silver.events", "gold.mortality_features", "gold.mortality_sequences"):
        assert shared == own.columns, "nothing is left out of what takes the time"
    assert own.height >= 50
    frames = (frame.select(shared).cast({KEYS[name][-1]: pl.String}).sort(KEYS[name]) for frame in (own, other))
    frames = (frame.cast({"concept": pl.String}) if "concept" in shared else frame for frame in frames)
    assert_frame_equal(*frames, check_dtypes=False, rel_tol=1e-9, abs_tol=1e-9)


def test_records_are_repeated_under_numbers_of_their_own(generated_raw: Path, tmp_path: Path) -> None:
    folder = challenge.raw_folder(tmp_path, 100, generated_raw) / challenge.FOLDER
    texts = {**records(folder / "set-a.tar.gz"), **records(folder / "set-b.tar.gz")}
    assert sorted(map(int, texts)) == list(range(200_000, 200_100))
    assert all(f"RecordID,{record}\n" in text for record, text in texts.items())
    there = list(records(generated_raw / challenge.FOLDER / "set-b.tar.gz").values())
    body = [text.split("\n", 2)[2] for text in there]
    assert [texts[str(200_050 + i)].split("\n", 2)[2] for i in range(50)] == [body[i % len(body)] for i in range(50)]
    lines = (folder / "Outcomes-b.txt").read_text().splitlines()
    assert [int(line.split(",")[0]) for line in lines[1:]] == list(range(200_050, 200_100))
    assert challenge.raw_folder(tmp_path, 100, Path("not there")) == folder.parent, "made once"


def test_demos_are_repeated_with_patients_of_their_own(generated_raw: Path, tmp_path: Path) -> None:
    folder = mimic.raw_folder(tmp_path, 3, generated_raw)
    for file, columns in {
        "mimiciii-demo-1.4/ICUSTAYS": ("row_id", "subject_id", "hadm_id", "icustay_id"),
        "mimiciv-demo-2.2/icu/icustays": ("subject_id", "hadm_id", "stay_id"),
    }.items():
        once, thrice = rows(generated_raw / f"{file}.csv.gz"), rows(folder / f"{file}.csv.gz")
        assert len(thrice) == 3 * len(once)
        for column in columns:
            assert len({row[column] for row in thrice}) == 3 * len({row[column] for row in once}), column
        assert thrice[: len(once)] == once
    assert rows(folder / "mimiciv-demo-2.2/icu/d_items.csv.gz") == rows(
        generated_raw / "mimiciv-demo-2.2/icu/d_items.csv.gz"
    )


BURN = "import time; t = time.process_time()\nwhile time.process_time() < t + 0.3: pass\n"


def test_a_measure_counts_what_a_command_starts_and_leaves_behind(tmp_path: Path) -> None:
    child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BURN!r}]); x = bytearray(80_000_000)\n"
    took = measure([sys.executable, "-c", child + BURN], tmp_path)
    assert 0.6 <= took.cpu < 3
    assert took.seconds >= 0.3
    assert took.peak_bytes > 80_000_000
    with pytest.raises(FailedError, match="ended with 3: wrong"):
        measure([sys.executable, "-c", "print('wrong'); raise SystemExit(3)"], tmp_path)


def test_the_table_tells_ratios_and_growth(tmp_path: Path) -> None:
    results = [
        Result("Challenge", 12_000, "polars", Measured(10, 16, HALF_GIB)),
        Result("Challenge", 12_000, "sail", Measured(15, 24, 2 * HALF_GIB)),
        Result("Challenge", 24_000, "sail", Measured(30, 60, 3 * HALF_GIB)),
        Result("MIMIC", 1, "sail", Measured(20, 10, HALF_GIB)),
        Result("MIMIC", 20, "sail", Measured(90, 100, HALF_GIB)),
    ]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(results).splitlines()]
    assert lines[2:] == [
        ["12,000 records", "polars", "10.0", "16.0", "0.50", "72,000", "", "", ""],
        ["12,000 records", "sail", "15.0", "24.0", "1.00", "48,000", "1.50", "1.50", ""],
        ["24,000 records", "sail", "30.0", "60.0", "1.50", "48,000", "", "", "1.25"],
        ["MIMIC demos x 1", "sail", "20.0", "10.0", "0.50", "", "", "", ""],
        ["MIMIC demos x 20", "sail", "90.0", "100.0", "0.50", "", "", "", "0.50"],
    ]
    draw(results, tmp_path / "images" / "cost.png")
    assert (tmp_path / "images" / "cost.png").read_bytes().startswith(b"\x89PNG")
