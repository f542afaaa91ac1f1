"""Made-up patients: a latent illness, its course over time, and what a bedside chart shows of it.

No real record is used. Population means, spreads and sampling rates follow the published summaries of the
PhysioNet/CinC Challenge 2012 (Silva et al. 2012); the organ systems are those of the SOFA score (Vincent et al. 1996).
A death in hospital is drawn from a logistic model of age, six organ failures and the course; the chart shows those
only through noise, so that a good model ranks well and none ranks perfectly.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ORGANS = ("respiratory", "cardiovascular", "renal", "hepatic", "coagulation", "neurologic")

# One row a parameter: whether the rest is on the log scale, the mean, its spread between patients and within one, the
# hourly autocorrelation, the daily swing, the effect of 17 years of age and of one standard deviation of each organ
# failure, then the range (not on the log scale) and the decimals of a reading.
with (Path(__file__).parent / "reference" / "course.csv").open(encoding="utf-8", newline="") as _file:
    _rows = list(csv.reader(_file))[1:]
COURSE = tuple(row[0] for row in _rows)
_POSITION = {name: i for i, name in enumerate(COURSE)}
_numbers = np.array([[float(x) for x in row[1:]] for row in _rows])
_LOG, _MEAN, _BETWEEN, _WITHIN, _PHI, _CIRCADIAN, _AGE = (_numbers[:, i] for i in range(7))
_LOADINGS = _numbers[:, 7:13].T  # (organ, parameter)
_LOW, _HIGH, _DECIMALS = _numbers[:, 13], _numbers[:, 14], _numbers[:, 15].astype(int)

#: Effect on the log-odds of death in hospital of one standard deviation of each organ failure (order of ORGANS).
_DEATH_BY_ORGAN = np.array([0.46, 0.58, 0.41, 0.23, 0.26, 0.65])
_DEATH_BY_AGE, _DEATH_BY_COURSE, _DEATH_INTERCEPT = 0.50, 0.82, -2.86
_COURSE_PER_48H = 1.1  # organ failure gained in 48 h by a patient whose course is one standard deviation bad

ICU_TYPES = {1: "CCU", 2: "CSRU", 3: "MICU", 4: "SICU"}
_ICU_SHARE = (0.146, 0.207, 0.365, 0.282)
_ICU_SEVERITY = {1: 0.0, 2: -0.7, 3: 0.3, 4: 0.0}

CHEMISTRY = ("BUN", "Creatinine", "Glucose", "HCO3", "HCT", "Mg", "Platelets", "K", "Na", "WBC")
LIVER = ("ALP", "ALT", "AST", "Bilirubin")
GAS = ("pH", "PaCO2", "PaO2")


@dataclass(frozen=True)
class Patient:
    """One stay's latent state. ``failures`` is in standard deviations, order of ``ORGANS``; 0 is the average stay."""

    age: int  # years
    female: bool
    height: float  # cm
    weight: float  # kg
    icu_type: int  # key of ICU_TYPES
    failures: NDArray[np.float64]  # (6,)
    course: float  # standard deviations: above 0 gets worse
    ventilated: tuple[float, float] | None  # hours from ICU admission
    died: bool

    @property
    def severity(self) -> float:
        return float(self.failures.mean())


class Measurements(NamedTuple):
    """One parameter's chart: minutes since ICU admission, ascending, and values in the Challenge's unit."""

    parameter: str
    minutes: NDArray[np.int64]
    values: NDArray[np.float64]


