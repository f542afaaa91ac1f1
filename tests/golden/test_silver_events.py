"""events: every cleaning quirk, rows in beside rows out, and every raw row accounted for.

All cases of a source are built at once, each with stays of its own: a build takes JVM Spark seconds whatever its rows.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from silver_frames import PLAIN, dictionary, judged, table_rows

from silver import events
from silver.sources import challenge2012
from tests.conftest import ENGINE, assert_rows

pytestmark = pytest.mark.engine

CHALLENGE = "bronze.challenge2012_measurements"
STAYS = "silver.stays"
MAPPED = (
    "source STRING, stay_id STRING, source_table STRING, source_item STRING, minute INT, time TIMESTAMP, "
    "source_value DOUBLE, source_unit STRING, _from STRING, _left_out STRING, _precedence INT"
)
KEY = ("stay_id", "concept", "minute", "_left_out", "source_item", "source_value")

ROW: dict[str, Any] = {
    "source": "challenge2012", "time": None, "source_table": "measurements", "correction": None, "measurements": 1,
    "_left_out": None, "_rows": 1, "_merged_as": None, "_from": None, "_broken": "", "stay_id": "challenge2012-1",
}  # fmt: skip
LEFT_OUT = {**dict.fromkeys(events.TABLE.column_names), "_from": None, "_merged_as": None, "_broken": ""}


@dataclass(frozen=True)
class Case:
    """Rows of a source, and what becomes of them: events (of the concepts `of` alone), and rows left out."""

    rows: tuple[tuple[Any, ...], ...]
    kept: tuple[dict[str, Any], ...]
    left_out: tuple[dict[str, Any], ...] = ()
    of: tuple[str, ...] = ()


def challenge(
    spark: SparkSession, rows: Iterable[tuple[int, str, str | None, float | None]], known: Iterable[int] = (1, 2)
) -> DataFrame:
    """events of (record, time, parameter, value) rows; the records `known` are known stays."""
    measured = table_rows(
        spark,
        CHALLENGE,
        *(
            {"record_set": "a", "record_id": r, "time": t, "parameter": p, "value": v, "_source_row": i}
            for i, (r, t, p, v) in enumerate(rows, 1)
        ),
    )
    stays = table_rows(spark, STAYS, *({"stay_id": f"challenge2012-{i}", "source": "challenge2012"} for i in known))
    mapped = challenge2012.events(measured, PLAIN)
    return events.build(mapped, stays, **dictionary(spark))


def mimic(spark: SparkSession, rows: Iterable[tuple[str, str, str, int, float | None, str | None]]) -> DataFrame:
    """events of (stay, table, item, minute, value, unit) rows."""
    order = {"labevents": 0, "chartevents": 1, "outputevents": 2, "procedureevents_mv": 3}
    start = datetime(2150, 1, 1)
    data = [
        ("mimiciii", stay, t, i, m, start.replace(minute=m), v, u, f"bronze.mimiciii_{t}", None, order[t])
        for stay, t, i, m, v, u in rows
    ]
    stays = ({"stay_id": stay, "source": "mimiciii"} for stay in dict.fromkeys(row[0] for row in rows))
    return events.build(spark.createDataFrame(data, MAPPED), table_rows(spark, STAYS, *stays), **dictionary(spark))


def event(
    concept: str, minute: int, value: float, unit: str, item: str | None, source_value: float | None, **more: Any
) -> dict[str, Any]:
    return {
        **ROW, "concept": concept, "minute": minute, "value": value, "unit": unit, "source_item": item,
        "source_value": source_value, **more,
    }  # fmt: skip


def of_mimic(
    table: str, concept: str, minute: int, value: float, unit: str, item: str | None, **more: Any
) -> dict[str, Any]:
    defaults = {
        "source": "mimiciii", "stay_id": "s", "source_table": table, "time": datetime(2150, 1, 1, 0, minute),
        "_from": f"bronze.mimiciii_{table}",
    }  # fmt: skip
    return event(concept, minute, value, unit, item, more.pop("source_value", value), **{**defaults, **more})


def left_out(reason: str, rows: int = 1, **more: Any) -> dict[str, Any]:
    return {**LEFT_OUT, "_left_out": reason, "_rows": rows, **more}


def written(frame: DataFrame) -> DataFrame:
    """The frame after the runner's checks; of a left-out row only what is counted: reason, rows, input."""
    ruled = judged(frame, events.TABLE)
    kept = F.col("_left_out").isNull()
    return ruled.select(*(c if c[0] == "_" else F.when(kept, F.col(c)).alias(c) for c in ruled.columns))


