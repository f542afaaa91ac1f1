"""Record files and outcomes in the format of the PhysioNet/CinC Challenge 2012 (sets a and b), quirks included.

Rows of a record are ordered by minute and then by the long name of the parameter, as in the published files: that
is why descriptors stand among the 00:00 measurements where a chart begins at once, and why K and Na follow Platelets.
Values have four significant digits, so that a large one reads 1.422e+04.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bronze.synthetic.files import TarOfTexts
from bronze.synthetic.physiology import Measurements, Patient, draw_patient, observe

SOURCE = "challenge2012"
FOLDER = "challenge-2012"
OUTCOMES_HEADER = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death"
FIRST_RECORD = 132539
WINDOW_HOURS = 48

# fmt: off
ORDER = [
    "RecordID", "Age", "Albumin", "ALP", "ALT", "AST", "pH", "Bilirubin", "BUN", "Cholesterol", "Creatinine", "DiasABP",
    "FiO2", "GCS", "Gender", "Glucose", "HCO3", "HCT", "Height", "HR", "ICUType", "Lactate", "Mg", "MAP", "MechVent",
    "NIDiasABP", "NIMAP", "NISysABP", "PaCO2", "PaO2", "Platelets", "K", "Na", "RespRate", "SysABP", "SaO2", "Temp",
    "TroponinI", "TroponinT", "Urine", "WBC", "Weight",
]
# fmt: on
_RANK = {name: i for i, name in enumerate(ORDER)}
_CLOCK = [f"{m // 60:02d}:{m % 60:02d}" for m in range(WINDOW_HOURS * 60 + 1)]

#: Rare quirks recur at this step of the record index, each at its own place, so that a small set has them all.
RARE_EVERY = 120
RARE = (
    "no_series",
    "ph_decimal_point_lost",
    "ph_third_digit_lost",
    "temperature_fahrenheit",
    "height_metres",
    "height_inches",
    "blank_parameter",
    "gender_missing",
    "pao2_tenfold",
    "exact_duplicate",
)
#: Share of a parameter's rows that are charted twice in one minute with two values.
_CONFLICTS = {"MAP": 0.013, "Urine": 0.012, "Temp": 0.0024, "HCT": 0.001, "Glucose": 0.001, "BUN": 0.001, "Na": 0.001}
#: Share of a parameter's rows that are an artefact of zero.
_ZEROS = {"HR": 0.00007, "MAP": 0.0002, "NISysABP": 0.0018, "NIDiasABP": 0.001, "RespRate": 0.0009, "Urine": 0.0215}
#: Some charts only: a share of the stays, and of the rows within one.
_LINE_FLUSHED = (0.10, 0.06)  # arterial systolic and diastolic zero in the same minute
_CHARTED_TWICE = (0.32, 3.1)  # the second number multiplies the shares of _CONFLICTS
_TEMPERATURE_OFF = 0.0013  # probe fell off: 0, -17.8 (0 F) or a few degrees


class Record(NamedTuple):
    """One record: its id, its file and its row of the outcomes."""

    record_id: int
    text: str
    outcome: str


def record(seed: int, index: int) -> Record:
    """The record number ``index``: the same for a seed however many are written."""
    rng = np.random.default_rng([seed, 2012, index])
    patient = draw_patient(rng)
    record_id = FIRST_RECORD + 2 * index + int(rng.integers(2))
    turn = index % RARE_EVERY
    quirk = RARE[turn] if turn < len(RARE) else ""
    weight = "-1" if rng.random() < 0.083 else f"{patient.weight:.1f}".removesuffix(".0")
    rows = [(0, p, v) for p, v in _descriptors(rng, patient, record_id, weight, quirk)]
    if quirk != "no_series":
        chart = observe(rng, patient, WINDOW_HOURS)
        if rng.random() > 0.28:  # most charts of the Challenge have no respiratory rate
            chart = [m for m in chart if m.parameter != "RespRate"]
        chart = _disturb(rng, [m for m in chart if m.parameter in _RANK], quirk)
        rows += _rows(rng, chart)
        if weight != "-1":
            seen = next((m.minutes for m in chart if m.parameter == "HR"), np.zeros(0, dtype=np.int64))
            rows += [(m, "Weight", weight) for m in np.unique(seen).tolist() if m and rng.random() < 0.75]
    if quirk == "blank_parameter" and len(rows) > 40:
        minute = rows[40][0]
        rows.append((minute, "", "0"))
    rows.sort(key=lambda row: (row[0], _RANK.get(row[1], -1)))
    lines = [f"{_CLOCK[minute]},{name},{value}" for minute, name, value in rows]
    text = "\n".join(["Time,Parameter,Value", *lines, ""])
    return Record(record_id, text, f"{record_id},{_outcome(rng, patient)}")


def write(out: Path, patients: int, seed: int, on_progress: Callable[[int], None]) -> dict[str, int]:
    """Writes ``patients`` records, the first half as set a and the rest as set b; gives the rows of each file."""
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    half = (patients + 1) // 2
    counts: dict[str, int] = {}
    for letter, indices in (("a", range(half)), ("b", range(half, patients))):
        archive, outcomes, rows = f"set-{letter}", f"Outcomes-{letter}.txt", 0
        with TarOfTexts(folder / f"{archive}.tar.gz", archive) as tar, (folder / outcomes).open("w") as sheet:
            sheet.write(OUTCOMES_HEADER + "\n")
            for index in indices:
                made = record(seed, index)
                tar.add(f"{made.record_id}.txt", made.text)
                sheet.write(made.outcome + "\n")
                rows += made.text.count("\n") - 1
                on_progress(index + 1)
        counts[f"{FOLDER}/{archive}"] = rows
        counts[f"{FOLDER}/{outcomes}"] = len(indices)
    return counts


def _descriptors(
    rng: np.random.Generator, patient: Patient, record_id: int, weight: str, quirk: str
) -> list[tuple[str, str]]:
    inches = round(patient.height / 2.54)
    height = f"{inches * 2.54:.1f}".removesuffix(".0")
    if quirk == "height_metres":
        height = f"{patient.height / 100:.1f}"
    elif quirk == "height_inches":
        height = str(inches)
    elif rng.random() < 0.478:
        height = "-1"
    gender = "-1" if quirk == "gender_missing" else str(int(not patient.female))
    return [
        ("RecordID", str(record_id)),
        ("Age", str(patient.age)),
        ("Gender", gender),
        ("Height", height),
        ("ICUType", str(patient.icu_type)),
        ("Weight", weight),
    ]


def _disturb(rng: np.random.Generator, chart: list[Measurements], quirk: str) -> list[Measurements]:
    """Charting errors, in place: lost decimal points, wrong units, zeros."""
    by_name = {m.parameter: m.values for m in chart}
    for name, share in _ZEROS.items():
        if name in by_name:
            by_name[name][rng.random(by_name[name].size) < share] = 0
    if "SysABP" in by_name:
        share = _LINE_FLUSHED[1] * (rng.random() < _LINE_FLUSHED[0])
        flushed = rng.random(by_name["SysABP"].size) < share
        by_name["SysABP"][flushed] = by_name["DiasABP"][flushed] = 0
    temperature = by_name.get("Temp")
    if temperature is not None:
        off = rng.random(temperature.size) < _TEMPERATURE_OFF
        temperature[off] = rng.choice([0.0, 0.0, -17.8, 2.4, 3.5], temperature.size)[off]
        if quirk == "temperature_fahrenheit":
            temperature[:] = (temperature * 1.8 + 32).round(1)
    ph = by_name.get("pH")
    if ph is not None and quirk.startswith("ph_"):
        ph[0] = round(ph[0] * 100) if quirk == "ph_decimal_point_lost" else round(ph[0] * 10)
    if quirk == "pao2_tenfold" and "PaO2" in by_name:
        by_name["PaO2"][0] *= 10
    if quirk == "exact_duplicate":
        first = chart[0]
        chart.append(Measurements(first.parameter, first.minutes[-1:], first.values[-1:]))
    return chart


def _rows(rng: np.random.Generator, chart: list[Measurements]) -> list[tuple[int, str, str]]:
    """The chart as (minute, parameter, text), some minutes with a second, conflicting value."""
    computed_means = rng.random() < 0.45  # a charting system that divides: 46.33, 112.7
    twice = _CHARTED_TWICE[1] * (rng.random() < _CHARTED_TWICE[0])
    rows: list[tuple[int, str, str]] = []
    for name, minutes, values in chart:
        shown: NDArray[np.float64] = values
        if name == "NIMAP" and not computed_means:
            shown = values.round()
        texts = [f"{v:.4g}" for v in shown.tolist()]
        rows += [(m, name, t) for m, t in zip(minutes.tolist(), texts, strict=True)]
        share = _CONFLICTS.get(name)
        if share:
            again = rng.random(minutes.size) < twice * share
            for m, v in zip(minutes[again].tolist(), values[again].tolist(), strict=True):
                other = 0.4 * v if name == "Urine" else v * (1.03 if rng.random() < 0.5 else 0.97)
                text = f"{other:.1f}".removesuffix(".0") if name in {"Temp", "HCT"} else f"{other:.0f}"
                rows.append((m, name, text))
    return rows


def _outcome(rng: np.random.Generator, patient: Patient) -> str:
    """SAPS-I, SOFA, days in hospital, days survived after ICU admission (-1: no death recorded), death in hospital."""
    severity = patient.severity
    saps = int(np.clip(round(14.5 + 3.6 * severity + 1.5 * (patient.age - 65) / 17 + 3 * rng.standard_normal()), 0, 34))
    sofa = int(np.clip(1.05 + 0.9 * patient.failures + 0.6 * rng.standard_normal(6), 0, 4).round().sum())
    days = 2 + int(np.exp(2.05 + 0.3 * severity + 0.75 * rng.standard_normal()))
    survival = -1
    if patient.died:
        survival = max(1, days - 1 - int(rng.exponential(1.5)))
    elif rng.random() < 0.27:
        survival = days + 1 + int(rng.exponential(530))
    shown = [
        -1 if rng.random() < 0.044 else saps,
        -1 if rng.random() < 0.035 else sofa,
        -1 if not patient.died and rng.random() < 0.016 else days,
        survival,
        int(patient.died),
    ]
    return ",".join(map(str, shown))
