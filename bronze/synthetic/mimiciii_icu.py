"""MIMIC-III's ICU events: the bedside chart, outputs, infusions, procedures, dates."""

import numpy as np

from bronze.synthetic.charting import ChartRow, chart_rows, output_rows
from bronze.synthetic.files import timestamp, timestamps
from bronze.synthetic.mimic import MINUTE, Sheet, Stay
from bronze.synthetic.vocabulary import BY_PARAMETER

CAREGIVERS = [str(14001 + 7 * k) for k in range(40)]


def write_stay(sheet: Sheet, system: str, stay: Stay) -> None:
    care = system == "carevue"
    chart = chart_rows(sheet.rng, stay, system)
    at = stay.times(np.array([row.minute for row in chart], dtype=np.int64))
    stored = at + sheet.rng.integers(1, 60, at.size) * MINUTE
    wrong = sheet.rng.random(len(chart)) < 0.001
    unplaced = sheet.rng.random(len(chart)) < 0.0005
    nurses = [CAREGIVERS[k] for k in sheet.rng.integers(0, len(CAREGIVERS), len(chart))]
    sheet.write(
        "CHARTEVENTS",
        icustay_id=["" if lost else sheet.ids["icustay_id"] for lost in unplaced.tolist()],
        itemid=[row.item.itemid for row in chart],
        charttime=timestamps(at),
        storetime=timestamps(stored),
        cgid=nurses,
        value=[row.value for row in chart],
        valuenum=[row.valuenum for row in chart],
        valueuom=[_unit(row) for row in chart],
        warning="" if care else "0",
        error="" if care else [str(int(w)) for w in wrong.tolist()],
        stopped=[_state(row) for row in chart] if care else "",
    )
    urine = output_rows(sheet.rng, stay, system)
    if urine:
        at = stay.times(np.array([minute for minute, _, _ in urine], dtype=np.int64))
        sheet.write(
            "OUTPUTEVENTS",
            charttime=timestamps(at),
            itemid=[item.itemid for _, item, _ in urine],
            value=[value for _, _, value in urine],
            valueuom=[item.unit for _, item, _ in urine],
            storetime=timestamps(at + sheet.rng.integers(1, 60, at.size) * MINUTE),
            cgid=[CAREGIVERS[k] for k in sheet.rng.integers(0, len(CAREGIVERS), len(urine))],
        )
    if care:
        _carevue_inputs(sheet, stay)
    else:
        _metavision_inputs(sheet, stay)
        _procedures(sheet, stay)
    _dates(sheet, system, stay)


def _unit(row: ChartRow) -> str:
    return "" if row.item.unit == "None" or (row.value == "" and row.item.system == "carevue") else row.item.unit


def _state(row: ChartRow) -> str:
    if row.stopped:
        return "D/C'd"
    return "" if row.item == BY_PARAMETER["carevue", "Admit weight"] else "NotStopd"


def _order(rng: np.random.Generator) -> str:
    return str(int(rng.integers(1, 10_000_000)))


def _carevue_inputs(sheet: Sheet, stay: Stay) -> None:
    """Hourly saline while in the ICU's first hours, and norepinephrine (mcg/kg/min) for failing circulation."""
    saline = BY_PARAMETER["carevue", "Saline"]
    hours = np.arange(60, min(int(stay.hours), 24) * 60, 60)
    link = _order(sheet.rng)
    for order, time in enumerate(stay.times(hours)):
        sheet.write(
            "INPUTEVENTS_CV",
            charttime=timestamp(time),
            itemid=saline.itemid,
            amount="100",
            amountuom="ml",
            storetime=timestamp(time + 20 * MINUTE),
            cgid=sheet.pick(CAREGIVERS),
            orderid=_order(sheet.rng),
            linkorderid=link,
            newbottle="1" if order % 10 == 9 else "",
            originalamountuom="ml",
            originalroute="Intravenous Infusion",
            originalrate="100",
            originalrateuom="ml/hr",
        )
    if stay.patient.failures[1] > 0.7:
        for time in stay.times(hours[:8]):
            sheet.write(
                "INPUTEVENTS_CV",
                charttime=timestamp(time),
                itemid=BY_PARAMETER["carevue", "Norepinephrine"].itemid,
                rate=f"{float(np.float32(sheet.rng.uniform(0.02, 0.4))):.12g}",
                rateuom="mcgkgmin",
                storetime=timestamp(time + 20 * MINUTE),
                cgid=sheet.pick(CAREGIVERS),
                orderid=_order(sheet.rng),
                linkorderid=link,
                originalroute="Intravenous Push",
            )