TWICE: dict[str, Any] = {"_rows": 2, "measurements": 2}
DERIVED: dict[str, Any] = {
    "source_table": "derived", "correction": "derived", "measurements": 0, "_from": "derived", "source_value": None,
}  # fmt: skip

CHALLENGE_CASES = {
    "values are corrected, capped or refused by rule": Case(
        rows=(
            (1, "00:07", "HR", 80.0),
            (1, "00:08", "HR", 310.0),
            (1, "00:09", "HR", 10.0),
            (1, "00:10", "HR", 400.0),
            (1, "01:00", "Temp", 98.6),
            (1, "01:30", "Temp", 37.5),
            (1, "02:00", "pH", 735.0),
            (1, "02:01", "pH", 73.0),
            (1, "02:02", "pH", 7.31),
            (1, "02:03", "pH", 50.0),
            (1, "03:00", "PaO2", 9.5),
            (1, "03:01", "PaO2", 7.4),
            (1, "04:00", "Urine", 0.0),
            (1, "48:00", "MechVent", 1.0),
        ),
        kept=(
            event("hr", 7, 80.0, "bpm", "HR", 80.0),
            event("hr", 8, 300.0, "bpm", "HR", 310.0, correction="capped_high"),
            event("hr", 9, 20.0, "bpm", "HR", 10.0, correction="capped_low"),
            event("hr", 10, 400.0, "bpm", "HR", 400.0, _broken="possible_value"),
            event("temp", 60, 37.0, "degC", "Temp", 98.6, correction="fahrenheit"),
            event("temp", 90, 37.5, "degC", "Temp", 37.5),
            event("ph", 120, 7.35, "pH", "pH", 735.0, correction="ph_decimal_point_lost"),
            event("ph", 121, 7.3, "pH", "pH", 73.0, correction="ph_decimal_point_late"),
            event("ph", 122, 7.31, "pH", "pH", 7.31),
            event("ph", 123, 50.0, "pH", "pH", 50.0, _broken="possible_value"),
            event("pao2", 180, 95.0, "mmHg", "PaO2", 9.5, correction="pao2_factor_ten"),
            event("urine", 240, 0.0, "mL", "Urine", 0.0),
            event("mech_vent", 2880, 1.0, "flag", "MechVent", 1.0),
        ),
        left_out=(left_out("ph_recorded_as_pao2"),),
    ),
    "rows that are no measurement are left out under their reason": Case(
        rows=(
            (1, "00:00", "RecordID", 1.0),
            (1, "00:00", "HR", 70.0),
            (1, "00:00", "Age", 54.0),
            (1, "00:00", "Gender", -1.0),
            (1, "00:00", "Height", -1.0),
            (1, "00:00", "ICUType", 4.0),
            (1, "00:00", "Weight", 81.0),
            (1, "00:10", "Weight", -1.0),
            (1, "00:10", "Temp", -1.0),
            (1, "00:11", None, 3.0),
            (1, "noon", "HR", 70.0),
            (1, "00:12", "HR", None),
            (1, "00:13", "SysABP", 0.0),
            (1, "00:13", "DiasABP", 0.0),
            (1, "00:14", "Unheard", 5.0),
            (3, "00:15", "HR", 70.0),
        ),
        kept=(
            event("hr", 0, 70.0, "bpm", "HR", 70.0),
            event("weight", 0, 81.0, "kg", "Weight", 81.0),
        ),
        left_out=(
            left_out("descriptor", 5),
            left_out("sentinel_missing", 2),
            left_out("blank_parameter"),
            left_out("no_time"),
            left_out("no_numeric_value"),
            left_out("zero_pressure", 2),
            left_out("unmapped_item"),
            left_out("no_stay"),
        ),
    ),
    "one minute of a concept is one row": Case(
        rows=(
            (1, "00:01", "HR", 80.0),
            (1, "00:01", "HR", 80.0),
            (1, "00:02", "HR", 90.0),
            (1, "00:02", "HR", 80.0),
            (1, "00:02", "HR", 90.0),
            (2, "00:02", "HR", 70.0),
            (1, "00:03", "Urine", 50.0),
            (1, "00:03", "Urine", 120.0),
            (1, "00:04", "Urine", 50.0),
            (1, "00:04", "Urine", 50.0),
            (1, "00:05", "HR", 500.0),
            (1, "00:05", "HR", 500.0),
            (1, "00:05", "HR", 600.0),
            (1, "00:05", "HR", 60.0),
        ),
        kept=(
            event("hr", 1, 80.0, "bpm", "HR", 80.0, _merged_as="duplicate", **TWICE),
            event(
                "hr", 2, 85.0, "bpm", "HR", None, _merged_as="conflicting_value", correction="conflicting_value",
                _rows=3, measurements=3,
            ),
            event("hr", 2, 70.0, "bpm", "HR", 70.0, stay_id="challenge2012-2"),
            event("urine", 3, 170.0, "mL", "Urine", None, _merged_as="summed", correction="summed", **TWICE),
            event("urine", 4, 50.0, "mL", "Urine", 50.0, _merged_as="duplicate", **TWICE),
            event("hr", 5, 60.0, "bpm", "HR", 60.0),
            event("hr", 5, 500.0, "bpm", "HR", 500.0, _broken="possible_value", _merged_as="duplicate", **TWICE),
            event("hr", 5, 600.0, "bpm", "HR", 600.0, _broken="possible_value"),
        ),
    ),
    "mean pressure follows from both others where none is charted": Case(
        rows=(
            (1, "00:01", "SysABP", 120.0),
            (1, "00:01", "DiasABP", 60.0),
            (1, "00:02", "SysABP", 120.0),
            (1, "00:02", "DiasABP", 60.0),
            (1, "00:02", "MAP", 77.0),
            (1, "00:03", "SysABP", 120.0),
            (1, "00:04", "NISysABP", 100.0),
            (1, "00:04", "NIDiasABP", 70.0),
            (1, "00:05", "SysABP", 120.0),
            (1, "00:05", "DiasABP", 201.0),
            (1, "00:06", "SysABP", 120.0),
            (1, "00:06", "DiasABP", 60.0),
            (1, "00:06", "MAP", 0.0),
        ),
        of=("map", "ni_map"),
        kept=(
            event("map", 1, 80.0, "mmHg", "sys_abp + dias_abp", **DERIVED),
            event("map", 2, 77.0, "mmHg", "MAP", 77.0),
            event("ni_map", 4, 80.0, "mmHg", "ni_sys_abp + ni_dias_abp", **DERIVED),
            event("map", 6, 80.0, "mmHg", "sys_abp + dias_abp", **DERIVED),
        ),
        left_out=(left_out("zero_pressure"),),
    ),
}  # fmt: skip

