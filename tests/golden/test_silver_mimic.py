"""MIMIC-III and MIMIC-IV on the clinical model: masked ages, orphans, overlapping stays, rows placed by time."""

from datetime import date, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from silver_frames import PLAIN, dictionary, judged, table_rows

from lakehouse.table import Table
from silver import admissions, diagnoses, medications, notes, patients, procedures, stays
from silver.sources import mimiciii, mimiciv
from tests.conftest import assert_frame

pytestmark = pytest.mark.engine

DAY = datetime(2150, 6, 1)
PLAIN_ROW = {"_left_out": None, "_rows": 1, "_merged_as": None, "_from": None, "_broken": ""}


def at(hour: float, minute: int = 0, second: int = 0) -> datetime:
    return DAY.replace(hour=int(hour), minute=minute, second=second)


def full(table: Table, **values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(table.column_names), **PLAIN_ROW, **values}


def patients_iii(spark: SparkSession) -> DataFrame:
    return table_rows(
        spark,
        mimiciii.PATIENTS,
        {"row_id": 1, "subject_id": 1, "gender": "F", "dob": datetime(2100, 6, 1), "dod": datetime(2151, 1, 2)},
        {"row_id": 2, "subject_id": 2, "gender": "M", "dob": datetime(1850, 6, 1)},
    )


def test_a_masked_birth_date_is_no_birth_date(spark: SparkSession) -> None:
    expected = [
        full(
            patients.TABLE, patient_id="mimiciii-1", source="mimiciii", gender="F", birth_date=date(2100, 6, 1),
            death_date=date(2151, 1, 2),
        ),
        full(patients.TABLE, patient_id="mimiciii-2", source="mimiciii", gender="M"),
    ]  # fmt: skip
    built = patients.build(mimiciii.patients(patients_iii(spark), PLAIN))
    assert_frame(judged(built, patients.TABLE), expected, ("patient_id",))


def test_an_admission_without_its_patient_or_that_ends_too_early_is_refused(spark: SparkSession) -> None:
    raw = table_rows(
        spark,
        mimiciii.ADMISSIONS,
        {
            "subject_id": 1, "hadm_id": 10, "admittime": at(1), "dischtime": at(9), "deathtime": at(9),
            "hospital_expire_flag": 1, "ethnicity": "OTHER", "edregtime": at(0),
        },
        {"subject_id": 1, "hadm_id": 11, "admittime": at(9), "dischtime": at(1), "hospital_expire_flag": 0},
        {"subject_id": 7, "hadm_id": 12, "admittime": at(1), "hospital_expire_flag": 0},
    )  # fmt: skip
    known = patients.build(mimiciii.patients(patients_iii(spark), PLAIN))
    common = {"source": "mimiciii", "patient_id": "mimiciii-1"}
    expected = [
        full(
            admissions.TABLE, **common, admission_id="mimiciii-10", admitted_at=at(1), discharged_at=at(9),
            died_at=at(9), in_hospital_death=True, ethnicity="OTHER", ed_arrived_at=at(0),
        ),
        full(
            admissions.TABLE, **common, admission_id="mimiciii-11", admitted_at=at(9), discharged_at=at(1),
            in_hospital_death=False, _broken="discharged_after_admitted",
        ),
        full(
            admissions.TABLE, source="mimiciii", patient_id="mimiciii-7", admission_id="mimiciii-12",
            admitted_at=at(1), in_hospital_death=False, _broken="known_patient",
        ),
    ]  # fmt: skip
    built = admissions.build(mimiciii.admissions(raw, PLAIN), known)
    assert_frame(judged(built, admissions.TABLE), expected, ("admission_id",))


def known_admissions(spark: SparkSession, *ids: str) -> DataFrame:
    """Admission 10 is that of patient 1, admission 20 that of patient 2."""
    rows = ({"admission_id": i, "patient_id": i.removesuffix("0")} for i in ids)
    return table_rows(spark, "silver.admissions", *rows)


def built_stays(spark: SparkSession, mapped: DataFrame, *known: str) -> list[dict[str, Any]]:
    words = dictionary(spark)
    frame = stays.build(mapped, known_admissions(spark, *known), words["concepts"], words["corrections"])
    rows = judged(frame, stays.TABLE).orderBy("stay_id").collect()
    columns = ("stay_id", "icu_type", "icu_hours", "age", "age_masked", "gender", "in_hospital_death", "_broken")
    return [{c: row[c] for c in columns} for row in rows]