def _metavision_inputs(sheet: Sheet, stay: Stay) -> None:
    pieces = [("Saline", "ml", "mL/hour", "02-Fluids (Crystalloids)", "Continuous IV")]
    if stay.patient.failures[1] > 0.7:
        pieces.append(("Norepinephrine", "mg", "mcg/kg/min", "01-Drips", "Continuous Med"))
    for name, unit, rate_unit, category, description in pieces:
        start = int(sheet.rng.integers(5, 60))
        minutes = min(int(sheet.rng.integers(60, 600)), int(stay.hours * 60) - start - 1)
        begin, end = stay.times(np.array([start, start + minutes]))
        rate = float(sheet.rng.uniform(20, 150)) if unit == "ml" else float(sheet.rng.uniform(0.02, 0.5))
        weight = stay.patient.weight
        amount = rate * minutes / 60 if unit == "ml" else rate * minutes * weight / 1000
        order = _order(sheet.rng)
        sheet.write(
            "INPUTEVENTS_MV",
            starttime=timestamp(begin),
            endtime=timestamp(end),
            itemid=BY_PARAMETER["metavision", name].itemid,
            amount=f"{amount:.9g}",
            amountuom=unit,
            rate=f"{rate:.9g}",
            rateuom=rate_unit,
            storetime=timestamp(end + 3 * MINUTE),
            cgid=sheet.pick(CAREGIVERS),
            orderid=order,
            linkorderid=order,
            ordercategoryname=category,
            secondaryordercategoryname="" if unit == "ml" else "02-Fluids (Crystalloids)",
            ordercomponenttypedescription="Main order parameter",
            ordercategorydescription=description,
            patientweight=f"{round(weight, 1):g}",
            totalamount="1000" if unit == "ml" else "250",
            totalamountuom="ml",
            isopenbag="0",
            continueinnextdept="0",
            cancelreason="0",
            statusdescription="FinishedRunning",
            originalamount=f"{amount:.9g}",
            originalrate=f"{rate:.8g}",
        )


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
        order = _order(sheet.rng)
        sheet.write(
            "PROCEDUREEVENTS_MV",
            starttime=timestamp(first),
            endtime=timestamp(last),
            itemid=BY_PARAMETER["metavision", name].itemid,
            value="1" if once else str(max(int((last - first) / MINUTE), 1)),
            valueuom="None" if once else "min",
            location="Right Radial" if name == "Arterial line" else "",
            locationcategory="Invasive Arterial" if name == "Arterial line" else "",
            storetime=timestamp(last + MINUTE),
            cgid=sheet.pick(CAREGIVERS),
            orderid=order,
            linkorderid=order,
            ordercategoryname=category,
            ordercategorydescription="Electrolytes" if once else "Task",
            isopenbag="0" if once else "1",
            continueinnextdept="0",
            cancelreason="0",
            statusdescription="FinishedRunning",
        )


def _dates(sheet: Sheet, system: str, stay: Stay) -> None:
    care = system == "carevue"
    time = stay.times(np.array([int(stay.hours * 30)]))[0]
    sheet.write(
        "DATETIMEEVENTS",
        itemid=BY_PARAMETER[system, "Dressing" if care else "Insertion"].itemid,
        charttime=timestamp(time),
        storetime=timestamp(time + 9 * MINUTE),
        cgid=sheet.pick(CAREGIVERS),
        value=timestamp(stay.intime.astype("datetime64[D]")),
        valueuom="Date",
        warning="" if care else "0",
        error="" if care else "0",
        stopped="NotStopd" if care else "",
    )