COPY = {"_from": "bronze.mimiciii_chartevents"}
CONVERTED = {"source_value": 160.0, "correction": "unit_conversion"}
GCS_PARTS = (("220739", 4.0), ("223900", 1.0), ("223901", 6.0))
MIMIC_CASES = {
    "a row for one unit goes before the row for any": Case(
        rows=(
            ("chartevents", "226512", 1, 80.0, None),
            ("chartevents", "226512", 2, 160.0, " LBS"),
            ("chartevents", "226512", 3, 80.0, "kg"),
            ("chartevents", "223849", 4, None, None),
            ("procedureevents_mv", "225792", 5, 300.0, "min"),
            ("chartevents", "220045", 6, 345.0, "bpm"),
        ),
        kept=(
            of_mimic("chartevents", "weight", 1, 80.0, "kg", "226512"),
            of_mimic("chartevents", "weight", 2, 80.0, "kg", "226512", **CONVERTED),
            of_mimic("chartevents", "weight", 3, 80.0, "kg", "226512"),
            of_mimic("chartevents", "mech_vent", 4, 1.0, "flag", "223849", source_value=None),
            of_mimic("procedureevents_mv", "mech_vent", 5, 1.0, "flag", "225792", source_value=300.0),
        ),
        left_out=(left_out("made_up_high", **COPY),),
    ),
    "the laboratory speaks before the bedside copy": Case(
        rows=(
            ("chartevents", "225664", 1, 110.0, "mg/dL"),
            ("labevents", "50931", 1, 110.0, "mg/dL"),
            ("labevents", "50931", 2, 140.0, "mg/dL"),
            ("chartevents", "225664", 2, 150.0, "mg/dL"),
            ("chartevents", "225664", 3, 90.0, "mg/dL"),
            ("outputevents", "226559", 4, 50.0, "mL"),
            ("outputevents", "226560", 4, 50.0, "mL"),
        ),
        kept=(
            of_mimic("labevents", "glucose", 1, 110.0, "mg/dL", "50931"),
            of_mimic("labevents", "glucose", 2, 140.0, "mg/dL", "50931"),
            of_mimic("chartevents", "glucose", 3, 90.0, "mg/dL", "225664"),
            of_mimic(
                "outputevents", "urine", 4, 100.0, "mL", None, source_table=None, source_value=50.0,
                correction="summed", _merged_as="summed", **TWICE,
            ),
        ),
        left_out=(left_out("duplicate", **COPY), left_out("conflicting_value", **COPY)),
    ),
    "GCS is the sum of its parts where no total is charted": Case(
        rows=(
            *(("chartevents", item, 1, value, None) for item, value in GCS_PARTS),
            *(("chartevents", item, 2, value, None) for item, value in GCS_PARTS),
            ("chartevents", "198", 2, 10.0, None),
            *(("chartevents", item, 3, value, None) for item, value in GCS_PARTS[:2]),
        ),
        of=("gcs",),
        kept=(
            of_mimic("derived", "gcs", 1, 11.0, "points", "gcs_eye + gcs_verbal + gcs_motor", **DERIVED),
            of_mimic("chartevents", "gcs", 2, 10.0, "points", "198"),
        ),
    ),
}  # fmt: skip


