"""The comorbidity code lists in conf/comorbidities.csv: form, weights, and where well-known codes land."""

import re
from collections import Counter, defaultdict

import pytest
from dictionary_meaning import COMORBIDITIES


def conditions(index: str, code_system: str, code: str) -> set[str]:
    return {
        row["condition"]
        for row in COMORBIDITIES
        if (row["index"], row["code_system"]) == (index, code_system) and code.startswith(row["prefix"])
    }


def test_comorbidities_have_the_agreed_form() -> None:
    assert list(COMORBIDITIES[0]) == ["index", "condition", "code_system", "prefix", "weight"]
    keys = Counter((r["index"], r["condition"], r["code_system"], r["prefix"]) for r in COMORBIDITIES)
    assert max(keys.values()) == 1
    shape = {"ICD-9-CM": r"\d{3,5}|V\d{2,4}", "ICD-10-CM": r"[A-Z]\d{2,3}"}
    assert [r for r in COMORBIDITIES if not re.fullmatch(shape[r["code_system"]], r["prefix"])] == []
    assert Counter((r["index"], r["code_system"]) for r in COMORBIDITIES) == {
        ("charlson", "ICD-9-CM"): 207,
        ("charlson", "ICD-10-CM"): 289,
        ("elixhauser", "ICD-9-CM"): 322,
        ("elixhauser", "ICD-10-CM"): 399,
    }


def weights(index: str) -> dict[str, int]:
    found = defaultdict(set)
    for row in COMORBIDITIES:
        if row["index"] == index:
            found[row["condition"]].add(int(row["weight"]))
    assert {len(w) for w in found.values()} == {1}, "one weight a condition"
    return {condition: w.pop() for condition, w in found.items()}


def test_weights_are_charlsons_and_van_walravens() -> None:
    charlson, elixhauser = weights("charlson"), weights("elixhauser")
    assert (len(charlson), len(elixhauser)) == (17, 31)
    assert {c: w for c, w in charlson.items() if w != 1} == {
        "diabetes_complicated": 2,
        "hemiplegia_paraplegia": 2,
        "renal_disease": 2,
        "cancer": 2,
        "moderate_severe_liver_disease": 3,
        "metastatic_cancer": 6,
        "aids_hiv": 6,
    }
    assert {c: w for c, w in elixhauser.items() if w} == {
        "congestive_heart_failure": 7,
        "cardiac_arrhythmia": 5,
        "valvular_disease": -1,
        "pulmonary_circulation_disorder": 4,
        "peripheral_vascular_disorder": 2,
        "paralysis": 7,
        "other_neurological_disorder": 6,
        "chronic_pulmonary_disease": 3,
        "renal_failure": 5,
        "liver_disease": 11,
        "lymphoma": 9,
        "metastatic_cancer": 12,
        "solid_tumor": 4,
        "coagulopathy": 3,
        "obesity": -4,
        "weight_loss": 6,
        "fluid_electrolyte_disorder": 5,
        "blood_loss_anemia": -2,
        "deficiency_anemia": -2,
        "drug_abuse": -7,
        "depression": -3,
    }


@pytest.mark.parametrize(
    ("code_system", "code", "charlson", "elixhauser"),
    [
        ("ICD-9-CM", "41071", "myocardial_infarction", ""),
        ("ICD-9-CM", "4280", "congestive_heart_failure", "congestive_heart_failure"),
        ("ICD-9-CM", "42731", "", "cardiac_arrhythmia"),
        ("ICD-9-CM", "4019", "", "hypertension_uncomplicated"),
        ("ICD-9-CM", "40391", "renal_disease", "renal_failure hypertension_complicated"),
        ("ICD-9-CM", "25000", "diabetes_uncomplicated", "diabetes_uncomplicated"),
        ("ICD-9-CM", "25040", "diabetes_complicated", "diabetes_complicated"),
        ("ICD-9-CM", "25080", "diabetes_uncomplicated", "diabetes_complicated"),
        ("ICD-9-CM", "496", "chronic_pulmonary_disease", "chronic_pulmonary_disease"),
        ("ICD-9-CM", "5712", "mild_liver_disease", "liver_disease alcohol_abuse"),
        ("ICD-9-CM", "5722", "moderate_severe_liver_disease", "liver_disease"),
        ("ICD-9-CM", "4255", "congestive_heart_failure", "congestive_heart_failure alcohol_abuse"),
        ("ICD-9-CM", "1970", "metastatic_cancer", "metastatic_cancer"),
        ("ICD-9-CM", "042", "aids_hiv", "aids_hiv"),
        ("ICD-9-CM", "2851", "", ""),
        ("ICD-9-CM", "99592", "", ""),
        ("ICD-9-CM", "486", "", ""),
        ("ICD-10-CM", "I214", "myocardial_infarction", ""),
        ("ICD-10-CM", "I5023", "congestive_heart_failure", "congestive_heart_failure"),
        ("ICD-10-CM", "I4891", "", "cardiac_arrhythmia"),
        ("ICD-10-CM", "I10", "", "hypertension_uncomplicated"),
        ("ICD-10-CM", "E119", "diabetes_uncomplicated", "diabetes_uncomplicated"),
        ("ICD-10-CM", "E1122", "diabetes_complicated", "diabetes_complicated"),
        ("ICD-10-CM", "E11649", "diabetes_uncomplicated", "diabetes_complicated"),
        ("ICD-10-CM", "N186", "renal_disease", "renal_failure"),
        ("ICD-10-CM", "J449", "chronic_pulmonary_disease", "chronic_pulmonary_disease"),
        ("ICD-10-CM", "K7030", "mild_liver_disease", "liver_disease alcohol_abuse"),
        ("ICD-10-CM", "K7290", "moderate_severe_liver_disease", "liver_disease"),
        ("ICD-10-CM", "C787", "metastatic_cancer", "metastatic_cancer"),
        ("ICD-10-CM", "C8330", "cancer", "lymphoma"),
        ("ICD-10-CM", "B20", "aids_hiv", "aids_hiv"),
        ("ICD-10-CM", "E872", "", "fluid_electrolyte_disorder"),
        ("ICD-10-CM", "F329", "", "depression"),
        ("ICD-10-CM", "D62", "", ""),
        ("ICD-10-CM", "A419", "", ""),
        ("ICD-10-CM", "J189", "", ""),
    ],
)
def test_well_known_codes(code_system: str, code: str, charlson: str, elixhauser: str) -> None:
    assert conditions("charlson", code_system, code) == set(charlson.split())
    assert conditions("elixhauser", code_system, code) == set(elixhauser.split())
