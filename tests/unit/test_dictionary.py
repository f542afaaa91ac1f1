"""The clinical dictionary in conf/: its form, its conversions, its corrections."""

import math
import re
from collections import Counter
from itertools import pairwise

import pytest
from dictionary_meaning import (
    CONCEPTS,
    CONVERSIONS,
    CORRECTIONS,
    SOURCES,
    bounds,
    clean,
    convert,
    interval,
    read,
    rules_for,
)
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.registry import registry

Row = dict[str, str]

EVENT_TABLES = {
    node.mapping.source: node.mapping.consumes
    for node in registry().nodes
    if node.mapping and node.table.name == "silver.events"
}
"""Tables whose rows become events, by source."""

CHALLENGE_SERIES = [
    "Albumin", "ALP", "ALT", "AST", "Bilirubin", "BUN", "Cholesterol", "Creatinine", "DiasABP", "FiO2", "GCS",
    "Glucose", "HCO3", "HCT", "HR", "K", "Lactate", "MAP", "MechVent", "Mg", "Na", "NIDiasABP", "NIMAP",
    "NISysABP", "PaCO2", "PaO2", "pH", "Platelets", "RespRate", "SaO2", "SysABP", "Temp", "TroponinI",
    "TroponinT", "Urine", "WBC", "Weight",
]  # fmt: skip


# ---------------------------------------------------------------------------------------------- concepts


def test_concepts_have_the_agreed_columns_and_stable_ids() -> None:
    columns = (
        "id concept label unit kind possible_low possible_high plausible_low plausible_high log aggregate description"
    )
    rows = read("concepts.csv")
    assert list(rows[0]) == columns.split()
    assert [int(row["id"]) for row in rows] == list(range(1, 42))
    assert len(CONCEPTS) == 41
    assert (rows[0]["concept"], rows[14]["concept"], rows[36]["concept"], rows[40]["concept"]) == (
        "albumin",
        "hr",
        "weight",
        "gcs_motor",
    )


@pytest.mark.parametrize("row", CONCEPTS.values(), ids=CONCEPTS)
def test_concept_is_well_formed(row: Row) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", row["concept"])
    assert row["kind"] in {"vital", "neuro", "lab", "gas", "output", "support", "body"}
    assert row["aggregate"] in {"mean", "sum", "max"}
    assert row["log"] in {"true", "false"}
    assert row["label"] and row["unit"] and row["description"]
    possible_low, possible_high = bounds(row["concept"], "possible")
    plausible_low, plausible_high = bounds(row["concept"], "plausible")
    assert possible_low <= plausible_low < plausible_high <= possible_high
    if row["log"] == "true":
        assert plausible_low > 0, "a logarithm needs positive values"


def test_aggregates_that_are_not_the_mean() -> None:
    assert {c: r["aggregate"] for c, r in CONCEPTS.items() if r["aggregate"] != "mean"} == {
        "urine": "sum",
        "mech_vent": "max",
    }


# ----------------------------------------------------------------------------------------------- sources


def test_sources_have_the_agreed_columns_and_name_each_item_once() -> None:
    assert list(SOURCES[0]) == ["source", "table", "item", "concept", "unit", "scale", "offset", "label", "value_from"]
    keys = Counter((r["source"], r["table"], r["item"], r["unit"].lower()) for r in SOURCES)
    assert [key for key, n in keys.items() if n > 1] == []


@pytest.mark.parametrize("row", SOURCES, ids=[f"{r['source']}-{r['item']}" for r in SOURCES])
def test_source_row_is_well_formed(row: Row) -> None:
    assert row["concept"] in CONCEPTS
    assert f"bronze.{row['source']}_{row['table']}" in EVENT_TABLES[row["source"]]
    assert float(row["scale"]) > 0
    assert math.isfinite(float(row["offset"]))
    assert row["value_from"] == "valuenum" or re.fullmatch(r"constant:\d+", row["value_from"])
    if row["source"] == "challenge2012":
        assert row["label"] == ""
    if row["source"].startswith("mimic"):
        assert row["label"]
        assert row["item"].isdigit()


def test_every_challenge_parameter_has_a_concept_of_its_own() -> None:
    items = {r["item"]: r["concept"] for r in SOURCES if r["source"] == "challenge2012"}
    assert set(items) == {*CHALLENGE_SERIES, "Height"}
    assert len(set(items.values())) == 38
    assert {items[i] for i in CHALLENGE_SERIES} == set(list(CONCEPTS)[:37])


