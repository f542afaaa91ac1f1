"""MIMIC-IV's dictionaries and the names of its units, services, providers."""

from bronze.synthetic.files import CsvTables
from bronze.synthetic.mimiciv_icu import CAREGIVERS
from bronze.synthetic.vocabulary import CONDITIONS, ITEMS, LABS, OPERATIONS, WATER

CARE_UNITS = {
    1: "Coronary Care Unit (CCU)",
    2: "Cardiac Vascular Intensive Care Unit (CVICU)",
    3: "Medical Intensive Care Unit (MICU)",
    4: "Surgical Intensive Care Unit (SICU)",
}
SERVICES = {1: "CMED", 2: "CSURG", 3: "MED", 4: "SURG"}
PROVIDERS = [f"P{1000 + 61 * k:04d}{'ABCDEFGHJK'[k % 10]}" for k in range(40)]

_TABLES = {"inputevents_mv": "inputevents", "procedureevents_mv": "procedureevents"}
_KINDS = {"Process": "Processes", "Date time": "Date and time"}
_UNITS = {"?F": "°F", "?C": "°C"}
_HCPCS = [
    ("99218", "1", "", "Hospital observation services"),
    ("G0378", "", "Hospital observation service, per hour", "Hospital observation per hr"),
]


def write_dictionaries(tables: CsvTables) -> None:
    columns = "itemid,label,abbreviation,linksto,category,unitname,param_type,lownormalvalue,highnormalvalue"
    items = [
        (
            item.itemid,
            item.label,
            item.abbreviation,
            _TABLES.get(item.table, item.table),
            item.category,
            _UNITS.get(item.unit, item.unit),
            _KINDS.get(item.kind, item.kind),
            *{"SysABP": ("90", "140"), "DiasABP": ("60", "90")}.get(item.parameter, ("", "")),
        )
        for item in ITEMS
        if item.system == "metavision"
    ]
    tables.write_rows("icu/d_items", columns, [*items, WATER])
    labs = [(lab.itemid, lab.label, "Blood", lab.category) for lab in LABS]
    tables.write_rows("hosp/d_labitems", "itemid,label,fluid,category", labs)
    titles = "icd_code,icd_version,long_title"
    nine = [(c.icd9, "9", c.long9) for c in CONDITIONS]
    tables.write_rows("hosp/d_icd_diagnoses", titles, nine + [(c.icd10, "10", c.long10) for c in CONDITIONS])
    nine = [(o.icd9, "9", o.long9) for o in OPERATIONS]
    tables.write_rows("hosp/d_icd_procedures", titles, nine + [(o.icd10, "10", o.long10) for o in OPERATIONS])
    tables.write_rows("hosp/d_hcpcs", "code,category,long_description,short_description", _HCPCS)
    tables.write("hosp/provider", provider_id=PROVIDERS)
    tables.write("icu/caregiver", caregiver_id=CAREGIVERS)