def test_stays_of_mimic_iii(spark: SparkSession) -> None:
    raw = table_rows(
        spark,
        mimiciii.ICUSTAYS,
        {
            "subject_id": 1,
            "hadm_id": 10,
            "icustay_id": 100,
            "first_careunit": "TSICU",
            "intime": at(1),
            "outtime": at(13),
        },
        {
            "subject_id": 2,
            "hadm_id": 20,
            "icustay_id": 200,
            "first_careunit": "NICU",
            "intime": at(5),
            "outtime": at(1),
        },
        {"subject_id": 1, "hadm_id": 99, "icustay_id": 300, "first_careunit": "CSRU", "intime": at(1)},
    )
    of_admission = table_rows(
        spark,
        mimiciii.ADMISSIONS,
        {"hadm_id": 10, "subject_id": 1, "hospital_expire_flag": 0},
        {"hadm_id": 20, "subject_id": 2, "hospital_expire_flag": 1},
    )
    mapped = mimiciii.stays(raw, of_admission, patients_iii(spark), PLAIN)
    years = 18262 / 365.25
    assert built_stays(spark, mapped, "mimiciii-10", "mimiciii-20") == [
        {
            "stay_id": "mimiciii-100", "icu_type": "SICU", "icu_hours": 12.0, "age": years, "age_masked": False,
            "gender": "F", "in_hospital_death": False, "_broken": "",
        },
        {
            "stay_id": "mimiciii-200", "icu_type": None, "icu_hours": -4.0, "age": 90.0, "age_masked": True,
            "gender": "M", "in_hospital_death": True, "_broken": "ends_after_it_begins",
        },
        {
            "stay_id": "mimiciii-300", "icu_type": "CSRU", "icu_hours": None, "age": years, "age_masked": False,
            "gender": "F", "in_hospital_death": None, "_broken": "known_admission",
        },
    ]  # fmt: skip


def test_stays_of_mimic_iv(spark: SparkSession) -> None:
    units = (
        "Cardiac Vascular Intensive Care Unit (CVICU)",
        "Medical/Surgical Intensive Care Unit (MICU/SICU)",
        "Neuro Stepdown",
    )
    raw = table_rows(
        spark,
        mimiciv.ICUSTAYS,
        *(
            {
                "subject_id": i, "hadm_id": 10 * i, "stay_id": i, "first_careunit": unit,
                "intime": at(1), "outtime": at(2),
            }
            for i, unit in enumerate(units, 1)
        ),
    )  # fmt: skip
    people = table_rows(
        spark,
        mimiciv.PATIENTS,
        {"subject_id": 1, "gender": "F", "anchor_age": 60, "anchor_year": 2148},
        {"subject_id": 2, "gender": "M", "anchor_age": 91, "anchor_year": 2150},
        {"subject_id": 3, "gender": "M", "anchor_age": 89, "anchor_year": 2149},
    )
    deaths = table_rows(spark, mimiciv.ADMISSIONS, {"hadm_id": 10, "subject_id": 1, "hospital_expire_flag": 0})
    rows = built_stays(spark, mimiciv.stays(raw, deaths, people, PLAIN), "mimiciv-10", "mimiciv-20", "mimiciv-30")
    assert [(r["icu_type"], r["age"], r["age_masked"], r["_broken"]) for r in rows] == [
        ("CSRU", 62.0, False, ""),
        ("MICU", 90.0, True, ""),
        (None, 90.0, True, ""),
    ]


