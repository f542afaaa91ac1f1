"""MIMIC-IV's hospital tables: codes, laboratory, each drug from order to bedside scan, cultures, clinic values."""

import numpy as np
from numpy.typing import NDArray

from bronze.synthetic.files import timestamp, timestamps
from bronze.synthetic.mimic import DAY, MINUTE, Admission, LabRow, Sheet
from bronze.synthetic.mimiciii_hosp import abnormal, lab_text
from bronze.synthetic.mimiciv_words import PROVIDERS
from bronze.synthetic.vocabulary import DRUGS, Drug


def write_hospital(sheet: Sheet, admission: Admission, order: int, icd_version: str) -> None:
    """All of ``hosp`` but the moves, for the person's admission number ``order``."""
    _codes(sheet, admission, icd_version)
    _labs(sheet, admission)
    sequence = 1 + 100 * order
    _admit_order(sheet, admission, sequence)
    for drug in DRUGS:
        if sheet.rng.random() < 0.45:
            sequence += 1
            _drug(sheet, admission, drug, sequence)
    _culture(sheet, admission)
    _clinic(sheet, admission)
    if sheet.rng.random() < 0.2:
        sheet.write(
            "hosp/hcpcsevents",
            chartdate=str(admission.admit.astype("datetime64[D]")),
            hcpcs_cd="G0378",
            seq_num="1",
            short_description="Hospital observation per hr",
        )


def _codes(sheet: Sheet, admission: Admission, version: str) -> None:
    nine = version == "9"
    day = str(admission.admit.astype("datetime64[D]"))
    for order, condition in enumerate(admission.conditions, 1):
        code = condition.icd9 if nine else condition.icd10
        sheet.write("hosp/diagnoses_icd", seq_num=str(order), icd_code=code, icd_version=version)
    for order, operation in enumerate(admission.operations, 1):
        code = operation.icd9 if nine else operation.icd10
        columns = {"seq_num": str(order), "chartdate": day}
        sheet.write("hosp/procedures_icd", **columns, icd_code=code, icd_version=version)
    sheet.write("hosp/drgcodes", drg_type="HCFA", drg_code="871", description="SEPTICEMIA W/O MV 96+ HOURS W MCC")
    sheet.write(
        "hosp/drgcodes",
        drg_type="APR",
        drg_code="720",
        description="SEPTICEMIA & DISSEMINATED INFECTIONS",
        drg_severity=str(int(sheet.rng.integers(1, 5))),
        drg_mortality=str(int(sheet.rng.integers(1, 5))),
    )


def _labs(sheet: Sheet, admission: Admission) -> None:
    labs = admission.labs
    if not labs:
        return
    times: NDArray[np.datetime64] = np.array([row.time for row in labs], dtype="datetime64[s]")
    specimens = np.unique(times, return_inverse=True)[1] + int(sheet.rng.integers(1_000_000, 98_000_000))
    texts = [lab_text(row) for row in labs]
    below = [text.startswith("<") for text in texts]
    # de-identification blanked some printed results, all glucose among them, and left the number
    hidden = [
        row.lab.parameter == "Glucose" or h
        for row, h in zip(labs, (sheet.rng.random(len(labs)) < 0.05).tolist(), strict=True)
    ]
    stored = times + sheet.rng.integers(10, 120, times.size) * MINUTE
    sheet.write(
        "hosp/labevents",
        hadm_id=[sheet.ids["hadm_id"] if row.inside else "" for row in labs],
        specimen_id=[str(s) for s in specimens.tolist()],
        itemid=[row.lab.itemid for row in labs],
        order_provider_id=["" if row.inside else PROVIDERS[0] for row in labs],
        charttime=timestamps(times),
        storetime=timestamps(stored),
        value=["" if b else "___" if h else t for t, b, h in zip(texts, below, hidden, strict=True)],
        valuenum=["" if b else f"{float(t):g}" for t, b in zip(texts, below, strict=True)],
        valueuom=[row.lab.unit for row in labs],
        ref_range_lower=[row.lab.low for row in labs],
        ref_range_upper=[row.lab.high for row in labs],
        flag=["" if b else abnormal(row) for row, b in zip(labs, below, strict=True)],
        priority=["STAT" if row.inside else "ROUTINE" for row in labs],
        comments=[_comment(row, text) for row, text in zip(labs, texts, strict=True)],
    )


def _comment(row: LabRow, text: str) -> str:
    if text.startswith("<"):
        return f"{text}.  cTropnT > 0.10 ng/mL suggests Acute MI."
    return "If fasting, 70-100 normal, >125 provisional diabetes." if row.lab.parameter == "Glucose" else ""


def _admit_order(sheet: Sheet, admission: Admission, sequence: int) -> None:
    poe = f"{sheet.ids['subject_id']}-{sequence}"
    sheet.write(
        "hosp/poe",
        poe_id=poe,
        poe_seq=str(sequence),
        ordertime=timestamp(admission.admit + np.timedelta64(33, "s")),
        order_type="ADT orders",
        order_subtype="Admit",
        transaction_type="New",
        order_provider_id=PROVIDERS[1],
        order_status="Inactive",
    )
    sheet.write(
        "hosp/poe_detail",
        poe_id=poe,
        poe_seq=str(sequence),
        field_name="Admit category",
        field_value="Admit to inpatient",
    )


