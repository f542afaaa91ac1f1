"""MIMIC raw folders of any size: the files of a demo repeated, each time with patients of other numbers."""

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

from bronze.synthetic import mimiciii, mimiciv

SHIFT = 1_000_000_000
"""What one repetition's numbers are above those of the one before: more than any number of the demos."""
RELEASES = {"mimiciii": "mimiciii-demo-*", "mimiciv": "mimiciv-demo-*"}
DICTIONARIES = ("d_", "caregiver", "provider")
"""Files that say what codes mean and who works there: once, whoever the patients are."""
# fmt: off
OF_A_PATIENT = frozenset({
    "row_id", "subject_id", "hadm_id", "icustay_id", "stay_id", "transfer_id", "pharmacy_id", "labevent_id",
    "specimen_id", "microevent_id", "micro_specimen_id", "orderid", "linkorderid", "emar_id", "poe_id",
    "discontinue_of_poe_id", "discontinued_by_poe_id",
})
# fmt: on
GENERATED = 100
SEED = 7


def raw_folder(work: Path, times: int, real: Path | None) -> Path:
    """A raw folder of both MIMIC demos, each `times` over; made once, below `work`."""
    folder = work / f"{'real' if real else 'generated'}-mimic-{times}"
    done = folder / ".done"
    if not done.exists():
        source = real or _generated(work)
        for pattern in RELEASES.values():
            (release,) = source.glob(pattern)
            for file in sorted(release.rglob("*.csv.gz")):
                _repeat(file, folder / file.relative_to(source), times)
        done.touch()
    return folder


def _generated(work: Path) -> Path:
    folder = work / "generated-mimic"
    if not (folder / ".done").exists():
        for source in (mimiciii, mimiciv):
            source.write(folder, GENERATED, SEED, lambda _done: None)
        (folder / ".done").touch()
    return folder


def _repeat(file: Path, to: Path, times: int) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    if times == 1 or file.name.lower().startswith(DICTIONARIES):
        to.write_bytes(file.read_bytes())
        return
    with gzip.open(file, "rt", newline="") as text:
        header, *rows = csv.reader(text)
    shifted = [place for place, name in enumerate(header) if name.lower() in OF_A_PATIENT]
    with gzip.open(to, "wt", newline="", compresslevel=6) as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        for repetition in range(times):
            renumber = _renumbering(repetition * SHIFT)
            for row in rows:
                again = list(row)
                for place in shifted:
                    if place < len(row):
                        again[place] = renumber(row[place])
                writer.writerow(again)


def _renumbering(shift: int) -> Callable[[str], str]:
    """`10005817-21` is a number of the patient 10005817 and moves with it; what is no number stays."""

    def renumber(cell: str) -> str:
        number, dash, rest = cell.partition("-")
        return f"{int(number) + shift}{dash}{rest}" if number.isdigit() else cell

    return renumber