def test_a_row_goes_to_the_stay_it_names_or_to_the_last_one_open_at_its_time(spark: SparkSession) -> None:
    icustays = table_rows(
        spark,
        mimiciii.ICUSTAYS,
        {"subject_id": 1, "icustay_id": 100, "intime": at(1), "outtime": at(20)},
        {"subject_id": 1, "icustay_id": 101, "intime": at(5), "outtime": at(8)},
        {"subject_id": 1, "icustay_id": 102, "intime": at(5), "outtime": at(6)},
        {"subject_id": 2, "icustay_id": 200, "intime": at(1)},
    )
    charted = table_rows(
        spark,
        mimiciii.CHART,
        *(
            {
                "row_id": i,
                "subject_id": s,
                "icustay_id": stay,
                "itemid": 220045,
                "charttime": t,
                "valuenum": 80.0,
                "error": e,
            }
            for i, (s, stay, t, e) in enumerate(
                [
                    (1, 100, at(0, 58, 30), 0),
                    (1, 100, at(2), 1),
                    (1, 999, at(2), None),
                    (2, 100, at(2), None),
                    (1, 100, None, None),
                    (1, None, at(7, 0, 59), None),
                ]
            )
        ),
    )
    lab = table_rows(
        spark,
        mimiciii.LAB,
        *(
            {"subject_id": s, "itemid": 50931, "charttime": t, "valuenum": 1.0}
            for s, t in ((1, at(1)), (1, at(5)), (1, at(7)), (1, at(9)), (1, at(21)), (2, at(23)), (3, at(9)))
        ),
    )
    output = table_rows(
        spark, mimiciii.OUTPUT, {"subject_id": 1, "icustay_id": 101, "itemid": 1, "charttime": at(6), "iserror": 1}
    )
    procedure = table_rows(
        spark,
        mimiciii.PROCEDURE,
        {"subject_id": 1, "icustay_id": 101, "itemid": 1, "starttime": at(6), "statusdescription": "Rewritten"},
        {"subject_id": 1, "icustay_id": 101, "itemid": 1, "starttime": at(6), "statusdescription": "FinishedRunning"},
    )
    mapped = mimiciii.events(icustays, charted, lab, output, procedure, PLAIN)
    rows = [(r.source_table, r.stay_id, r.minute, r._left_out) for r in mapped.collect()]
    assert sorted(rows, key=str) == sorted(
        [
            ("chartevents", None, None, "no_stay"),
            ("chartevents", None, None, "no_stay"),
            ("chartevents", "mimiciii-100", None, "no_time"),
            ("chartevents", "mimiciii-100", -2, None),
            ("chartevents", "mimiciii-100", 60, "marked_error"),
            ("chartevents", "mimiciii-101", 120, None),
            ("labevents", None, None, "no_stay"),
            ("labevents", None, None, "no_stay"),
            ("labevents", "mimiciii-100", 0, None),
            ("labevents", "mimiciii-100", 480, None),
            ("labevents", "mimiciii-101", 120, None),
            ("labevents", "mimiciii-102", 0, None),
            ("labevents", "mimiciii-200", 1320, None),
            ("outputevents", "mimiciii-101", 60, "marked_error"),
            ("procedureevents_mv", "mimiciii-101", 60, "rewritten"),
            ("procedureevents_mv", "mimiciii-101", 60, None),
        ],
        key=str,
    )


def test_codes_carry_their_system_and_title(spark: SparkSession) -> None:
    raw = table_rows(
        spark,
        mimiciv.DIAGNOSES,
        {"subject_id": 1, "hadm_id": 10, "seq_num": 1, "icd_code": "I10 ", "icd_version": 10},
        {"subject_id": 1, "hadm_id": 10, "seq_num": 2, "icd_code": "4019", "icd_version": 9},
        {"subject_id": 1, "hadm_id": 99, "seq_num": 1, "icd_code": "E000", "icd_version": 9},
    )
    titles = table_rows(
        spark,
        mimiciv.D_DIAGNOSES,
        {"icd_code": "I10", "icd_version": 10, "long_title": "Essential (primary) hypertension"},
        {"icd_code": "4019", "icd_version": 9, "long_title": "Unspecified essential hypertension"},
        {"icd_code": "E000", "icd_version": 10, "long_title": "another code of the same letters"},
    )
    common = {"source": "mimiciv", "patient_id": "mimiciv-1"}
    expected = [
        full(
            diagnoses.TABLE, **common, admission_id="mimiciv-10", sequence=1, code="I10", code_system="ICD-10-CM",
            title="Essential (primary) hypertension",
        ),
        full(
            diagnoses.TABLE, **common, admission_id="mimiciv-10", sequence=2, code="4019", code_system="ICD-9-CM",
            title="Unspecified essential hypertension",
        ),
        full(
            diagnoses.TABLE, **common, admission_id="mimiciv-99", sequence=1, code="E000", code_system="ICD-9-CM",
            _broken="known_admission",
        ),
    ]  # fmt: skip
    built = diagnoses.build(mimiciv.diagnoses(raw, titles, PLAIN), known_admissions(spark, "mimiciv-10"))
    assert_frame(judged(built, diagnoses.TABLE), expected, ("admission_id", "code"))