def _drug(sheet: Sheet, admission: Admission, drug: Drug, sequence: int) -> None:
    subject = sheet.ids["subject_id"]
    poe, pharmacy = f"{subject}-{sequence}", str(int(sheet.rng.integers(10_000_000, 99_999_999)))
    start = admission.admit.astype("datetime64[h]").astype("datetime64[s]") + 120 * MINUTE
    stop = min(start + int(sheet.rng.integers(1, 4)) * DAY, admission.discharge)
    doctor = sheet.pick(PROVIDERS)
    entered = timestamp(admission.admit + np.timedelta64(51, "s"))
    ordered = {"poe_id": poe, "poe_seq": str(sequence), "order_provider_id": doctor}
    sheet.write(
        "hosp/poe",
        **ordered,
        ordertime=entered,
        order_type="Medications",
        transaction_type="New",
        order_status="Inactive",
    )
    sheet.write(
        "hosp/pharmacy",
        pharmacy_id=pharmacy,
        poe_id=poe,
        starttime=timestamp(start),
        stoptime=timestamp(stop),
        medication=drug.name,
        proc_type="Unit Dose",
        status="Discontinued",
        entertime=entered,
        verifiedtime=entered,
        route=drug.route,
        frequency="DAILY",
        disp_sched="08",
        doses_per_24_hrs="1",
        duration_interval="Ongoing",
        expiration_value="365",
        expiration_unit="Days",
        dispensation="Omnicell",
    )
    sheet.write(
        "hosp/prescriptions",
        **ordered,
        pharmacy_id=pharmacy,
        starttime=timestamp(start),
        stoptime=timestamp(stop),
        drug_type="MAIN",
        drug=drug.name,
        formulary_drug_cd=drug.code,
        gsn=drug.gsn,
        ndc=drug.ndc or "0",
        prod_strength=drug.strength,
        dose_val_rx=drug.dose,
        dose_unit_rx=drug.unit,
        form_val_disp=drug.form_value,
        form_unit_disp=drug.form,
        doses_per_24_hrs="1",
        route=drug.route,
    )
    for given in range(int((stop - start) / DAY)):
        time = timestamp(start + given * DAY + 5 * MINUTE)
        scan = sequence * 10 + given
        emar = {"emar_id": f"{subject}-{scan}", "emar_seq": str(scan), "pharmacy_id": pharmacy}
        sheet.write(
            "hosp/emar",
            **emar,
            poe_id=poe,
            charttime=time,
            medication=drug.name,
            event_txt="Administered" if sheet.rng.random() < 0.9 else "Not Given",
            scheduletime=timestamp(start + given * DAY),
            storetime=time,
        )
        due = drug.dose if drug.dose.replace(".", "").isdigit() else ""
        sheet.write(
            "hosp/emar_detail",
            **emar,
            parent_field_ordinal="1.1",
            barcode_type="if",
            dose_given=due,
            dose_given_unit=drug.unit,
            product_amount_given="1",
            product_unit=drug.form,
            product_code=drug.code,
            product_description=drug.name,
        )


def _culture(sheet: Sheet, admission: Admission) -> None:
    time = admission.admit + int(sheet.rng.integers(10, 90)) * MINUTE
    result = time + 3 * DAY
    grows = bool(sheet.rng.random() < 0.3)
    found = {"org_itemid": "80002", "org_name": "ESCHERICHIA COLI", "isolate_num": "1", "ab_itemid": "90012"}
    tested = {"ab_name": "GENTAMICIN", "dilution_text": "<=1", "dilution_comparison": "<=        "}
    sheet.write(
        "hosp/microbiologyevents",
        **(
            {**found, **tested, "dilution_value": "1", "interpretation": "S"} if grows else {"comments": "NO GROWTH.  "}
        ),
        micro_specimen_id=str(int(sheet.rng.integers(1, 9_999_999))),
        chartdate=timestamp(time.astype("datetime64[D]")),
        charttime=timestamp(time) if sheet.rng.random() < 0.94 else "",
        spec_itemid="70012",
        spec_type_desc="BLOOD CULTURE",
        test_seq="1",
        storedate=timestamp(result.astype("datetime64[D]")),
        storetime=timestamp(result),
        test_itemid="90201",
        test_name="Blood Culture, Routine",
    )


def _clinic(sheet: Sheet, admission: Admission) -> None:
    """A clinic visit before the admission: weight in pounds, height in inches, body mass index, blood pressure."""
    day = str((admission.admit - int(sheet.rng.integers(5, 15)) * DAY).astype("datetime64[D]"))
    patient = admission.patient
    values = {
        "Height (Inches)": f"{patient.height / 2.54:.0f}",
        "Weight (Lbs)": f"{round(patient.weight / 0.45359237, 1):g}",
        "BMI (kg/m2)": f"{round(patient.weight / (patient.height / 100) ** 2, 1):g}",
        "Blood Pressure": f"{int(sheet.rng.normal(128, 14))}/{int(sheet.rng.normal(74, 8))}",
    }
    for name, value in values.items():
        sheet.write("hosp/omr", chartdate=day, seq_num="1", result_name=name, result_value=value)
