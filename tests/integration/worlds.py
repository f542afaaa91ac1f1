"""Raw folders of worlds that differ in what no model may know or learn from, and what the project makes of them."""

import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

from rich.console import Console

from bronze.synthetic.files import TarOfTexts
from jobs.context import Context
from lakehouse.io import Lake
from lakehouse.settings import load_settings
from tests.conftest import ENGINE
from tests.raw_csv import Rows, edit, rows

WINDOW_MINUTES = 48 * 60
CHALLENGE, MIMICIII, MIMICIV = "challenge-2012", "mimiciii-demo-1.4", "mimiciv-demo-2.2"
OUTCOMES_HEADER = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death"


@dataclass(frozen=True)
class World:
    """A raw folder and its lake."""

    raw: Path
    root: Path

    def context(self) -> Context:
        """A fresh invocation; one core, so that networks train in this process."""
        settings = load_settings(raw=self.raw, lake=self.root, engine=ENGINE, cores=1, preset="quick", train_seconds=1)
        return Context.of(settings, Console(file=StringIO()))

    @property
    def lake(self) -> Lake:
        return Lake(self.root)

    def by_stay(self, table: str) -> dict[str, dict[str, object]]:
        return {row["stay_id"]: row for row in self.lake.records(table)}


def records(tar: Path) -> dict[str, str]:
    """Texts of a record set by record id."""
    with tarfile.open(tar, "r:gz") as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        return {Path(m.name).stem: archive.extractfile(m).read().decode() for m in members}  # type: ignore[union-attr]


def write_records(tar: Path, texts: Mapping[str, str]) -> None:
    with TarOfTexts(tar, tar.name.split(".")[0]) as archive:
        for record, text in texts.items():
            archive.add(f"{record}.txt", text)


def edit_outcomes(file: Path, change: Callable[[list[int]], list[int]]) -> None:
    """Writes an outcome file anew; `change` is given the six numbers of a row."""
    header, *lines = file.read_text().splitlines()
    changed = [",".join(map(str, change([int(cell) for cell in line.split(",")]))) for line in lines]
    file.write_text("\n".join([header, *changed, ""]))


def flip(outcome: list[int]) -> list[int]:
    """Every outcome another one: scores, days and death."""
    record, saps, sofa, days, survival, died = outcome
    return [record, 34 - max(saps, 0), 24 - max(sofa, 0), days + 90, 3 if survival == -1 else -1, 1 - died]


def forget_what_came_later(raw: Path) -> None:
    """Takes every charted row after the window out of MIMIC, and puts such rows into the Challenge, which has none."""
    files = {
        f"{MIMICIII}/ICUSTAYS": ("icustay_id", ("CHARTEVENTS", "LABEVENTS", "OUTPUTEVENTS", "PROCEDUREEVENTS_MV")),
        f"{MIMICIV}/icu/icustays": (
            "stay_id",
            ("icu/chartevents", "hosp/labevents", "icu/outputevents", "icu/procedureevents"),
        ),
    }
    for register, (stay, tables) in files.items():
        began: dict[str, list[tuple[str, datetime]]] = {}
        for row in rows(raw / f"{register}.csv.gz"):
            began.setdefault(row["subject_id"], []).append((row[stay], datetime.fromisoformat(row["intime"])))

        def early(row: dict[str, str], stay: str = stay, began: dict[str, list[tuple[str, datetime]]] = began) -> bool:
            """Whether the row's stay, or the one that began last before it, had not yet seen the window's end."""
            time = datetime.fromisoformat(row.get("charttime") or row.get("starttime") or "9999-01-01")
            own = [start for name, start in began[row["subject_id"]] if name == row.get(stay)]
            starts = own or [start for _, start in began[row["subject_id"]] if start <= time]
            return not starts or time < max(starts) + timedelta(minutes=WINDOW_MINUTES + 1)

        release = register.split("/")[0]
        for table in tables:
            edit(raw / release / f"{table}.csv.gz", lambda all_rows, early=early: [r for r in all_rows if early(r)])
    later = "48:01,HR,250\n49:30,Lactate,19\n50:00,Weight,140\n60:00,GCS,3\n71:59,Urine,2900\n"
    for name in "ab":
        tar = raw / CHALLENGE / f"set-{name}.tar.gz"
        write_records(tar, {record: text + later for record, text in records(tar).items()})


def end_otherwise(raw: Path) -> None:
    """Changes how every stay ended: deaths, discharges, scores and days of the outcome files, codes that were assigned
    to the last admission of each patient, whose end no stay of the project knows."""
    for name in "ab":
        edit_outcomes(raw / CHALLENGE / f"Outcomes-{name}.txt", flip)
    for release, hosp, icu in ((MIMICIII, "", ""), (MIMICIV, "hosp/", "icu/")):

        def file(folder: str, table: str, release: str = release) -> Path:
            name = table.upper() if release == MIMICIII else table
            return raw / release / f"{folder}{name}.csv.gz"

        admitted = rows(file(hosp, "admissions"))
        last = {row["hadm_id"] for row in _last_of(admitted, "subject_id", "admittime")}
        edit(file(hosp, "admissions"), lambda all_rows, last=last: [_ended(row, last) for row in all_rows])
        edit(file(hosp, "diagnoses_icd"), lambda all_rows, last=last: [_recoded(row, last) for row in all_rows])
        edit(file(hosp, "patients"), lambda all_rows: [_died(row) for row in all_rows])
        edit(file(icu, "icustays"), lambda all_rows: [_left_later(row) for row in all_rows])


def _last_of(all_rows: Rows, who: str, when: str) -> Rows:
    return list({row[who]: row for row in sorted(all_rows, key=lambda row: row[when])}.values())


def _ended(row: dict[str, str], last: set[str]) -> dict[str, str]:
    died = row["hospital_expire_flag"] == "1"
    changed = {
        "deathtime": "" if died else row["dischtime"],
        "discharge_location": "HOME" if died else "DEAD/EXPIRED",
        "hospital_expire_flag": "0" if died else "1",
    }
    if row["hadm_id"] in last:
        changed["dischtime"] = _shifted(row["dischtime"], 9)
    return {**row, **changed}


def _recoded(row: dict[str, str], last: set[str]) -> dict[str, str]:
    if row["hadm_id"] not in last:
        return row
    return {**row, **({"icd9_code": "1970"} if "icd9_code" in row else {"icd_code": "1970", "icd_version": "9"})}


def _died(row: dict[str, str]) -> dict[str, str]:
    """Another day of death, or one for who had none."""
    if "anchor_year" in row:
        return {**row, "dod": "" if row["dod"] else f"{int(row['anchor_year']) + 1}-01-01"}
    dead = row["expire_flag"] == "1"
    day = "" if dead else "2199-01-01 00:00:00"
    return {**row, "dod": day, "dod_hosp": day, "dod_ssn": "", "expire_flag": "0" if dead else "1"}


def _left_later(row: dict[str, str]) -> dict[str, str]:
    """A longer stay, where it was long enough to be asked about: shorter ones stay out of the cohort."""
    if float(row["los"]) < 2:
        return row
    return {**row, "outtime": _shifted(row["outtime"], 5), "los": str(float(row["los"]) + 5), "last_careunit": "MICU"}


def _shifted(time: str, days: int) -> str:
    return str(datetime.fromisoformat(time) + timedelta(days=days))
