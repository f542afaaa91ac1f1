"""MIMIC-III's hospital tables: codes, laboratory, drugs, billing, cultures, notes."""

import numpy as np

from bronze.synthetic.files import timestamp, timestamps
from bronze.synthetic.mimic import DAY, MINUTE, Admission, LabRow, Sheet
from bronze.synthetic.mimiciii_icu import CAREGIVERS
from bronze.synthetic.mimiciii_people import icustay_id
from bronze.synthetic.physiology import ICU_TYPES
from bronze.synthetic.vocabulary import DRUGS

CRITICAL_CARE = ("99291", "Evaluation and management", "Critical care services")


def write_hospital(sheet: Sheet, admission: Admission) -> None:
    """Everything of an admission but its moves and its ICU events."""
    _codes(sheet, admission)
    _labs(sheet, admission)
    _medication(sheet, admission)
    _billing(sheet, admission)
    _cultures(sheet, admission)
    _notes(sheet, admission)


def _codes(sheet: Sheet, admission: Admission) -> None:
    for order, condition in enumerate(admission.conditions, 1):
        sheet.write("DIAGNOSES_ICD", seq_num=str(order), icd9_code=condition.icd9)
    for order, operation in enumerate(admission.operations, 1):
        sheet.write("PROCEDURES_ICD", seq_num=str(order), icd9_code=operation.icd9)


def _labs(sheet: Sheet, admission: Admission) -> None:
    rows = [(lab_text(row), row) for row in admission.labs]
    if not rows:
        return
    sheet.write(
        "LABEVENTS",
        hadm_id=[sheet.ids["hadm_id"] if row.inside else "" for _, row in rows],
        itemid=[row.lab.itemid for _, row in rows],
        charttime=timestamps(np.array([row.time for _, row in rows])),
        value=[text for text, _ in rows],
        valuenum=["" if text.startswith("<") else f"{float(text):g}" for text, _ in rows],
        valueuom=[row.lab.unit for _, row in rows],
        flag=[abnormal(row) for _, row in rows],
    )


def lab_text(row: LabRow) -> str:
    """The printed result: fixed decimals (``7.40``), and a limit instead of a number below the detectable troponin."""
    least = {"TroponinT": 0.01, "TroponinI": 0.3}.get(row.lab.parameter)
    if least is not None and row.value <= least:
        return f"<{least:g}"
    return f"{row.value:.{row.lab.decimals}f}"


def abnormal(row: LabRow) -> str:
    lab = row.lab
    return "abnormal" if lab.low and not float(lab.low) <= row.value <= float(lab.high) else ""


def _medication(sheet: Sheet, admission: Admission) -> None:
    stay = admission.stays[0]
    start = stay.intime.astype("datetime64[D]").astype("datetime64[s]")
    for drug in DRUGS:
        if sheet.rng.random() < 0.4:
            sheet.write(
                "PRESCRIPTIONS",
                icustay_id=icustay_id(stay) if sheet.rng.random() < 0.7 else "",
                startdate=timestamp(start),
                enddate=timestamp(start + int(sheet.rng.integers(1, 5)) * DAY),
                drug_type="MAIN",
                drug=drug.name,
                drug_name_poe=drug.name,
                drug_name_generic=drug.name,
                formulary_drug_cd=drug.code,
                gsn=drug.gsn,
                ndc=drug.ndc or "0",
                prod_strength=drug.strength,
                dose_val_rx=drug.dose,
                dose_unit_rx=drug.unit,
                form_val_disp=drug.form_value,
                form_unit_disp=drug.form,
                route=drug.route,
            )


def _billing(sheet: Sheet, admission: Admission) -> None:
    code, section, subsection = CRITICAL_CARE
    for day in range(1, 1 + int(min(admission.stays[0].hours // 24, 5))):
        sheet.write(
            "CPTEVENTS",
            costcenter="ICU",
            cpt_cd=code,
            cpt_number=code,
            ticket_id_seq=str(day),
            sectionheader=section,
            subsectionheader=subsection,
        )
    sheet.write("DRGCODES", drg_type="HCFA", drg_code="416", description="SEPTICEMIA AGE >17")
    sheet.write(
        "DRGCODES",
        drg_type="APR ",
        drg_code="7204",
        description="Septicemia & Disseminated Infections",
        drg_severity=str(int(sheet.rng.integers(2, 5))),
        drg_mortality=str(int(sheet.rng.integers(1, 5))),
    )
    stay = admission.stays[-1]
    if admission.death is None:
        asked = stay.outtime - int(sheet.rng.integers(3600, 20000)) * np.timedelta64(1, "s")
        sheet.write(
            "CALLOUT",
            submit_wardid="52",
            curr_wardid="45",
            curr_careunit=ICU_TYPES[admission.patient.icu_type],
            callout_wardid="1",
            callout_service="MED",
            request_tele="1",
            request_resp="0",
            request_cdiff="0",
            request_mrsa="0",
            request_vre="0",
            callout_status="Inactive",
            callout_outcome="Discharged",
            discharge_wardid="45",
            acknowledge_status="Acknowledged",
            createtime=timestamp(asked),
            updatetime=timestamp(asked),
            acknowledgetime=timestamp(asked + 10 * MINUTE),
            outcometime=timestamp(stay.outtime),
        )


def _cultures(sheet: Sheet, admission: Admission) -> None:
    time = admission.admit + int(sheet.rng.integers(10, 90)) * MINUTE
    grows = bool(sheet.rng.random() < 0.3)
    day = time.astype("datetime64[D]")
    found = {"org_itemid": "80002", "org_name": "ESCHERICHIA COLI", "isolate_num": "1", "ab_itemid": "90012"}
    tested = {"ab_name": "GENTAMICIN", "dilution_text": "<=1", "dilution_comparison": "<=", "dilution_value": "1"}
    sheet.write(
        "MICROBIOLOGYEVENTS",
        **({**found, **tested, "interpretation": "S"} if grows else {}),
        chartdate=timestamp(day),
        charttime=timestamp(time) if sheet.rng.random() < 0.95 else "",
        spec_itemid="70012",
        spec_type_desc="BLOOD CULTURE",
    )


def _notes(sheet: Sheet, admission: Admission) -> None:
    """Nursing notes during the stay and a discharge summary after it, over several lines as in the full release."""
    unit = ICU_TYPES[admission.patient.icu_type]
    stay = admission.stays[0]
    for minutes in range(360, int(min(stay.hours, 48) * 60), 720):
        time = stay.times(np.array([minutes]))[0]
        state = "sedated and ventilated" if stay.patient.ventilated else "awake"
        sheet.write(
            "NOTEEVENTS",
            chartdate=str(time.astype("datetime64[D]")),
            charttime=timestamp(time),
            storetime=timestamp(time + 15 * MINUTE),
            category="Nursing/other",
            description="Report",
            cgid=sheet.pick(CAREGIVERS),
            text=f'{unit} NURSING NOTE\n\nPt {state}. Plan: follow labs, "wean as tolerated".\n',
        )
    named = "\n".join(f"{k}. {c.long9}" for k, c in enumerate(admission.conditions, 1))
    outcome = "Expired" if admission.death is not None else "Discharged in stable condition"
    day = str((admission.discharge + 0 * DAY).astype("datetime64[D]"))
    sheet.write(
        "NOTEEVENTS",
        chartdate=day,
        category="Discharge summary",
        description="Report",
        text=f"Service: {unit}\n\nDischarge Diagnosis:\n{named}\n\nDischarge Condition: {outcome}\n",
    )
