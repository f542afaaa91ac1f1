"""README and tutorial are taken at their word: every block of commands is run as it stands, in order, in one folder.

`make run` finds generated files and a lake whose silver is there, so that it begins where an earlier run has left off;
trainings are the smallest that there are.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lakehouse.io import Lake
from tests.command_blocks import ROOT, blocks

README, TUTORIAL = "README.md", "docs/tutorial.md"
SETTINGS = {"EHR_PRESET": "tabular", "EHR_TRAIN_SECONDS": "1", "EHR_CORES": "1"}
MARK = "@@ line "


@dataclass(frozen=True)
class Session:
    """The folder in which the pages' commands were run, and what they printed: by page, by the block's line."""

    root: Path
    said: dict[str, dict[int, str]]

    def after(self, page: str, command: str) -> str:
        """What the block said that holds the command."""
        (block,) = (block for block in blocks(ROOT / page) if block.kind == "bash" and command in block.text)
        return self.said[page][block.line]

    @property
    def lake(self) -> Lake:
        return Lake(self.root / ".run" / "lake")


@pytest.fixture(scope="module")
def session(
    warm_ehr: Path, generated_raw: Path, refined_lake: Path, tmp_path_factory: pytest.TempPathFactory
) -> Session:
    root = tmp_path_factory.mktemp("reader")
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(generated_raw, root / ".run" / "raw")
    shutil.copytree(refined_lake, root / ".run" / "lake")
    for name in ("raw", "lake"):  # what the reader of the README has downloaded and built
        (root / name).symlink_to(f".run/{name}")
    asked = next(
        row["stay_id"]
        for row in sorted(Lake(refined_lake).records("silver.stays"), key=lambda row: row["stay_id"])
        if row["source"] == "challenge2012" and (row["icu_hours"] or 0) >= 48 and (row["age"] or 0) >= 16
    )
    done: set[str] = set()
    environment(root / ".venv", warm_ehr)
    said = {page: run_blocks(root, page, {"STAY_ID": asked}, done) for page in (README, TUTORIAL)}
    return Session(root, said)


def environment(folder: Path, ehr: Path) -> None:
    """An environment like the one that runs the tests but for its `ehr`, and ready as `make setup` leaves it."""
    own = Path(sys.prefix)
    (folder / "bin").mkdir(parents=True)
    for entry in (*own.iterdir(), *(own / "bin").iterdir()):
        if entry.name not in ("bin", "ehr", "activate", ".ready"):
            (folder / entry.relative_to(own)).symlink_to(entry)
    activate = (own / "bin" / "activate").read_text()
    (folder / "bin" / "activate").write_text(activate.replace(str(own), str(folder)))
    (folder / "bin" / "ehr").symlink_to(ehr)
    (folder / ".ready").touch()


def run_blocks(root: Path, page: str, stands_for: dict[str, str], done: set[str]) -> dict[int, str]:
    """Runs the page's blocks in one shell, but those in `done`, to which they are added; what each printed, by line."""
    script = ["set -euo pipefail"]
    for block in blocks(ROOT / page):
        plain = re.sub(r" +#.*", "", block.text)
        if block.kind != "bash" or plain in done:
            continue
        done.add(plain)
        script += [f"echo '{MARK}{block.line}'", block.text]
    text = "\n".join(script)
    for placeholder, value in stands_for.items():
        text = text.replace(placeholder, value)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EHR_")}
    path = f"{root}/.venv/bin:{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-c", text], cwd=root, env={**inherited, **SETTINGS, "PATH": path, "COLUMNS": "200"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    parts = re.split(rf"^{MARK}(\d+)\n", ran.stdout, flags=re.M)
    assert ran.returncode == 0, f"{page}, the block of line {parts[-2]}:\n{parts[-1]}"
    return {int(line): printed for line, printed in zip(parts[1::2], parts[2::2], strict=True)}


def numbers(printed: str) -> Iterator[int]:
    yield from (int(cell.replace(",", "")) for cell in re.findall(r"│ +([\d,]+) │", printed))


def test_make_run_ends_as_the_readme_shows(session: Session) -> None:
    said = session.after(README, "make run")
    shown = next(block.text for block in blocks(ROOT / README) if "gold.mortality_predictions" in block.text)
    for words in re.findall(r"(?:[┃│] [a-z_]+ )+[┃│]?", shown):  # names of columns and stages
        for word in re.findall(r"[a-z_]+", words):
            assert word in said, word
    assert "ehr evaluate" in said


def test_the_commands_of_the_readme_say_what_the_comments_say(session: Session) -> None:
    said = session.after(README, "ehr run --raw raw --lake lake")
    for name in ("silver.events", "gold.mortality_features", "ops.runs"):
        assert name in said
    assert "nothing was trained" in said, "make run had trained these"
    assert "saps_i" in said and "sofa_first_24h" in said and "AUROC" in said
    assert "what moved the risk" in said and "drawn: stay.png" in said
    assert "split" in said


def test_the_tutorial_s_queries_answer(session: Session) -> None:
    assert ".run/lake" in session.after(TUTORIAL, "ehr config")
    rates = session.after(TUTORIAL, "median(value)")
    assert [source for source in ("challenge2012", "mimiciii", "mimiciv") if source in rates] == [
        "challenge2012", "mimiciii", "mimiciv",
    ]  # fmt: skip
    assert rates.count("bpm") == 3
    assert "first_reason" in session.after(TUTORIAL, "first_reason")
    assert "champion" in session.after(TUTORIAL, "ehr models")
    assert "shape: (3, 2)" in session.after(TUTORIAL, "polars")


def test_the_late_row_goes_where_the_tutorial_says_it_goes(session: Session) -> None:
    stages = session.after(TUTORIAL, "ehr ingest")
    built = re.findall(r"✓ ([\w.]+(?:\[\w+\])?)", stages)
    assert built[:2] == ["bronze.mimiciv_chartevents", "silver.events[mimiciv]"]
    assert not {name for name in built if name.startswith("bronze.")} - {"bronze.mimiciv_chartevents"}
    assert "gold.mortality_cohort" not in built

    late = (session.root / "late.csv").read_text().split(",")
    (event,) = (
        row
        for row in session.lake.records("silver.events")
        if row["stay_id"] == f"mimiciv-{late[2]}" and row["concept"] == "hr" and row["minute"] == 180
    )
    assert event["value"] > 100, "181, or the middle of 181 and what was there"
    assert f"mimiciv-{late[2]}" in session.after(TUTORIAL, "minute = 180")

    cells = {
        row[0]: row[2:]
        for line in session.after(TUTORIAL, "ehr diff").splitlines()
        if len(row := [cell.strip() for cell in line.strip("│").split("│")]) == 5
    }
    assert cells["bronze.mimiciv_chartevents"] == ["1", "0", "0"]
    assert sorted(cells["silver.events"]) == ["0", "0", "1"]
    for table in ("features", "sequences"):
        assert cells[f"gold.mortality_{table}"] == ["0", "1", "0"], table
    assert cells["gold.mortality_risk_history"] == ["1", "0", "0"]

    before, after = numbers(session.after(TUTORIAL, "ehr sql --as-of"))
    assert after == before + 1


def test_the_tutorial_s_files_are_written(session: Session) -> None:
    assert (session.root / "stay.png").read_bytes().startswith(b"\x89PNG")
    assert "<html" in (session.root / "report.html").read_text()
    assert "Intended use" in (session.root / "card.md").read_text()
