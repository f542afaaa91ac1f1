"""What the silver layer's code says of tables and concepts agrees with the clinical dictionary and the raw files."""

import csv
import gzip
from pathlib import Path

from lakehouse.reference import read_dictionary
from lakehouse.registry import registry
from silver import derived
from silver.sources import mimic, mimiciii, mimiciv

NO_ICU = {"Neuro Intermediate", "Neuro Stepdown"}


def test_every_table_that_the_dictionary_names_feeds_events() -> None:
    named = {(str(row["source"]), str(row["table"])) for row in read_dictionary("conf.concept_sources")}
    consumed = {
        (node.mapping.source, name.split("_", 1)[1])
        for node in registry().nodes
        if node.mapping and node.table.name == "silver.events"
        for name in node.consumes
    }
    assert named <= consumed
    assert {table for source, table in consumed if source.startswith("mimic")} == set(mimic.PRECEDENCE)


def test_derived_concepts_and_their_parts_are_concepts() -> None:
    concepts = {row["concept"]: row["unit"] for row in read_dictionary("conf.concepts")}
    for whole, parts in derived.PARTS.items():
        assert {concepts[part] for part in parts} == {concepts[whole]}
        assert len(derived.WEIGHTS[whole]) == len(parts)
    assert derived.PARTS.keys() == derived.WEIGHTS.keys() == derived.DIVISORS.keys()


def test_every_care_unit_of_the_real_files_is_known(real_raw: Path) -> None:
    def units(pattern: str) -> set[str]:
        paths = [p for p in real_raw.rglob("*") if p.name.lower() == "icustays.csv.gz" and pattern in str(p)]
        return {row["first_careunit"] for p in paths for row in csv.DictReader(gzip.open(p, "rt"))}

    assert units("mimiciii") <= set(mimiciii.ICU_TYPES)
    assert units("mimiciv") - NO_ICU <= set(mimiciv.ICU_TYPES)
    assert units("mimiciii") and units("mimiciv")
