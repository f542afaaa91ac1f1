"""Item ids, labels, units and codes that the generated MIMIC files use.

Ids and labels are those of the published dictionaries (D_ITEMS, D_LABITEMS, ICD-9-CM, ICD-10-CM), so that the same
mapping reads real and generated files; the selection is small. The rows are in ``reference/``.
"""

import csv
from pathlib import Path
from typing import NamedTuple


class Item(NamedTuple):
    """A row of D_ITEMS and what it charts: ``parameter`` in Challenge terms; ``unit`` as the event rows write it."""

    system: str  # carevue | metavision | hospital
    parameter: str
    itemid: str
    label: str
    abbreviation: str
    table: str
    category: str
    unit: str
    kind: str


class Lab(NamedTuple):
    """A row of D_LABITEMS with unit, reference range and the decimals of its printed value."""

    parameter: str
    itemid: str
    label: str
    category: str
    loinc: str
    unit: str
    low: str
    high: str
    decimals: str


class Condition(NamedTuple):
    """A diagnosis in both code systems. ``organ`` is the failing system (acute) or blank (chronic)."""

    organ: str
    icd9: str
    short9: str
    long9: str
    icd10: str
    long10: str


class Operation(NamedTuple):
    icd9: str
    short9: str
    long9: str
    icd10: str
    long10: str


class Drug(NamedTuple):
    name: str
    code: str
    gsn: str
    ndc: str
    strength: str
    dose: str
    unit: str
    form_value: str
    form: str
    route: str


def _read(name: str) -> list[list[str]]:
    """The rows of ``reference/<name>.csv`` without the header."""
    with (Path(__file__).parent / "reference" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


ITEMS = [Item(*row) for row in _read("items")]
BY_PARAMETER = {(item.system, item.parameter): item for item in ITEMS if item.parameter}
#: The one ingredient of MIMIC-IV's ingredientevents that is written, as its d_items row.
WATER = ("220490", "Water", "H2O", "ingredientevents", "Ingredients", "mL", "Ingredient", "", "")

LABS = [Lab(*row) for row in _read("labs")]
LAB_BY_PARAMETER = {lab.parameter: lab for lab in LABS}

CONDITIONS = [Condition(*row) for row in _read("conditions")]
ACUTE = [c for c in CONDITIONS if c.organ]
CHRONIC = [c for c in CONDITIONS if not c.organ]

OPERATIONS = [Operation(*row) for row in _read("operations")]
DRUGS = [Drug(*row) for row in _read("drugs")]

EYE = ("No Response", "To pain", "To speech", "Spontaneously")
VERBAL = ("No Response", "Incomp sounds", "Inapprop words", "Confused", "Oriented")
MOTOR = ("No Response", "Abnorm extensn", "Abnorm flexion", "Flex-withdraws", "Localizes Pain", "Obeys Commands")
EYE_METAVISION = ("None", "To Pain", "To Speech", "Spontaneously")
VERBAL_METAVISION = ("No Response", "Incomprehensible sounds", "Inappropriate Words", "Confused", "Oriented")
MOTOR_METAVISION = (
    "No response",
    "Abnormal extension",
    "Abnormal Flexion",
    "Flex-withdraws",
    "Localizes Pain",
    "Obeys Commands",
)

#: Eye, verbal and motor response for each total of the Glasgow coma scale, 3 to 15.
GCS_PARTS = {
    3: (1, 1, 1), 4: (1, 1, 2), 5: (1, 1, 3), 6: (1, 1, 4), 7: (2, 1, 4), 8: (2, 1, 5), 9: (3, 1, 5),
    10: (3, 1, 6), 11: (3, 2, 6), 12: (3, 3, 6), 13: (3, 4, 6), 14: (4, 4, 6), 15: (4, 5, 6),
}  # fmt: skip
