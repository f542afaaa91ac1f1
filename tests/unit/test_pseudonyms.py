"""Identifiers past bronze: the published function of key, source and id; the key itself is nowhere to be seen."""

import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from pyspark.sql import DataFrame, SparkSession
from tiny_lake import TinyLake, bronze, table_of

from lakehouse.pseudonyms import Identifier, pseudonym

KEY = "a key that lives outside the lake"
KEYED, PLAIN = Identifier(SecretStr(KEY)), Identifier()


def digest(text: str, key: str = KEY) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()[:32]


def ids(spark: SparkSession, *values: int | None) -> DataFrame:
    return spark.createDataFrame([(v,) for v in values], "subject_id BIGINT")


@pytest.mark.engine
def test_a_keyed_identifier_is_the_hmac_of_source_and_id(spark: SparkSession) -> None:
    frame = ids(spark, 10006, None, 10006, 7).select(KEYED("mimiciii", "subject_id").alias("id"))
    assert frame.schema.simpleString() == "struct<id:string>"
    patient = f"mimiciii-{digest('mimiciii-10006')}"
    assert [row.id for row in frame.collect()] == [patient, None, patient, f"mimiciii-{digest('mimiciii-7')}"]


def test_without_a_key_it_names_the_source(spark: SparkSession) -> None:
    frame = ids(spark, 10006, None)
    assert frame.select(PLAIN("mimiciii", "subject_id")).collect() == [("mimiciii-10006",), (None,)]
    assert frame.select(PLAIN("mimiciii", "subject_id", "note")).collect() == [("mimiciii-note-10006",), (None,)]


@pytest.mark.engine
@pytest.mark.parametrize("values", [(None,), (None, None, None), ()])
def test_nulls_alone_stay_null(spark: SparkSession, values: tuple[int | None, ...]) -> None:
    frame = ids(spark, *values).select(KEYED("mimiciii", "subject_id").alias("id"))
    assert [row.id for row in frame.collect()] == list(values)


def test_it_is_the_same_in_every_batch(spark: SparkSession) -> None:
    frame = spark.range(30_000).selectExpr("id % 3 AS subject_id").repartition(4)
    found = frame.select(KEYED("mimiciv", "subject_id").alias("id")).groupBy("id").count().collect()
    assert {tuple(row) for row in found} == {(f"mimiciv-{digest(f'mimiciv-{i}')}", 10_000) for i in range(3)}


def test_sources_kinds_and_keys_differ(spark: SparkSession) -> None:
    columns = [
        KEYED("mimiciii", "subject_id"),
        KEYED("mimiciv", "subject_id"),
        KEYED("mimiciii", "subject_id", "admission"),
        Identifier(SecretStr("another key"))("mimiciii", "subject_id"),
    ]
    (row,) = ids(spark, 10006).select(*(c.alias(f"c{i}") for i, c in enumerate(columns))).collect()
    assert len({text.rsplit("-", 1)[1] for text in row}) == 4
    assert row[2].startswith("mimiciii-admission-")


def test_text_ids_are_hashed_as_they_are(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("10006-DS-5",)], "note_id STRING")
    assert frame.select(KEYED("mimiciv", "note_id")).collect() == [(f"mimiciv-{digest('mimiciv-10006-DS-5')}",)]


@given(st.text(max_size=20), st.text(max_size=20))
def test_the_function_is_hmac_of_label_and_value(label: str, value: str) -> None:
    assert pseudonym(KEY.encode(), label, value) == label + digest(label + value)


def test_the_fingerprint_tells_keys_apart_without_telling_them() -> None:
    assert PLAIN.fingerprint == "plain"
    assert KEYED.fingerprint == Identifier(SecretStr(KEY)).fingerprint
    assert KEYED.fingerprint != Identifier(SecretStr("another key")).fingerprint
    assert KEY not in KEYED.fingerprint


@pytest.mark.engine
def test_the_key_is_nowhere_to_be_seen(spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def build(readings: DataFrame, identify: Identifier) -> DataFrame:
        return readings.select(identify("ward", "id").alias("id"))

    ids(spark, 1).select(KEYED("ward", "subject_id").alias("id")).explain(True)
    plan = capsys.readouterr().out
    assert "pseudonyms" in plan
    tiny = TinyLake(tmp_path, spark, identify=KEYED)
    tiny.put("bronze.readings", [{"id": 1}, {"id": 2}])
    tiny.run(
        bronze("bronze.readings"),
        table_of(
            "silver.people", build, "id STRING NOT NULL", inputs=("bronze.readings",), consumes=("bronze.readings",)
        ),
    )
    assert tiny.rows("silver.people") == sorted((f"ward-{digest(f'ward-{i}')}",) for i in (1, 2))
    secret = KEY.encode()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 6
    assert not [path for path in written if secret in path.read_bytes()]
    assert KEY not in f"{plan}{KEYED!r}{KEYED}{tiny.lake.records('ops.runs')}"


def test_another_key_makes_the_tables_anew(spark: SparkSession, tmp_path: Path) -> None:
    def build(readings: DataFrame, identify: Identifier) -> DataFrame:
        return readings.select(identify("ward", "id").alias("id"))

    tiny = TinyLake(tmp_path, spark)
    tiny.put("bronze.readings", [{"id": 1}])
    modules = bronze("bronze.readings"), table_of("silver.p", build, "id STRING", inputs=("bronze.readings",))
    assert tiny.run(*modules)["silver.p"].status == "built"
    assert tiny.rows("silver.p") == [("ward-1",)]
    tiny.identify = KEYED
    assert tiny.run(*modules)["silver.p"].status == "built"
    assert tiny.rows("silver.p") == [(f"ward-{digest('ward-1')}",)]
    assert tiny.run(*modules)["silver.p"].status == "unchanged"
