"""Files in the format of the MIMIC-III Clinical Database Demo v1.4: 26 tables, upper-case names, lower-case headers.

People of even index were charted in CareVue, the others in MetaVision, as before and after 2008 in the original.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bronze.synthetic.files import CsvTables
from bronze.synthetic.headers import MIMICIII as HEADERS
from bronze.synthetic.mimic import Person, Sheet, draw_person
from bronze.synthetic.mimiciii_hosp import CRITICAL_CARE, write_hospital
from bronze.synthetic.mimiciii_icu import CAREGIVERS, write_stay
from bronze.synthetic.mimiciii_people import (
    draw_traits,
    hadm_id,
    icustay_id,
    subject_id,
    system_of,
    write_admission,
    write_moves,
    write_patient,
)
from bronze.synthetic.vocabulary import CONDITIONS, ITEMS, LABS, OPERATIONS

SOURCE = "mimiciii"
FOLDER = "mimiciii-demo-1.4"


def write(out: Path, patients: int, seed: int, on_progress: Callable[[int], None]) -> dict[str, int]:
    """Writes all tables for ``patients`` people; gives the rows of each."""
    with CsvTables(out / FOLDER, HEADERS, dict.fromkeys(HEADERS, "row_id")) as tables:
        _dictionaries(tables)
        for index in range(patients):
            rng = np.random.default_rng([seed, 1963, index])
            person = draw_person(rng, index, ward_only=0.0)
            _person(Sheet(tables, rng, {"subject_id": subject_id(person)}), person)
            on_progress(index + 1)
    return {f"{FOLDER}/{table}": rows for table, rows in tables.rows.items()}


def _person(sheet: Sheet, person: Person) -> None:
    system = system_of(person)
    write_patient(sheet, person)
    traits = draw_traits(sheet)
    for admission in person.admissions:
        admitted = sheet.at(hadm_id=hadm_id(admission))
        write_admission(admitted, admission, traits)
        write_moves(admitted, system, admission)
        write_hospital(admitted, admission)
        for stay in admission.stays:
            write_stay(admitted.at(icustay_id=icustay_id(stay)), system, stay)


def _dictionaries(tables: CsvTables) -> None:
    for item in ITEMS:
        unit = item.unit if item.system == "metavision" else ""
        columns = {"abbreviation": item.abbreviation, "category": item.category, "unitname": unit}
        tables.write(
            "D_ITEMS",
            **columns,
            itemid=item.itemid,
            label=item.label,
            dbsource=item.system,
            linksto=item.table,
            param_type=item.kind,
        )
    labs = [(lab.itemid, lab.label, "Blood", lab.category, lab.loinc) for lab in LABS]
    tables.write_rows("D_LABITEMS", "itemid,label,fluid,category,loinc_code", labs)
    titles = "icd9_code,short_title,long_title"
    tables.write_rows("D_ICD_DIAGNOSES", titles, [(c.icd9, c.short9, c.long9) for c in CONDITIONS])
    tables.write_rows("D_ICD_PROCEDURES", titles, [(o.icd9, o.short9, o.long9) for o in OPERATIONS])
    tables.write_rows("CAREGIVERS", "cgid,label,description", [(k, "RN", "RN") for k in CAREGIVERS])
    tables.write_rows(
        "D_CPT",
        "category,sectionrange,sectionheader,subsectionrange,subsectionheader,mincodeinsubsection,maxcodeinsubsection",
        [("1", "99201-99499", CRITICAL_CARE[1], "99291-99292", CRITICAL_CARE[2], "99291", "99292")],
    )