def test_what_each_mimic_source_lacks() -> None:
    """MetaVision charts no GCS total (it is derived); everything else is mapped from all three sources."""
    for source, missing in {
        "challenge2012": {"gcs_eye", "gcs_verbal", "gcs_motor"},
        "mimiciii": set(),
        "mimiciv": {"gcs"},
    }.items():
        assert set(CONCEPTS) - {r["concept"] for r in SOURCES if r["source"] == source} == missing


@pytest.mark.parametrize(
    ("source", "table", "item", "raw", "expected"),
    [
        ("mimiciii", "chartevents", "678", 98.6, 37.0),
        ("mimiciv", "chartevents", "223761", 98.6, 37.0),
        ("mimiciv", "chartevents", "223761", 32.0, 0.0),
        ("mimiciii", "chartevents", "676", 37.0, 37.0),
        ("mimiciv", "chartevents", "226531", 150.0, 68.0388555),
        ("mimiciv", "chartevents", "226512", 68.0, 68.0),
        ("mimiciii", "chartevents", "920", 70.0, 177.8),
        ("mimiciv", "chartevents", "226707", 66.0, 167.64),
        ("mimiciv", "chartevents", "226730", 168.0, 168.0),
        ("mimiciv", "chartevents", "223835", 40.0, 0.4),
        ("mimiciii", "chartevents", "190", 0.4, 0.4),
        ("mimiciii", "labevents", "50816", 50.0, 0.5),
        ("challenge2012", "measurements", "FiO2", 0.5, 0.5),
        ("mimiciii", "outputevents", "40055", 0.0, 0.0),
    ],
)
def test_conversion_to_the_concepts_unit(source: str, table: str, item: str, raw: float, expected: float) -> None:
    assert convert(CONVERSIONS[source, table, item], raw) == pytest.approx(expected, abs=1e-9)


def test_ventilation_is_the_presence_of_a_row_in_mimic_and_a_value_in_the_challenge() -> None:
    found = {(r["source"] == "challenge2012", r["value_from"]) for r in SOURCES if r["concept"] == "mech_vent"}
    assert found == {(True, "valuenum"), (False, "constant:1")}
    assert {r["concept"] for r in SOURCES if r["value_from"] != "valuenum"} == {"mech_vent"}


@pytest.mark.parametrize(
    "item",
    [
        "490",  # alveolar, not arterial, oxygen
        "646",  # pulse oximetry
        "220277",  # pulse oximetry
        "619",  # the ventilator's set rate
        "224688",  # the ventilator's set rate
        "677",  # calculated from 678
        "679",  # calculated from 676
        "227488",  # bladder irrigant in
        "227489",  # bladder irrigant and urine out
        "50821",  # pO2 of any specimen
        "51478",  # urine glucose
        "580",  # weight of an earlier day
    ],
)
def test_lookalikes_stay_out(item: str) -> None:
    assert [r for r in SOURCES if r["item"] == item] == []


# ------------------------------------------------------------------------------------------- corrections


def test_corrections_have_the_agreed_columns() -> None:
    assert list(CORRECTIONS[0]) == ["source", "concept", "rule", "low", "high", "action", "scale", "offset"]
    keys = Counter((r["source"], r["concept"], r["rule"]) for r in CORRECTIONS)
    assert max(keys.values()) == 1


@pytest.mark.parametrize("rule", CORRECTIONS, ids=[f"{r['concept']}-{r['rule']}" for r in CORRECTIONS])
def test_correction_is_well_formed(rule: Row) -> None:
    assert rule["source"] in {"", *EVENT_TABLES}
    assert rule["concept"] == "*" or rule["concept"] in CONCEPTS
    assert re.fullmatch(r"[a-z][a-z0-9_]*", rule["rule"])
    low, high = interval(rule)
    assert low <= high
    if rule["action"] == "leave_out":
        assert (rule["scale"], rule["offset"]) == ("", "")
        return
    assert rule["action"] == "convert"
    possible_low, possible_high = bounds(rule["concept"], "possible")
    ends = sorted((convert(rule, low), convert(rule, high)))
    assert possible_low <= ends[0] <= ends[1] <= possible_high, "a corrected value must be a possible one"


