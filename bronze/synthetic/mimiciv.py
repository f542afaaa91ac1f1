"""Files in the format of the MIMIC-IV Clinical Database Demo v2.2: 31 tables in ``hosp`` and ``icu``.

Ages come as ``anchor_age`` in ``anchor_year`` (91 stands for all older than 89); all bedside charting is MetaVision's.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bronze.synthetic.files import CsvTables
from bronze.synthetic.headers import MIMICIV as HEADERS
from bronze.synthetic.mimic import Person, Sheet, draw_person
from bronze.synthetic.mimiciv_hosp import write_hospital
from bronze.synthetic.mimiciv_icu import write_stay
from bronze.synthetic.mimiciv_people import hadm_id, stay_id, subject_id, write_admission, write_moves, write_patient
from bronze.synthetic.mimiciv_words import write_dictionaries

SOURCE = "mimiciv"
FOLDER = "mimiciv-demo-2.2"
_COUNTERS = {"hosp/labevents": "labevent_id", "hosp/microbiologyevents": "microevent_id"}
_RACES = ("WHITE", "BLACK/AFRICAN AMERICAN", "UNKNOWN", "ASIAN - CHINESE")


def write(out: Path, patients: int, seed: int, on_progress: Callable[[int], None]) -> dict[str, int]:
    """Writes all tables for ``patients`` people; gives the rows of each."""
    with CsvTables(out / FOLDER, HEADERS, _COUNTERS) as tables:
        write_dictionaries(tables)
        for index in range(patients):
            rng = np.random.default_rng([seed, 2008, index])
            person = draw_person(rng, index, ward_only=0.5)
            _person(Sheet(tables, rng, {"subject_id": subject_id(person)}), person)
            on_progress(index + 1)
    return {f"{FOLDER}/{table}": rows for table, rows in tables.rows.items()}


def _person(sheet: Sheet, person: Person) -> None:
    write_patient(sheet, person)
    race = sheet.pick(_RACES, (0.7, 0.14, 0.1, 0.06))
    for order, admission in enumerate(person.admissions):
        admitted = sheet.at(hadm_id=hadm_id(admission))
        write_admission(admitted, admission, race)
        write_moves(admitted, admission)
        write_hospital(admitted, admission, order, "9" if (person.index + order) % 2 else "10")
        for stay in admission.stays:
            write_stay(admitted.at(stay_id=stay_id(stay)), stay)