def draw_patient(rng: np.random.Generator) -> Patient:
    """A new adult ICU patient; about 14 in 100 die in hospital."""
    icu_type = int(rng.choice(4, p=_ICU_SHARE)) + 1
    age = int(min(15 + 80 * rng.beta(2.4, 1.5), 90))
    female = bool(rng.random() < 0.44)
    height = rng.normal(162, 7) if female else rng.normal(176, 8)
    weight = float(np.clip(27.5 * (height / 100) ** 2 * np.exp(0.22 * rng.standard_normal()), 35, 260))
    common = rng.standard_normal() + _ICU_SEVERITY[icu_type]
    failures = 0.65 * common + 0.76 * rng.standard_normal(6)
    patient = Patient(age, female, float(height), weight, icu_type, failures, float(rng.standard_normal()), None, False)
    wants_air = 0.7 + 0.9 * failures[0] + 0.3 * failures[5] + (0.8 if icu_type == 2 else 0)
    if rng.random() < _logistic(wants_air):
        begins = float(rng.exponential(1.5))
        patient = replace(patient, ventilated=(begins, begins + 4 + float(rng.exponential(30 + 15 * max(common, 0)))))
    return replace(patient, died=bool(rng.random() < death_risk(patient)))


def death_risk(patient: Patient) -> float:
    """Probability of death in hospital under the generating model."""
    age = (patient.age - 65) / 17
    return _logistic(
        _DEATH_INTERCEPT
        + _DEATH_BY_AGE * age
        + float(patient.failures @ _DEATH_BY_ORGAN)
        + _DEATH_BY_COURSE * patient.course
    )


def observe(rng: np.random.Generator, patient: Patient, hours: float) -> list[Measurements]:
    """The chart of the first ``hours`` of a stay: vitals about hourly, labs several times a day, more for the sick."""
    level = _simulate(rng, patient, hours)
    severity, end = patient.severity, int(hours * 60)

    def chance(share: float, per_severity: float = 0.0) -> bool:
        """Whether this stay has the panel at all: ``share`` of average patients, by log-odds ``per_severity``."""
        return bool(rng.random() < _logistic(np.log(share / (1 - share)) + per_severity * severity))

    vitals = _vital_minutes(rng, severity, end)
    chart: list[Measurements] = []

    def add(names: tuple[str, ...], minutes: NDArray[np.int64]) -> None:
        if minutes.size:
            chart.extend(_measure(rng, level, names, minutes))

    arterial = chance(0.70, 0.7)
    add(("HR",), _some(rng, vitals, 0.97))
    add(("RespRate", "SpO2"), _some(rng, vitals, 0.93))
    if arterial:
        chart.extend(_pressures(rng, level, _some(rng, vitals, 0.93), ("SysABP", "DiasABP", "MAP"), 0.0))
    if not arterial or rng.random() < 0.82:
        some = _some(rng, vitals, 0.42 if arterial else 0.95)
        chart.extend(_pressures(rng, level, some, ("NISysABP", "NIDiasABP", "NIMAP"), 6.0))
    add(("Temp",), _some(rng, vitals, 0.33))
    add(("GCS",), _some(rng, vitals, 0.26))
    add(("Urine",), _some(rng, vitals, 0.66))
    air = patient.ventilated
    if air is not None:
        on = vitals[(vitals >= air[0] * 60) & (vitals < air[1] * 60)]
        some = _some(rng, on, 0.4)
        if some.size:
            oxygen = _measure(rng, level, ("FiO2",), some)[0].values
            chart.append(Measurements("FiO2", some, np.maximum((oxygen * 20).round() / 20, 0.21)))
            chart.append(Measurements("MechVent", some, np.ones(some.size)))
    chemistry = _lab_minutes(rng, 1.6 + 0.5 * max(severity, -0.5), end)
    add(CHEMISTRY, chemistry)
    if chance(0.43, 0.5):
        add(LIVER, chemistry[:: 1 + int(rng.integers(1, 4))])
        if rng.random() < 0.85:
            add(("Albumin",), chemistry[:1])
    if chance(0.08):
        add(("Cholesterol",), chemistry[:1])
    if chance(0.225, 0.4):
        add(("TroponinT",), chemistry[:3])
    if chance(0.05, 0.3):
        add(("TroponinI",), chemistry[:2])
    if arterial or air is not None:
        gases = _lab_minutes(rng, 3.0 + 1.5 * max(severity, -0.5), end)
        add(GAS, gases)
        if chance(0.6, 0.8):
            add(("Lactate",), _some(rng, gases, 0.5))
        if chance(0.5):
            add(("SaO2",), _some(rng, gases, 0.5))
    return chart