def test_procedures_of_both_editions(spark: SparkSession) -> None:
    raw = table_rows(spark, mimiciii.PROCEDURES, {"subject_id": 1, "hadm_id": 10, "seq_num": 3, "icd9_code": "3961"})
    titles = table_rows(spark, mimiciii.D_PROCEDURES, {"icd9_code": "3961", "long_title": "Extracorporeal circulation"})
    newer = table_rows(
        spark,
        mimiciv.PROCEDURES,
        {
            "subject_id": 1, "hadm_id": 10, "seq_num": 1, "icd_code": "02HV33Z", "icd_version": 10,
            "chartdate": date(2150, 6, 2),
        },
    )  # fmt: skip
    none = table_rows(spark, mimiciv.D_PROCEDURES)
    third = procedures.build(mimiciii.procedures(raw, titles, PLAIN), known_admissions(spark, "mimiciii-10"))
    fourth = procedures.build(mimiciv.procedures(newer, none, PLAIN), known_admissions(spark, "mimiciv-10"))
    expected = [
        full(
            procedures.TABLE, source="mimiciii", patient_id="mimiciii-1", admission_id="mimiciii-10", sequence=3,
            code="3961", code_system="ICD-9-PCS", title="Extracorporeal circulation",
        ),
        full(
            procedures.TABLE, source="mimiciv", patient_id="mimiciv-1", admission_id="mimiciv-10", sequence=1,
            code="02HV33Z", code_system="ICD-10-PCS", performed_on=date(2150, 6, 2),
        ),
    ]  # fmt: skip
    both = judged(third, procedures.TABLE).unionByName(judged(fourth, procedures.TABLE))
    assert_frame(both, expected, ("admission_id",))


def test_doses_are_numbers_where_they_can_be(spark: SparkSession) -> None:
    raw = table_rows(
        spark,
        mimiciv.PRESCRIPTIONS,
        *(
            {
                "subject_id": 1, "hadm_id": 10, "pharmacy_id": 5, "starttime": at(hour), "stoptime": at(23),
                "drug": "Heparin", "dose_val_rx": text, "_source_file": "f", "_source_row": i,
            }
            for i, (hour, text) in enumerate([(0, "25,000"), (2, "1-2"), (3, "0.5"), (4, "-1")], 1)
        ),
    )  # fmt: skip
    icustays = table_rows(spark, mimiciv.ICUSTAYS, {"subject_id": 1, "stay_id": 100, "intime": at(1), "outtime": at(9)})

    def row(
        component: int, hour: int, text: str, dose: float | None, stay: str | None, broken: str = ""
    ) -> dict[str, Any]:
        return full(
            medications.TABLE, medication_id=f"mimiciv-5-{component}", source="mimiciv", patient_id="mimiciv-1",
            admission_id="mimiciv-10", stay_id=stay, drug="Heparin", dose=dose, dose_text=text, started_at=at(hour),
            ended_at=at(23), _broken=broken,
        )  # fmt: skip

    built = medications.build(mimiciv.medications(raw, icustays, PLAIN), known_admissions(spark, "mimiciv-10"))
    expected = [
        row(1, 0, "25,000", 25000.0, None),
        row(2, 2, "1-2", None, "mimiciv-100"),
        row(3, 3, "0.5", 0.5, "mimiciv-100"),
        row(4, 4, "-1", -1.0, "mimiciv-100", "dose_not_negative"),
    ]
    assert_frame(judged(built, medications.TABLE), expected, ("medication_id",))


def test_a_note_of_a_day_is_known_at_its_end(spark: SparkSession) -> None:
    raw = table_rows(
        spark,
        mimiciii.NOTES,
        {
            "row_id": 1,
            "subject_id": 1,
            "hadm_id": 10,
            "chartdate": DAY,
            "charttime": at(4),
            "category": "Nursing ",
            "text": "a",
        },
        {"row_id": 2, "subject_id": 1, "chartdate": DAY, "category": "Discharge summary", "text": "b"},
        {"row_id": 3, "subject_id": 1, "hadm_id": 10, "chartdate": DAY, "text": "c", "iserror": "1"},
        {"row_id": 4, "subject_id": 1, "hadm_id": 99, "chartdate": DAY, "text": "d"},
    )
    common = {"source": "mimiciii", "patient_id": "mimiciii-1"}
    end = at(23, 59, 59)
    expected = [
        full(
            notes.TABLE, **common, note_id="mimiciii-1", admission_id="mimiciii-10", category="Nursing",
            written_at=at(4), text="a",
        ),
        full(notes.TABLE, **common, note_id="mimiciii-2", category="Discharge summary", written_at=end, text="b"),
        full(
            notes.TABLE, **common, note_id="mimiciii-3", admission_id="mimiciii-10", written_at=end, text="c",
            _left_out="marked_error",
        ),
        full(
            notes.TABLE, **common, note_id="mimiciii-4", admission_id="mimiciii-99", written_at=end, text="d",
            _broken="known_admission",
        ),
    ]  # fmt: skip
    built = notes.build(mimiciii.notes(raw, PLAIN), known_admissions(spark, "mimiciii-10"))
    assert_frame(judged(built, notes.TABLE), expected, ("note_id",))
