"""A table that several sources feed: each replaces its own part, and none can touch another's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from tiny_lake import TinyLake, bronze, module, table_of

from lakehouse.errors import ContractError
from lakehouse.table import Mapping, Rule


@pytest.fixture
def tiny(spark: SparkSession, tmp_path: Path) -> TinyLake:
    return TinyLake(tmp_path / "lake", spark)


def mapped(source: str, build: Callable[[DataFrame], DataFrame] | None = None) -> Any:
    """A source whose raw table has its name, mapped onto silver.stays."""

    def one(ward: DataFrame) -> DataFrame:
        return ward.select("id", F.lit("ward").alias("source"), "value")

    def other(clinic: DataFrame) -> DataFrame:
        return clinic.select("id", F.lit("clinic").alias("source"), "value")

    name = f"bronze.{source}"
    function = build or {"ward": one, "clinic": other}[source]
    return module(f"silver.sources.{source}", MAPPINGS=(Mapping(source, "silver.stays", (name,), function, (name,)),))


STAYS = table_of(
    "silver.stays",
    lambda mapped: mapped.select("*"),
    "id BIGINT NOT NULL, source STRING NOT NULL COMMENT 'of the stay', value DOUBLE",
    inputs=("mapped",),
    partition_by=("source",),
    rules=(Rule("positive", "value > 0"),),
)
SOURCES = bronze("bronze.ward", source="ward"), bronze("bronze.clinic", source="clinic")


@pytest.mark.engine
def test_a_source_replaces_its_own_rows_alone(tiny: TinyLake) -> None:
    modules = *SOURCES, STAYS, mapped("ward"), mapped("clinic")
    tiny.put("bronze.ward", [{"id": 1, "value": 1.0}, {"id": 2, "value": -2.0}])
    tiny.put("bronze.clinic", [{"id": 1, "value": 10.0}, {"id": 3, "value": -3.0}])
    assert [o.status for o in tiny.run(*modules).values()] == ["built", "built"]
    quarantine = [(2, "silver.stays[ward]", "run-1"), (3, "silver.stays[clinic]", "run-1")]
    assert tiny.rows("silver.stays") == [(1, "clinic", 10.0), (1, "ward", 1.0)]
    assert tiny.rows("silver.stays_quarantine", "id", "_node", "_run_id") == quarantine
    tiny.put("bronze.ward", [{"id": 4, "value": 4.0}])
    outcomes = tiny.run(*modules)
    assert {name: o.status for name, o in outcomes.items()} == {
        "silver.stays[ward]": "built",
        "silver.stays[clinic]": "unchanged",
    }
    assert outcomes["silver.stays[ward]"].rows_in == 3
    assert tiny.rows("silver.stays") == [(1, "clinic", 10.0), (1, "ward", 1.0), (4, "ward", 4.0)]
    quarantine[0] = (2, "silver.stays[ward]", "run-2")
    assert tiny.rows("silver.stays_quarantine", "id", "_node", "_run_id") == quarantine
    fields = tiny.lake._delta("silver.stays").schema().fields
    assert [(f.nullable, f.metadata) for f in fields] == [(False, {}), (False, {"comment": "of the stay"}), (True, {})]
    assert tiny.lake._delta("silver.stays").metadata().partition_columns == ["source"]
    assert tiny.staged() == []


def test_a_source_cannot_write_into_another(tiny: TinyLake) -> None:
    def lost(ward: DataFrame) -> DataFrame:
        return ward.select("id", F.lit("clinic").alias("source"), "value")

    tiny.put("bronze.clinic", [{"id": 1, "value": 1.0}])
    tiny.put("bronze.ward", [{"id": 2, "value": 1.0}])
    with pytest.raises(ContractError, match=r"silver.stays: rows break of_its_source \(1 rows\); nothing was written"):
        tiny.run(*SOURCES, STAYS, mapped("clinic"), mapped("ward", lost))
    assert tiny.rows("silver.stays") == [(1, "clinic", 1.0)]


def test_a_source_without_raw_files_is_skipped(tiny: TinyLake) -> None:
    reader = table_of("gold.ids", lambda stays: stays.select("id"), inputs=("silver.stays",))
    modules = *SOURCES, STAYS, mapped("ward"), mapped("clinic"), reader
    outcomes = tiny.run(*modules)
    assert [(o.status, o.note) for o in outcomes.values()] == [
        ("skipped", "no raw files of ward"),
        ("skipped", "no raw files of clinic"),
        ("built", ""),
    ]
    assert tiny.rows("silver.stays") == tiny.rows("gold.ids") == []
    tiny.put("bronze.clinic", [{"id": 1, "value": 10.0}])
    assert [o.status for o in tiny.run(*modules).values()] == ["skipped", "built", "built"]
    assert tiny.rows("gold.ids") == [(1,)]


def test_a_source_of_which_a_table_is_missing_is_refused(tiny: TinyLake) -> None:
    def joined(ward: DataFrame, notes: DataFrame) -> DataFrame:
        return ward.join(notes, "id").select("id", F.lit("ward").alias("source"), "value")

    inputs = ("bronze.ward", "bronze.notes")
    part = module("m", MAPPINGS=(Mapping("ward", "silver.stays", inputs, joined),))
    tiny.put("bronze.ward", [{"id": 1}])
    with pytest.raises(ContractError, match=r"^silver.stays\[ward\] needs bronze.notes, which the lake lacks"):
        tiny.run(*SOURCES, bronze("bronze.notes"), STAYS, part)


@pytest.mark.engine
def test_a_part_reads_its_own_source_alone_and_stays_up_to_date_when_another_changes(tiny: TinyLake) -> None:
    def placed(stays: DataFrame) -> DataFrame:
        return stays.select("id", "source")

    def events(source: str) -> Any:
        return module(
            f"silver.sources.{source}_events", MAPPINGS=(Mapping(source, "silver.events", ("silver.stays",), placed),)
        )

    ddl = "id BIGINT NOT NULL, source STRING NOT NULL"
    table = table_of(
        "silver.events", lambda mapped: mapped.select("*"), ddl, inputs=("mapped",), partition_by=("source",)
    )
    modules = *SOURCES, STAYS, mapped("ward"), mapped("clinic"), table, events("ward"), events("clinic")
    tiny.put("bronze.ward", [{"id": 1, "value": 1.0}])
    tiny.put("bronze.clinic", [{"id": 1, "value": 10.0}, {"id": 3, "value": 3.0}])
    tiny.run(*modules)
    assert tiny.rows("silver.events") == [(1, "clinic"), (1, "ward"), (3, "clinic")]
    tiny.put("bronze.clinic", [{"id": 4, "value": 4.0}])
    assert {name: o.status for name, o in tiny.run(*modules).items()} == {
        "silver.stays[ward]": "unchanged",
        "silver.stays[clinic]": "built",
        "silver.events[ward]": "unchanged",
        "silver.events[clinic]": "built",
    }
    assert tiny.rows("silver.events") == [(1, "clinic"), (1, "ward"), (3, "clinic"), (4, "clinic")]
