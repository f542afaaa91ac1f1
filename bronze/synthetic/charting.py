"""Bedside charting of a stay as MIMIC item rows: units, texts and slips differ between the charting systems."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bronze.synthetic.mimic import Stay
from bronze.synthetic.vocabulary import (
    BY_PARAMETER,
    EYE,
    EYE_METAVISION,
    GCS_PARTS,
    MOTOR,
    MOTOR_METAVISION,
    VERBAL,
    VERBAL_METAVISION,
    Item,
)

_GASES = ("pH", "PaO2", "PaCO2", "SaO2")  # charted beside the laboratory's own rows, known to be arterial here
_KG_PER_LB, _CM_PER_INCH = 0.45359237, 2.54
_PLAIN = ("HR", "SysABP", "DiasABP", "MAP", "NISysABP", "NIDiasABP", "NIMAP", "RespRate", "SpO2")
_MODES = {"carevue": (("Assist Control", ""), ("CPAP+PS", ""), ("SIMV+PS", ""))}
_MODES["metavision"] = (("CMV/ASSIST/AutoFlow", "49"), ("CPAP/PSV", "11"), ("CMV/ASSIST", "2"))


class ChartRow(NamedTuple):
    """One charted value: minutes since ICU admission, item, text, number as text, whether it is stopped."""

    minute: int
    item: Item
    value: str
    valuenum: str
    stopped: bool = False


def chart_rows(rng: np.random.Generator, stay: Stay, system: str) -> list[ChartRow]:
    """CHARTEVENTS rows of a stay in ``system`` (carevue or metavision), by minute."""
    care = system == "carevue"
    rows = _body(rng, stay, system)
    fahrenheit = rng.random() < (0.62 if care else 0.96)
    for name, minutes, values in stay.chart:
        at = minutes.tolist()
        if name in _PLAIN:
            rows += _monitored(rng, BY_PARAMETER[system, name], minutes, values)
        elif name in _GASES:
            item = BY_PARAMETER[system, name]
            rows += [ChartRow(m, item, t, t) for m, t in zip(at, [f"{v:g}" for v in values.tolist()], strict=True)]
        elif name == "Temp":
            other = rng.random(values.size) < 0.02
            for m, v, swap in zip(at, values.tolist(), other.tolist(), strict=True):
                in_f = fahrenheit != swap
                rows.append(_number(m, system, "Temp F" if in_f else "Temp C", round(v * 1.8 + 32, 1) if in_f else v))
        elif name == "GCS":
            tube = stay.patient.ventilated or (0.0, 0.0)
            for m, v in zip(at, values.tolist(), strict=True):
                rows += _coma(m, system, int(v), tube[0] * 60 <= m < tube[1] * 60)
        elif name == "FiO2":
            for m, v in zip(at, values.tolist(), strict=True):
                fraction = care or rng.random() < 0.02  # MetaVision asks for percent; some still write a fraction
                rows.append(_number(m, system, "FiO2", v if fraction else round(100 * v)))
        elif name == "MechVent":
            item = BY_PARAMETER[system, name]
            modes = _MODES[system]
            rows += [
                ChartRow(m, item, *modes[k]) for m, k in zip(at, rng.integers(0, 3, len(at)).tolist(), strict=True)
            ]
    rows.sort(key=lambda row: row.minute)
    return rows


def _monitored(
    rng: np.random.Generator, item: Item, minutes: NDArray[np.int64], values: NDArray[np.float64]
) -> list[ChartRow]:
    """A vital sign in whole numbers, with zeros of a loose line or cuff; CareVue marks its end by a blank row."""
    kept = values.round()
    kept[rng.random(kept.size) < 0.001] = 0
    texts = [f"{v:g}" for v in kept.tolist()]
    rows = [ChartRow(m, item, t, t) for m, t in zip(minutes.tolist(), texts, strict=True)]
    if item.parameter == "HR":
        again = rng.random(kept.size) < 0.003  # charted twice, now and then with another number
        for m, v in zip(minutes[again].tolist(), kept[again].tolist(), strict=True):
            text = f"{v + int(rng.integers(0, 3)):g}"
            rows.append(ChartRow(m, item, text, text))
    if item.system == "carevue" and rows:
        rows.append(ChartRow(int(minutes[-1]), item, "", "", stopped=True))
    return rows


def output_rows(rng: np.random.Generator, stay: Stay, system: str) -> list[tuple[int, Item, str]]:
    """Urine of a stay as (minute, item, mL); a measured zero stays, a blank is rare."""
    item = BY_PARAMETER[system, "Urine" if rng.random() < 0.9 else "Void"]
    rows = []
    for name, minutes, values in stay.chart:
        if name == "Urine":
            rounded = (values / 5).round() * 5
            rounded[rng.random(rounded.size) < 0.02] = 0
            rows += [(m, item, f"{v:g}") for m, v in zip(minutes.tolist(), rounded.tolist(), strict=True)]
    return rows


def _body(rng: np.random.Generator, stay: Stay, system: str) -> list[ChartRow]:
    """Height and weight on admission, and the daily weight."""
    patient = stay.patient
    rows = []
    weight = round(patient.weight, 1)
    if system == "carevue":
        if rng.random() < 0.8:
            rows.append(_number(0, system, "Admit weight", weight))
        else:
            rows.append(ChartRow(0, BY_PARAMETER[system, "Admit weight"], "", ""))
        if rng.random() < 0.5:
            rows.append(_number(0, system, "Height", round(patient.height / _CM_PER_INCH)))
    else:
        if rng.random() < 0.6:
            rows.append(_number(0, system, "Admit weight", weight))
        rows.append(_number(0, system, "Admit weight lb", round(weight / _KG_PER_LB, 1)))
        if rng.random() < 0.5:
            inches = round(patient.height / _CM_PER_INCH)
            rows.append(_number(0, system, "Height in", inches))
            rows.append(_number(0, system, "Height", round(inches * _CM_PER_INCH)))
    for day in range(1, int(stay.hours // 24) + 1):
        if rng.random() < 0.5:
            rows.append(_number(day * 1440 - 120, system, "Daily weight", round(weight + 0.8 * rng.normal(), 1)))
    return rows


def _number(minute: int, system: str, parameter: str, value: float) -> ChartRow:
    item = BY_PARAMETER[system, parameter]
    if system == "carevue" and value != round(value):
        # CareVue's export prints single precision: .40000000596046448 beside 0.400000005960464
        single = float(np.float32(value))
        return ChartRow(minute, item, f"{single:.17g}".removeprefix("0"), f"{single:.15g}")
    return ChartRow(minute, item, f"{value:g}", f"{value:g}")


def _coma(minute: int, system: str, total: int, tube: bool) -> list[ChartRow]:
    """The Glasgow coma scale by its parts; a tube makes the verbal part 1 under a text of its own."""
    eye, verbal, motor = GCS_PARTS[total]
    if tube:
        verbal = 1
    if system == "carevue":
        texts = (f"{eye} {EYE[eye - 1]}", f"{verbal} {VERBAL[verbal - 1]}", f"{motor} {MOTOR[motor - 1]}")
        spoken = "1.0 ET/Trach" if tube else texts[1]
        summed = ChartRow(minute, BY_PARAMETER[system, "GCS"], str(eye + verbal + motor), str(eye + verbal + motor))
    else:
        texts = (EYE_METAVISION[eye - 1], VERBAL_METAVISION[verbal - 1], MOTOR_METAVISION[motor - 1])
        spoken = "No Response-ETT" if tube else texts[1]
        summed = None
    parts = [
        ChartRow(minute, BY_PARAMETER[system, "Eye"], texts[0], str(eye)),
        ChartRow(minute, BY_PARAMETER[system, "Verbal"], spoken, str(verbal)),
        ChartRow(minute, BY_PARAMETER[system, "Motor"], texts[2], str(motor)),
    ]
    return [summed, *parts] if summed else parts
