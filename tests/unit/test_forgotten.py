"""Who was forgotten: digests that only the lake's secret gives, a secret that only the right key unwraps."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from pyspark.sql import SparkSession

from lakehouse.errors import ConfigError
from lakehouse.records.forgotten import REASON, Forgotten, Secret
from lakehouse.registry import registry
from lakehouse.table import LEFT_OUT, RAW_TEXT

KEYS = st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).map(SecretStr))
"""Settings refuse a NUL: HMAC takes keys for the same that differ in NULs at their end."""


@given(KEYS, KEYS)
def test_a_secret_is_unwrapped_by_the_key_that_wrapped_it_alone(key: SecretStr | None, other: SecretStr | None) -> None:
    value = secrets.token_bytes(32)
    wrapped = Secret.wrap(value, key).wrapped
    assert Secret.unwrap(wrapped, key).value == value
    assert value.hex() not in wrapped
    if key != other:
        with pytest.raises(ConfigError, match="forgotten under another pseudonym key"):
            Secret.unwrap(wrapped, other)


def test_a_patient_is_known_by_source_and_id_and_in_one_lake_alone() -> None:
    one, other = (Forgotten(Secret.wrap(secrets.token_bytes(32), None), frozenset(), {}) for _ in range(2))
    digest = one.digest("mimiciii", "10006")
    assert len(digest) == 32 and "10006" not in digest
    assert digest not in (other.digest("mimiciii", "10006"), one.digest("mimiciv", "10006"))
    known = Forgotten(one.secret, frozenset([digest]), {})
    assert known.holds("mimiciii", "10006") and not known.holds("mimiciii", "10007")
    assert known.names_one("mimiciii", "set-a/10006.txt.gz") and not known.names_one("mimiciii", "10006/10007.txt")


@pytest.mark.engine
def test_rows_of_a_patient_are_left_out_also_those_that_did_not_parse(spark: SparkSession) -> None:
    nobody = Forgotten(Secret.wrap(secrets.token_bytes(32), None), frozenset(), {})
    known = Forgotten(nobody.secret, frozenset([nobody.digest("mimiciii", "10006")]), {})
    table = registry().tables["bronze.mimiciii_labevents"]
    given = [(1, 10006, None), (2, 10007, None), (3, None, '3,"10006",high'), (4, None, "4,100061,high")]
    rows = spark.createDataFrame(given, f"row_id BIGINT, subject_id BIGINT, `{RAW_TEXT}` STRING")
    left_out = known.leave_out(rows, table).where(f"{LEFT_OUT} = '{REASON}'")
    assert sorted(left_out.select("row_id").collect()) == [(1,), (3,)]
    assert LEFT_OUT not in nobody.leave_out(rows, table).columns


def test_every_raw_table_says_whose_rows_it_holds_or_holds_no_patients() -> None:
    raw = {table.name: table for table in registry().raw_tables()}
    named = {name for name, t in raw.items() if {"subject_id", "record_id"} & set(t.column_names)}
    assert {name for name, t in raw.items() if t.raw and t.raw.patient} == named
    assert {name.split(".")[1].split("_", 1)[1] for name in raw.keys() - named} == {
        "caregiver", "caregivers", "d_cpt", "d_hcpcs", "d_icd_diagnoses", "d_icd_procedures", "d_items", "d_labitems",
        "provider",
    }  # fmt: skip
