"""MIMIC-III's people and their ways through the hospital: PATIENTS, ADMISSIONS, ICUSTAYS, TRANSFERS, SERVICES."""

import numpy as np

from bronze.synthetic.files import timestamp
from bronze.synthetic.mimic import DAY, OLDEST, Admission, Person, Sheet, Stay
from bronze.synthetic.physiology import ICU_TYPES

_WARDS = {"CCU": "7", "CSRU": "14", "MICU": "52", "SICU": "33"}
_SERVICES = {"CCU": "CMED", "CSRU": "CSURG", "MICU": "MED", "SICU": "SURG"}
_WARD = "45"  # a general ward
_ETHNICITIES = ("WHITE", "BLACK/AFRICAN AMERICAN", "UNKNOWN/NOT SPECIFIED", "ASIAN")


def system_of(person: Person) -> str:
    return "carevue" if person.index % 2 == 0 else "metavision"


def subject_id(person: Person) -> str:
    return str((10001 if system_of(person) == "carevue" else 40001) + person.index)


def hadm_id(admission: Admission) -> str:
    return str(100001 + admission.number)


def icustay_id(stay: Stay) -> str:
    return str(200001 + stay.number)


def write_patient(sheet: Sheet, person: Person) -> None:
    first = person.admissions[0].admit
    birth = person.birth
    if person.age(first) > OLDEST:  # older than 89: born 300 years before the first admission
        birth = (first - 300 * 365.25 * DAY).astype("datetime64[D]").astype("datetime64[s]")
    died_here = person.admissions[-1].death is not None
    dod = None if person.death is None else person.death.astype("datetime64[D]")
    by_registry = person.death is not None and (not died_here or person.index % 3 != 0)
    sheet.write(
        "PATIENTS",
        gender="F" if person.female else "M",
        dob=timestamp(birth),
        dod=timestamp(dod),
        dod_hosp=timestamp(dod) if died_here else "",
        dod_ssn=timestamp(dod) if by_registry else "",
        expire_flag=str(int(person.death is not None)),
    )


def draw_traits(sheet: Sheet) -> dict[str, str]:
    return {
        "insurance": sheet.pick(["Medicare", "Private", "Medicaid", "Government"], [0.6, 0.27, 0.1, 0.03]),
        "language": sheet.pick(["ENGL", "", "SPAN", "RUSS"], [0.55, 0.37, 0.05, 0.03]),
        "religion": sheet.pick(["CATHOLIC", "NOT SPECIFIED", "JEWISH", "UNOBTAINABLE", ""]),
        "marital_status": sheet.pick(["MARRIED", "SINGLE", "WIDOWED", "DIVORCED", ""], [0.45, 0.25, 0.15, 0.05, 0.1]),
        "ethnicity": sheet.pick(_ETHNICITIES, [0.7, 0.1, 0.15, 0.05]),
    }


def write_admission(sheet: Sheet, admission: Admission, traits: dict[str, str]) -> None:
    room = admission.emergency_room or (None, None)
    kind = "EMERGENCY" if admission.emergency else sheet.pick(["ELECTIVE", "URGENT"], [0.85, 0.15])
    source = "EMERGENCY ROOM ADMIT" if room[0] is not None else "PHYS REFERRAL/NORMAL DELI"
    goes = "DEAD/EXPIRED" if admission.death is not None else sheet.pick(["HOME", "SNF", "HOME HEALTH CARE"])
    sheet.write(
        "ADMISSIONS",
        **traits,
        admittime=timestamp(admission.admit),
        dischtime=timestamp(admission.discharge),
        deathtime=timestamp(admission.death),
        admission_type=kind,
        admission_location=source,
        discharge_location=goes,
        edregtime=timestamp(room[0]),
        edouttime=timestamp(room[1]),
        diagnosis=admission.conditions[0].long9.upper(),
        hospital_expire_flag=str(int(admission.death is not None)),
        has_chartevents_data="1",
    )


def write_moves(sheet: Sheet, system: str, admission: Admission) -> None:
    """ICUSTAYS, TRANSFERS and SERVICES: ICU stays with the general ward between and after them."""
    care = ICU_TYPES[admission.patient.icu_type]
    sheet.write("SERVICES", transfertime=timestamp(admission.admit), curr_service=_SERVICES[care])
    if sheet.rng.random() < 0.2:
        after = timestamp(admission.stays[0].intime)
        sheet.write("SERVICES", transfertime=after, prev_service=_SERVICES[care], curr_service="OMED")
    places: list[tuple[str, str, str, np.datetime64, np.datetime64]] = []  # icustay, careunit, ward, in, out
    for stay in admission.stays:
        if places:
            places.append(("", "", _WARD, places[-1][4], stay.intime))
        places.append((icustay_id(stay), care, _WARDS[care], stay.intime, stay.outtime))
        sheet.write(
            "ICUSTAYS",
            icustay_id=icustay_id(stay),
            dbsource=system,
            first_careunit=care,
            last_careunit=care,
            first_wardid=_WARDS[care],
            last_wardid=_WARDS[care],
            intime=timestamp(stay.intime),
            outtime=timestamp(stay.outtime),
            los=f"{stay.hours / 24:.4f}".rstrip("0"),
        )
    if admission.discharge > places[-1][4]:
        places.append(("", "", _WARD, places[-1][4], admission.discharge))
    before = ("", "")
    for order, (stay_id, unit, ward, begin, end) in enumerate(places):
        sheet.write(
            "TRANSFERS",
            icustay_id=stay_id,
            dbsource=system,
            eventtype="transfer" if order else "admit",
            prev_careunit=before[0],
            curr_careunit=unit,
            prev_wardid=before[1],
            curr_wardid=ward,
            intime=timestamp(begin),
            outtime=timestamp(end),
            los=f"{float((end - begin) / np.timedelta64(3600, 's')):.2f}".rstrip("0").rstrip("."),
        )
        before = (unit, ward)
    sheet.write(
        "TRANSFERS",
        dbsource=system,
        eventtype="discharge",
        prev_careunit=before[0],
        prev_wardid=before[1],
        intime=timestamp(max(places[-1][4], admission.discharge)),
    )
