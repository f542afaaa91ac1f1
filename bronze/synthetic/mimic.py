"""Made-up hospital histories shared by the MIMIC-III and the MIMIC-IV writer: people, admissions, ICU stays, labs.

Times are shifted into 2100 to 2200 as in the published data. A person has one or several admissions, so that there
are earlier ones to look back on; only the last can end in death in hospital.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bronze.synthetic.files import Column, CsvTables
from bronze.synthetic.physiology import ORGANS, Measurements, Patient, draw_patient, observe
from bronze.synthetic.vocabulary import ACUTE, CHRONIC, LAB_BY_PARAMETER, OPERATIONS, Condition, Lab, Operation

MINUTE = np.timedelta64(60, "s")
DAY = np.timedelta64(86400, "s")
OLDEST = 89  # years; older ages are masked


@dataclass(frozen=True)
class Sheet:
    """The tables to write to, the identifiers that the rows at hand share, the random stream of the person."""

    tables: CsvTables
    rng: np.random.Generator
    ids: dict[str, str]

    def at(self, **ids: str) -> "Sheet":
        """The same sheet one level down: of an admission, of a stay."""
        return replace(self, ids=self.ids | ids)

    def write(self, table: str, **columns: Column) -> None:
        """Appends rows with the identifiers that the table has; ``columns`` win over them."""
        known = self.tables.columns[table]
        self.tables.write(table, **({k: v for k, v in self.ids.items() if k in known} | columns))

    def pick(self, choices: Sequence[str], shares: Sequence[float] | None = None) -> str:
        return str(self.rng.choice(choices, p=shares))


@dataclass(frozen=True)
class Stay:
    """One ICU stay; ``number`` is unique over all people."""

    number: int
    patient: Patient
    intime: np.datetime64
    outtime: np.datetime64
    chart: list[Measurements]

    @property
    def hours(self) -> float:
        return float((self.outtime - self.intime) / np.timedelta64(3600, "s"))

    def times(self, minutes: NDArray[np.int64]) -> NDArray[np.datetime64]:
        """Bedside charting is to the minute: ICU admission, seconds dropped, plus ``minutes``, before the stay ends."""
        start = self.intime.astype("datetime64[m]").astype("datetime64[s]") + MINUTE
        return np.minimum(start + minutes * MINUTE, self.outtime.astype("datetime64[m]").astype("datetime64[s]"))


@dataclass(frozen=True)
class LabRow:
    """One laboratory result; ``value`` in the Challenge's unit, which is the laboratory's."""

    lab: Lab
    time: np.datetime64
    value: float
    inside: bool  # drawn during the admission; else as an outpatient before it


@dataclass(frozen=True)
class Admission:
    number: int
    patient: Patient  # of its first ICU stay
    admit: np.datetime64
    discharge: np.datetime64
    death: np.datetime64 | None
    emergency: bool
    emergency_room: tuple[np.datetime64, np.datetime64] | None
    stays: list[Stay]
    conditions: list[Condition]
    operations: list[Operation]
    labs: list[LabRow]


@dataclass(frozen=True)
class Person:
    index: int
    female: bool
    birth: np.datetime64
    death: np.datetime64 | None
    admissions: list[Admission]

    def age(self, at: np.datetime64) -> int:
        """Whole years at a time, not masked."""
        return int((at - self.birth) / (365.25 * DAY))


def draw_person(rng: np.random.Generator, index: int, ward_only: float) -> Person:
    """Person ``index``; a share ``ward_only`` of the admissions before the last has no ICU stay."""
    last = draw_patient(rng)
    many = int(min(rng.geometric(0.62), 5))
    begin = np.datetime64("2105-01-01T00:00:00") + int(rng.integers(0, 90 * 365 * 1440)) * MINUTE
    birth = (
        (begin - (last.age + rng.uniform(0.01, 0.98)) * 365.25 * DAY).astype("datetime64[D]").astype("datetime64[s]")
    )
    chronic = [c for c in CHRONIC if rng.random() < 0.12 + 0.35 * (last.age > 60)]
    admissions: list[Admission] = []
    for order in range(many):
        final = order == many - 1
        patient = last
        if not final:
            other = draw_patient(rng)
            patient = replace(last, failures=other.failures - 0.3, course=other.course, ventilated=other.ventilated)
        patient = replace(patient, died=last.died and final)
        icu = final or rng.random() > ward_only
        admission = _admission(rng, index * 8 + order, patient, begin, icu=icu, chronic=chronic)
        admissions.append(admission)
        begin = admission.discharge + int(rng.integers(20 * 1440, 600 * 1440)) * MINUTE
    end = admissions[-1]
    death = end.death
    if death is None and rng.random() < 0.25:
        death = end.discharge + int(rng.integers(1, 700)) * DAY
    return Person(index, last.female, birth, death, admissions)


def _admission(
    rng: np.random.Generator,
    number: int,
    patient: Patient,
    admit: np.datetime64,
    *,
    icu: bool,
    chronic: list[Condition],
) -> Admission:
    emergency = patient.icu_type != 2 and bool(rng.random() < 0.85)
    room = None
    if emergency and rng.random() < 0.85:
        room = (admit - int(rng.integers(90, 480)) * MINUTE, admit + int(rng.integers(10, 90)) * MINUTE)
    clock = admit + int(rng.integers(90 * 60, 8 * 3600)) * np.timedelta64(1, "s")
    many = (2 if rng.random() < 0.12 else 1) if icu else 0
    stays = []
    for order in range(many):
        hours = float(np.clip(np.exp(4.05 + 0.12 * patient.severity + 0.65 * rng.standard_normal()), 8, 400))
        out = clock + int(hours * 3600) * np.timedelta64(1, "s")
        stays.append(Stay(number * 2 + order, patient, clock, out, observe(rng, patient, hours)))
        clock = out + (int(rng.integers(1440, 4 * 1440)) * MINUTE if order < many - 1 else 0 * MINUTE)
    discharge = (
        (clock + (600 + int(rng.exponential(4 * 1440))) * MINUTE).astype("datetime64[m]").astype("datetime64[s]")
    )
    if patient.died:
        in_icu = rng.random() < 0.75
        discharge = stays[-1].outtime.astype("datetime64[m]").astype("datetime64[s]") if in_icu else discharge
    acute = [c for c in ACUTE if patient.failures[ORGANS.index(c.organ)] > 0.8 and rng.random() < 0.7]
    operations = [o for o in OPERATIONS if rng.random() < 0.15 + 0.6 * (o.icd9 == "9671" and bool(patient.ventilated))]
    labs = _outpatient_labs(rng, patient, admit) + [row for stay in stays for row in _stay_labs(stay)]
    return Admission(
        number,
        patient,
        admit,
        discharge,
        discharge if patient.died else None,
        emergency,
        room,
        stays,
        [*acute, *chronic] or [CHRONIC[0]],
        operations,
        sorted(labs, key=lambda row: (row.time, row.lab.itemid)),
    )


def _stay_labs(stay: Stay) -> list[LabRow]:
    rows = []
    for name, minutes, values in stay.chart:
        lab = LAB_BY_PARAMETER.get(name)
        if lab:
            rows += [LabRow(lab, t, v, True) for t, v in zip(stay.times(minutes), values.tolist(), strict=True)]
            if name == "Na":
                chloride = LAB_BY_PARAMETER["Chloride"]
                rows += [
                    LabRow(chloride, t, v - 35, True) for t, v in zip(stay.times(minutes), values.tolist(), strict=True)
                ]
    return rows


def _outpatient_labs(rng: np.random.Generator, patient: Patient, admit: np.datetime64) -> list[LabRow]:
    """A clinic visit some weeks before, drawn in better health; such rows carry no admission."""
    if rng.random() < 0.5:
        return []
    time = admit - int(rng.integers(5 * 1440, 15 * 1440)) * MINUTE
    well = replace(patient, failures=patient.failures - 1.0, course=0.0, ventilated=None)
    first = {m.parameter: float(m.values[0]) for m in observe(rng, well, 8.0)}
    return [LabRow(LAB_BY_PARAMETER[p], time, v, False) for p, v in first.items() if p in LAB_BY_PARAMETER]