def record_of(name: str, record: int) -> int:
    """The number that a Challenge case's record has among the records of all cases."""
    return 10 * (1 + list(CHALLENGE_CASES).index(name)) + record


def stays_of(name: str) -> dict[str, str]:
    """The known stays of a case, and what the case calls them."""
    if name in MIMIC_CASES:
        return {name: "s"}
    return {f"challenge2012-{record_of(name, record)}": f"challenge2012-{record}" for record in (1, 2)}


@pytest.fixture(scope="module")
def outcomes(spark: SparkSession) -> list[dict[str, Any]]:
    """What became of the rows of all cases."""
    measured = [(record_of(name, r), *rest) for name, case in CHALLENGE_CASES.items() for r, *rest in case.rows]
    known = [record_of(name, record) for name in CHALLENGE_CASES for record in (1, 2)]
    charted = [(name, *row) for name, case in MIMIC_CASES.items() for row in case.rows]
    frames = (challenge(spark, measured, known), mimic(spark, charted))
    return [row.asDict(recursive=True) for frame in frames for row in written(frame).collect()]


CASES = {**CHALLENGE_CASES, **MIMIC_CASES}


@pytest.mark.parametrize("name", CASES)
def test_events_of(name: str, outcomes: list[dict[str, Any]]) -> None:
    case, own = CASES[name], stays_of(name)
    there = [{**row, "stay_id": own[row["stay_id"]]} for row in outcomes if row["stay_id"] in own]
    assert_rows([row for row in there if not case.of or row["concept"] in case.of], case.kept, KEY)


def test_no_event_is_of_another_stay(outcomes: list[dict[str, Any]]) -> None:
    known = {stay for name in CASES for stay in stays_of(name)}
    assert {row["stay_id"] for row in outcomes if not row["_left_out"]} <= known


def test_rows_left_out_are_counted_under_their_reason(outcomes: list[dict[str, Any]]) -> None:
    def counted(rows: Iterable[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
        sums = Counter[tuple[Any, ...]]()
        for row in rows:
            sums[tuple(value for column, value in sorted(row.items()) if column != "_rows")] += row["_rows"]
        return sums

    wanted = (row for case in CASES.values() for row in case.left_out)
    assert counted(row for row in outcomes if row["_left_out"]) == counted(wanted)


MEASURED = st.tuples(
    st.sampled_from([1, 2, 3]),
    st.sampled_from(["00:00", "00:01", "noon"]),
    st.sampled_from(["HR", "Temp", "Urine", "SysABP", "DiasABP", "MAP", "Age", "Unheard", None]),
    st.sampled_from([-1.0, 0.0, 36.6, 37.1, 98.6, 120.0, 999.0, 123456.0, None]),
)


@settings(
    max_examples=12 if ENGINE == "sail" else 2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=st.lists(MEASURED, min_size=1, max_size=25), data=st.data())
def test_every_row_is_accounted_for_and_order_does_not_matter(
    spark: SparkSession, rows: list[tuple[int, str, str | None, float | None]], data: st.DataObject
) -> None:
    def outcome(given_rows: list[Any]) -> list[tuple[Any, ...]]:
        return sorted((tuple(row) for row in written(challenge(spark, given_rows)).collect()), key=str)

    there = outcome(rows)
    columns = [*events.TABLE.column_names, "_left_out", "_rows", "_merged_as", "_from", "_broken"]
    named = [dict(zip(columns, row, strict=True)) for row in there]
    assert sum(row["_rows"] for row in named if row["_from"] is None) == len(rows)
    kept = [(r["stay_id"], r["concept"], r["minute"]) for r in named if not r["_left_out"] and not r["_broken"]]
    assert len(kept) == len(set(kept))
    assert outcome(data.draw(st.permutations(rows))) == there