def _simulate(rng: np.random.Generator, patient: Patient, hours: float) -> NDArray[np.float64]:
    """True hourly levels, (hours + 2, parameter): means moved by the organs and the age, daily rhythm, AR(1) noise."""
    steps = int(hours) + 2
    hour = np.arange(steps)
    worse = patient.course * _COURSE_PER_48H * np.minimum(hour / 48, 1.5)
    organs = patient.failures + worse[:, None]
    noise = rng.standard_normal((steps, len(COURSE)))
    innovation = np.sqrt(1 - _PHI**2)
    for i in range(1, steps):
        noise[i] = _PHI * noise[i - 1] + innovation * noise[i]
    own = _MEAN + _BETWEEN * rng.standard_normal(len(COURSE)) + _AGE * (patient.age - 65) / 17
    clock = np.cos(2 * np.pi * (hour + rng.uniform(0, 24)) / 24)
    level = own + organs @ _LOADINGS + _WITHIN * noise + _CIRCADIAN * clock[:, None]
    if patient.ventilated is not None:  # sedation hides the neurologic state while the tube is in
        tube = (hour >= patient.ventilated[0]) & (hour < patient.ventilated[1])
        level[tube, _POSITION["GCS"]] -= 4.5
    return level


def _measure(
    rng: np.random.Generator, level: NDArray[np.float64], names: tuple[str, ...], minutes: NDArray[np.int64]
) -> list[Measurements]:
    """Reads the levels at ``minutes``: between the hours by a straight line, with noise, in range, rounded."""
    at = [_POSITION[name] for name in names]
    hour, part = minutes // 60, (minutes % 60 / 60)[:, None]
    value = level[hour][:, at] * (1 - part) + level[hour + 1][:, at] * part
    value = value + 0.3 * _WITHIN[at] * rng.standard_normal(value.shape)
    value = np.where(_LOG[at] > 0, np.exp(np.minimum(value, 12)), value)
    value = np.clip(value, _LOW[at], _HIGH[at])
    return [Measurements(n, minutes, value[:, i].round(_DECIMALS[at[i]])) for i, n in enumerate(names)]


def _pressures(
    rng: np.random.Generator,
    level: NDArray[np.float64],
    minutes: NDArray[np.int64],
    names: tuple[str, str, str],
    spread: float,
) -> list[Measurements]:
    """Systolic, diastolic and mean pressure (``names``) in mmHg of one method whose error is ``spread`` mmHg."""
    if not minutes.size:
        return []
    high, low = _measure(rng, level, ("SysABP", "DiasABP"), minutes)
    top = (high.values + spread * rng.standard_normal(minutes.size)).round()
    bottom = np.minimum((low.values + 0.6 * spread * rng.standard_normal(minutes.size)).round(), top - 5)
    middle = (top + 2 * bottom) / 3 + (0 if spread else 1.5 * rng.standard_normal(minutes.size))
    return [
        Measurements(names[0], minutes, top),
        Measurements(names[1], minutes, bottom),
        Measurements(names[2], minutes, middle if spread else middle.round()),
    ]


def _vital_minutes(rng: np.random.Generator, severity: float, end: int) -> NDArray[np.int64]:
    """Hourly from the first bedside check on, every quarter of an hour at first for many of the sick."""
    first = 0 if rng.random() < 0.024 else 1 + int(min(rng.exponential(45), 600))
    minutes = np.arange(first, end + 1, 60)
    if rng.random() < _logistic(0.2 + 0.5 * severity):
        minutes = np.union1d(minutes, np.arange(first, min(first + 60 * int(rng.integers(1, 5)), end), 15))
    return _some(rng, minutes, 0.96)


def _lab_minutes(rng: np.random.Generator, per_day: float, end: int) -> NDArray[np.int64]:
    """Irregular draws, at least one, ``per_day`` on average."""
    many = 1 + int(rng.poisson(per_day * end / 1440))
    return np.unique(rng.integers(min(20, end), end + 1, many))


def _some(rng: np.random.Generator, minutes: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    return minutes[rng.random(minutes.size) < share]


def _logistic(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))
