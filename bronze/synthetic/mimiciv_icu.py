"""MIMIC-IV's ICU events: the bedside chart, outputs, infusions and their water, procedures, dates."""

import numpy as np

from bronze.synthetic.charting import chart_rows, output_rows
from bronze.synthetic.files import timestamp, timestamps
from bronze.synthetic.mimic import MINUTE, Sheet, Stay
from bronze.synthetic.vocabulary import BY_PARAMETER, WATER

CAREGIVERS = [str(1016 + 211 * k) for k in range(40)]
_UNITS = {"?F": "°F", "?C": "°C", "None": ""}


def write_stay(sheet: Sheet, stay: Stay) -> None:
    chart = chart_rows(sheet.rng, stay, "metavision")
    at = stay.times(np.array([row.minute for row in chart], dtype=np.int64))
    sheet.write(
        "icu/chartevents",
        caregiver_id=[CAREGIVERS[k] for k in sheet.rng.integers(0, len(CAREGIVERS), len(chart))],
        charttime=timestamps(at),
        storetime=timestamps(at + sheet.rng.integers(1, 60, at.size) * MINUTE),
        itemid=[row.item.itemid for row in chart],
        value=[row.value for row in chart],
        valuenum=[row.valuenum for row in chart],
        valueuom=[_UNITS.get(row.item.unit, row.item.unit) for row in chart],
        warning=[str(int(w)) for w in (sheet.rng.random(len(chart)) < 0.02).tolist()],
    )
    urine = output_rows(sheet.rng, stay, "metavision")
    if urine:
        at = stay.times(np.array([minute for minute, _, _ in urine], dtype=np.int64))
        sheet.write(
            "icu/outputevents",
            caregiver_id=[CAREGIVERS[k] for k in sheet.rng.integers(0, len(CAREGIVERS), len(urine))],
            charttime=timestamps(at),
            storetime=timestamps(at + sheet.rng.integers(1, 60, at.size) * MINUTE),
            itemid=[item.itemid for _, item, _ in urine],
            value=[value for _, _, value in urine],
            valueuom="ml",
        )
    _infusions(sheet, stay)
    _procedures(sheet, stay)
    _dates(sheet, stay)


def _infusions(sheet: Sheet, stay: Stay) -> None:
    pieces = [("Saline", "ml", "mL/hour", "02-Fluids (Crystalloids)", "Continuous IV")]
    if stay.patient.failures[1] > 0.7:
        pieces.append(("Norepinephrine", "mg", "mcg/kg/min", "01-Drips", "Continuous Med"))
    for name, unit, rate_unit, category, description in pieces:
        fluid = unit == "ml"
        start = int(sheet.rng.integers(5, 60))
        minutes = min(int(sheet.rng.integers(60, 600)), int(stay.hours * 60) - start - 1)
        begin, end = stay.times(np.array([start, start + minutes]))
        rate = float(sheet.rng.uniform(20, 150)) if fluid else float(sheet.rng.uniform(0.02, 0.5))
        weight = stay.patient.weight
        amount = rate * minutes / 60 if fluid else rate * minutes * weight / 1000
        order = str(int(sheet.rng.integers(1, 10_000_000)))
        given = {
            "caregiver_id": sheet.pick(CAREGIVERS),
            "starttime": timestamp(begin),
            "endtime": timestamp(end),
            "storetime": timestamp(end + MINUTE),
            "amount": f"{amount:.17g}",
            "amountuom": unit,
            "rate": f"{rate:.17g}",
            "rateuom": rate_unit,
            "orderid": order,
            "linkorderid": order,
            "statusdescription": "FinishedRunning",
            "originalrate": f"{float(np.float32(rate)):.17g}",
        }
        sheet.write(
            "icu/inputevents",
            **given,
            itemid=BY_PARAMETER["metavision", name].itemid,
            ordercategoryname=category,
            secondaryordercategoryname="" if fluid else "02-Fluids (Crystalloids)",
            ordercomponenttypedescription="Main order parameter",
            ordercategorydescription=description,
            patientweight=f"{round(weight, 1):g}",
            totalamount="1000" if fluid else "250",
            totalamountuom="ml",
            isopenbag="0",
            continueinnextdept="0",
            originalamount=f"{float(np.float32(amount)):.17g}",
        )
        if fluid:
            sheet.write("icu/ingredientevents", **given, itemid=WATER[0], originalamount="0")


def _procedures(sheet: Sheet, stay: Stay) -> None:
    spans: list[tuple[str, float, float, str]] = []  # item, hours from, hours to, category
    if stay.patient.ventilated and stay.patient.ventilated[0] < stay.hours - 1:
        begin, end = stay.patient.ventilated[0], min(stay.patient.ventilated[1], stay.hours)
        spans.append(("Ventilation", begin, end, "Ventilation"))
        if end < stay.hours - 0.1:
            spans.append(("Extubation", end, end + 1 / 60, "Intubation/Extubation"))
    if any(m.parameter == "SysABP" for m in stay.chart):
        spans.append(("Arterial line", 0.5, stay.hours, "Invasive Lines"))
    for name, begin, end, category in spans:
        first, last = stay.times(np.array([int(begin * 60), int(end * 60)]))
        once = name == "Extubation"
        value = "1" if once else str(max(int((last - first) / MINUTE), 1))
        order = str(int(sheet.rng.integers(1, 10_000_000)))
        sheet.write(
            "icu/procedureevents",
            caregiver_id=sheet.pick(CAREGIVERS) if sheet.rng.random() < 0.84 else "",
            starttime=timestamp(first),
            endtime=timestamp(last),
            storetime=timestamp(last + MINUTE) + ("" if sheet.rng.random() < 0.84 else ".517"),
            itemid=BY_PARAMETER["metavision", name].itemid,
            value=value,
            valueuom="None" if once else "min",
            location="Right Radial" if name == "Arterial line" else "",
            locationcategory="Invasive Arterial" if name == "Arterial line" else "",
            orderid=order,
            linkorderid=order,
            ordercategoryname=category,
            ordercategorydescription="Task" if once else "ContinuousProcess",
            patientweight=f"{round(stay.patient.weight, 1):g}",
            isopenbag="0" if once else "1",
            continueinnextdept="0",
            statusdescription="FinishedRunning",
            ORIGINALAMOUNT=value,
            ORIGINALRATE="0" if once else "1",
        )


def _dates(sheet: Sheet, stay: Stay) -> None:
    time = stay.times(np.array([int(stay.hours * 30)]))[0]
    sheet.write(
        "icu/datetimeevents",
        caregiver_id=sheet.pick(CAREGIVERS),
        charttime=timestamp(time),
        storetime=timestamp(time + 9 * MINUTE),
        itemid=BY_PARAMETER["metavision", "Insertion"].itemid,
        value=timestamp(stay.intime.astype("datetime64[D]")),
        valueuom="Date",
        warning="0",
    )
