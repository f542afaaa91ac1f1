"""MIMIC-IV's people and their ways through the hospital: patients, admissions, services, transfers, icustays."""

import numpy as np

from bronze.synthetic.files import timestamp
from bronze.synthetic.mimic import OLDEST, Admission, Person, Sheet, Stay
from bronze.synthetic.mimiciv_words import CARE_UNITS, PROVIDERS, SERVICES


def subject_id(person: Person) -> str:
    return str(10_000_001 + 37 * person.index)


def hadm_id(admission: Admission) -> str:
    return str(20_000_001 + admission.number)


def stay_id(stay: Stay) -> str:
    return str(30_000_001 + stay.number)


def write_patient(sheet: Sheet, person: Person) -> None:
    first = person.admissions[0].admit
    age = person.age(first)
    sheet.write(
        "hosp/patients",
        gender="F" if person.female else "M",
        anchor_age="91" if age > OLDEST else str(age),
        anchor_year=str(first)[:4],
        anchor_year_group="2011 - 2013" if person.index % 2 else "2014 - 2016",
        dod="" if person.death is None else str(person.death.astype("datetime64[D]")),
    )


def write_admission(sheet: Sheet, admission: Admission, race: str) -> None:
    room = admission.emergency_room or (None, None)
    kind = sheet.pick(["EW EMER.", "URGENT", "OBSERVATION ADMIT"], [0.6, 0.15, 0.25])
    goes = sheet.pick(["HOME", "HOME HEALTH CARE", "SKILLED NURSING FACILITY", ""], [0.3, 0.3, 0.25, 0.15])
    sheet.write(
        "hosp/admissions",
        admittime=timestamp(admission.admit),
        dischtime=timestamp(admission.discharge),
        deathtime=timestamp(admission.death),
        admission_type=kind if admission.emergency else "SURGICAL SAME DAY ADMISSION",
        admit_provider_id=sheet.pick(PROVIDERS),
        admission_location="EMERGENCY ROOM" if room[0] is not None else "PHYSICIAN REFERRAL",
        discharge_location=goes if admission.death is None else "DIED",
        insurance=sheet.pick(["Other", "Medicare", "Medicaid"], [0.5, 0.42, 0.08]),
        language="ENGLISH" if sheet.rng.random() < 0.9 else "?",
        marital_status=sheet.pick(["SINGLE", "MARRIED", "WIDOWED", "DIVORCED", ""], [0.4, 0.4, 0.1, 0.06, 0.04]),
        race=race,
        edregtime=timestamp(room[0]),
        edouttime=timestamp(room[1]),
        hospital_expire_flag=str(int(admission.death is not None)),
    )


def write_moves(sheet: Sheet, admission: Admission) -> None:
    """services, transfers and icustays; an ICU transfer's id is the id of its stay, as in the original."""
    unit = CARE_UNITS[admission.patient.icu_type]
    service = SERVICES[admission.patient.icu_type]
    begin = admission.admit + int(sheet.rng.integers(1, 60)) * np.timedelta64(1, "s")
    sheet.write("hosp/services", transfertime=timestamp(begin), curr_service=service)
    if admission.stays and sheet.rng.random() < 0.15:
        moved = timestamp(admission.stays[0].intime)
        sheet.write("hosp/services", transfertime=moved, prev_service=service, curr_service="OMED")
    places: list[tuple[str, str, str, np.datetime64, np.datetime64]] = []  # id, event, unit, in, out
    base = 35_000_001 + admission.number * 10
    if admission.emergency_room:
        places.append((str(base), "ED", "Emergency Department", *admission.emergency_room))
    clock = admission.admit
    for stay in admission.stays:
        places.append(
            (
                str(base + len(places)),
                "transfer" if clock > admission.admit else "admit",
                "Medicine",
                clock,
                stay.intime,
            )
        )
        places.append((stay_id(stay), "transfer", unit, stay.intime, stay.outtime))
        clock = stay.outtime
        sheet.write(
            "icu/icustays",
            stay_id=stay_id(stay),
            first_careunit=unit,
            last_careunit=unit,
            intime=timestamp(stay.intime),
            outtime=timestamp(stay.outtime),
            los=f"{stay.hours / 24:.17g}",
        )
    if admission.discharge > clock:
        event = "transfer" if admission.stays else "admit"
        places.append((str(base + len(places)), event, "Med/Surg", clock, admission.discharge))
        clock = admission.discharge
    for transfer, event, where, start, end in places:
        sheet.write(
            "hosp/transfers",
            transfer_id=transfer,
            eventtype=event,
            careunit=where,
            intime=timestamp(start),
            outtime=timestamp(end),
        )
    gone = {"transfer_id": str(base + len(places)), "eventtype": "discharge", "intime": timestamp(clock)}
    sheet.write("hosp/transfers", **gone)