@pytest.mark.parametrize("concept", CONCEPTS)
def test_a_plausible_value_is_never_corrected_and_rules_do_not_overlap(concept: str) -> None:
    for source in EVENT_TABLES:
        spans = sorted(interval(rule) for rule in rules_for(source, concept))
        low, high = bounds(concept, "plausible")
        if concept != "mech_vent":
            assert [s for s in spans if s[0] <= high and s[1] >= low] == []
        assert all(before[1] < after[0] for before, after in pairwise(spans))


@pytest.mark.parametrize(
    ("source", "concept", "raw", "expected", "outcome"),
    [
        ("challenge2012", "weight", -1, None, "sentinel_missing"),
        ("challenge2012", "height", -1, None, "sentinel_missing"),
        ("mimiciv", "map", -1, None, "impossible"),
        ("challenge2012", "urine", 0, 0.0, "kept"),
        ("challenge2012", "sys_abp", 0, None, "zero_pressure"),
        ("challenge2012", "ni_map", 0, None, "zero_pressure"),
        ("challenge2012", "hr", 0, None, "zero_not_measured"),
        ("challenge2012", "temp", 0, None, "zero_not_measured"),
        ("challenge2012", "temp", -17.8, None, "zero_fahrenheit"),
        ("challenge2012", "temp", 2.8, 37.04, "celsius_converted_twice"),
        ("mimiciv", "temp", 99.0, 37.222222222, "fahrenheit"),
        ("challenge2012", "temp", 26.5, 26.5, "kept"),
        ("challenge2012", "temp", 18.6, None, "impossible"),
        ("challenge2012", "ph", 735, 7.35, "ph_decimal_point_lost"),
        ("challenge2012", "ph", 73, 7.3, "ph_decimal_point_late"),
        ("challenge2012", "ph", 0.735, 7.35, "ph_decimal_point_early"),
        ("challenge2012", "ph", 94, None, "impossible"),
        ("challenge2012", "ph", 6.75, 6.75, "kept"),
        ("challenge2012", "pao2", 9.8, 98.0, "pao2_factor_ten"),
        ("challenge2012", "pao2", 7.47, None, "ph_recorded_as_pao2"),
        ("mimiciii", "sao2", 0.97, 97.0, "fraction"),
        ("mimiciii", "fio2", 0.004, 0.4, "fraction_taken_for_percent"),
        ("challenge2012", "fio2", 50, 0.5, "percent"),
        ("mimiciv", "fio2", 0.04, None, "impossible"),
        ("challenge2012", "height", 1.8, 180.0, "metres"),
        ("challenge2012", "height", 5.5, 167.64, "feet"),
        ("challenge2012", "height", 13.97, 167.64, "feet_taken_for_inches"),
        ("challenge2012", "height", 17.8, 178.0, "decimetres"),
        ("challenge2012", "height", 70, 177.8, "inches"),
        ("challenge2012", "height", 431.8, 170.0, "centimetres_taken_for_inches"),
        ("challenge2012", "height", 1750, 175.0, "millimetres"),
        ("challenge2012", "wbc", 12500, 12.5, "cells_per_microlitre"),
        ("challenge2012", "wbc", 0.1, 0.1, "kept"),
        ("challenge2012", "wbc", 528, 528.0, "kept"),
        ("challenge2012", "hr", 3.5, 20.0, "capped"),
        ("challenge2012", "gcs", 2, None, "impossible"),
        ("challenge2012", "weight", 0.6, None, "impossible"),
    ],
)
def test_worked_corrections(source: str, concept: str, raw: float, expected: float | None, outcome: str) -> None:
    value, what = clean(source, concept, raw)
    assert what == outcome
    assert value == (None if expected is None else pytest.approx(expected, abs=1e-9))


@given(st.sampled_from(sorted(CONCEPTS)), st.floats(-1e6, 1e6))
def test_what_comes_out_is_plausible_and_cleaning_it_again_changes_nothing(concept: str, raw: float) -> None:
    value, _ = clean("challenge2012", concept, raw)
    if value is not None:
        low, high = bounds(concept, "plausible")
        assert low <= value <= high
        if concept != "mech_vent":
            assert clean("challenge2012", concept, value) == (value, "kept")
