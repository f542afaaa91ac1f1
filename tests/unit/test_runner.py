"""The runner on a lake of a few rows: accounting, failures that change nothing, and doing only what is out of date."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from tiny_lake import TinyLake, bronze, same, table_of

from lakehouse import reference
from lakehouse.errors import ConfigError, ContractError
from lakehouse.registry import build_registry
from lakehouse.table import Rule
from lakehouse.tasks import Task

READINGS = bronze("bronze.readings")
CONSUMED: dict[str, Any] = {"inputs": ("bronze.readings",), "consumes": ("bronze.readings",)}


@pytest.fixture
def tiny(spark: SparkSession, tmp_path: Path) -> TinyLake:
    return TinyLake(tmp_path / "lake", spark)


def clean(readings: DataFrame) -> DataFrame:
    """Leaves sentinels out, merges equal ids, collapses what is left out to one row a reason."""
    reason = F.when(F.col("value") == -1, "sentinel").when(F.col("value").isNull(), "blank")
    marked = readings.withColumn("_left_out", reason)
    kept = (
        marked.where("_left_out IS NULL").groupBy("id").agg(F.max("value").alias("value"), F.count("*").alias("_rows"))
    )
    lost = marked.where("_left_out IS NOT NULL").groupBy("_left_out").agg(F.count("*").alias("_rows"))
    return kept.withColumn("_merged_as", F.lit("same_id")).unionByName(lost, allowMissingColumns=True)


CLEANED = table_of(
    "silver.cleaned",
    clean,
    "id BIGINT NOT NULL COMMENT 'the reading''s, unique', value DOUBLE",
    rules=(Rule("possible", "value < 300"), Rule("usual", "value < 200", "warn")),
    **CONSUMED,
)
SIX = [
    {"id": 1, "value": 80.0},
    {"id": 1, "value": 90.0},
    {"id": 2, "value": 250.0},
    {"id": 3, "value": 999.0},
    {"id": 4, "value": -1.0},
    {"id": 5, "value": -1.0},
    {"id": 6, "value": None},
]


@pytest.mark.engine
def test_a_run_accounts_for_every_row(tiny: TinyLake) -> None:
    tiny.put("bronze.readings", SIX)
    outcome = tiny.run(READINGS, CLEANED)["silver.cleaned"]
    assert tiny.rows("silver.cleaned") == [(1, 90.0), (2, 250.0)]
    assert tiny.rows("silver.cleaned_quarantine", "id", "_rules") == [(3, ["possible"])]
    assert (outcome.status, outcome.rows_in, outcome.rows_given) == ("built", 7, 5)
    assert (outcome.rows_out, outcome.rows_quarantined, outcome.rows_left_out) == (2, 1, 2)
    assert outcome.warnings == {"usual": 2}
    assert tiny.reconciliation("silver.cleaned") == {
        ("bronze.readings", "written", ""): 2,
        ("bronze.readings", "merged", "same_id"): 1,
        ("bronze.readings", "quarantined", "possible"): 1,
        ("bronze.readings", "left_out", "sentinel"): 2,
        ("bronze.readings", "left_out", "blank"): 1,
    }
    (record,) = tiny.ledger("silver.cleaned")
    assert {k: record[k] for k in ("run_id", "table", "status", "code", "input_versions", "engine", "error")} == {
        "run_id": "run-1",
        "table": "silver.cleaned",
        "status": "built",
        "code": "code",
        "input_versions": '{"bronze.readings": 1}',
        "engine": "test",
        "error": None,
    }
    assert (record["version"], record["quarantine_version"]) == (outcome.version, outcome.quarantine_version) == (1, 1)
    assert record["warnings"] == '{"usual": 2}'
    assert tiny.staged() == []


def drop_blank(readings: DataFrame) -> DataFrame:
    return readings.where("value IS NOT NULL").select("id")


def twice(readings: DataFrame) -> DataFrame:
    return readings.select("id").union(readings.select(F.col("id") + 100))


def stranger(readings: DataFrame) -> DataFrame:
    return readings.select("id", F.lit("bronze.reading").alias("_from"))


@pytest.mark.parametrize(("build", "found"), [(drop_blank, 1), (twice, 4), (stranger, 0)])
def test_rows_that_do_not_add_up_are_never_written(
    tiny: TinyLake, build: Callable[[DataFrame], DataFrame], found: int
) -> None:
    good = table_of("silver.ids", same(), **CONSUMED)
    tiny.put("bronze.readings", [{"id": 1, "value": 1.0}, {"id": 2}])
    tiny.run(READINGS, good)
    before = tiny.versions(), tiny.rows("silver.ids")
    with pytest.raises(ContractError) as refused:
        tiny.run(READINGS, table_of("silver.ids", build, **CONSUMED), code="changed")
    said = f"silver.ids accounts for {found} of the 2 rows of bronze.readings (version 1)."
    assert str(refused.value) == said
    assert (tiny.versions(), tiny.rows("silver.ids")) == before
    failed = tiny.ledger("silver.ids")[-1]
    assert (failed["run_id"], failed["status"], failed["error"], failed["version"]) == ("run-2", "failed", said, None)
    assert tiny.staged() == []
    assert tiny.run(READINGS, good)["silver.ids"].status == "unchanged", "what was built before still stands"


def test_each_of_several_consumed_inputs_must_add_up(tiny: TinyLake) -> None:
    def both(a: DataFrame, b: DataFrame) -> DataFrame:
        return a.select("id", F.lit("bronze.a").alias("_from")).union(b.select("id", F.lit("bronze.b")))

    def half(a: DataFrame, b: DataFrame) -> DataFrame:
        return both(a, b.limit(1))

    raw = [bronze("bronze.a"), bronze("bronze.b")]
    inputs = ("bronze.a", "bronze.b")
    tiny.put("bronze.a", [{"id": 1}])
    tiny.put("bronze.b", [{"id": 2}, {"id": 3}])
    assert tiny.run(*raw, table_of("silver.t", both, inputs=inputs, consumes=inputs))["silver.t"].rows_in == 3
    with pytest.raises(ContractError, match=r"silver.t accounts for 1 of the 2 rows of bronze.b \(version 1\)"):
        tiny.run(*raw, table_of("silver.t", half, inputs=inputs, consumes=inputs), code="changed")


def test_an_input_that_is_only_looked_up_need_not_add_up(tiny: TinyLake) -> None:
    tiny.put("bronze.readings", [{"id": 1}, {"id": 2}])
    outcome = tiny.run(
        READINGS, table_of("gold.t", lambda readings: readings.select("id").limit(1), **{"inputs": CONSUMED["inputs"]})
    )
    assert outcome["gold.t"].rows_out == 1


def test_a_fail_rule_stops_the_table_and_those_after_it(tiny: TinyLake) -> None:
    def checked(check: str, severity: Any) -> Any:
        return table_of("silver.ids", same(), rules=(Rule("low", check, severity),), **CONSUMED)

    after = table_of("gold.ids", same("ids"), inputs=("silver.ids",))
    tiny.put("bronze.readings", [{"id": 1}, {"id": 20}])
    tiny.run(READINGS, checked("id < 10", "error"), after)
    before = tiny.versions()
    assert before == {"bronze.readings": 1, "gold.ids": 1, "silver.ids": 1, "silver.ids_quarantine": 1}
    with pytest.raises(ContractError, match=r"^silver.ids: rows break low \(1 rows\); nothing was written\.$"):
        tiny.run(READINGS, checked("id < 10", "fail"), after, code="changed")
    assert tiny.versions() == before
    assert (tiny.rows("silver.ids"), tiny.rows("silver.ids_quarantine", "id")) == ([(1,)], [(20,)])
    assert [r["status"] for r in tiny.ledger("silver.ids")] == ["built", "failed"]
    assert [r["status"] for r in tiny.ledger("gold.ids")] == ["built"], "it was not run again"
    assert tiny.staged() == []


def test_a_function_that_raises_is_recorded_and_named(tiny: TinyLake) -> None:
    def wrong(readings: DataFrame) -> DataFrame:
        return readings.select(F.expr("CAST(note AS INT)").cast("bigint").alias("id"))

    def broken(readings: DataFrame) -> DataFrame:
        raise ValueError(f"{readings.columns[0]} is wrong\nsecond line")

    tiny.put("bronze.readings", [{"id": 1, "note": "x"}])
    first = table_of("silver.a", same(), **CONSUMED)
    last = table_of("silver.c", same("b"), inputs=("silver.b",))
    for build in (broken, wrong):
        with pytest.raises(ContractError, match=r"^silver.b failed: ."):
            tiny.run(READINGS, first, table_of("silver.b", build, **CONSUMED), last)
    records = tiny.ledger("silver.b")
    assert [r["status"] for r in records] == ["failed", "failed"]
    assert records[0]["error"] == "id is wrong"
    assert records[0]["fingerprint"]
    assert [r["status"] for r in tiny.ledger("silver.a")] == ["built"], "what was built before stays, and is not redone"
    assert tiny.ledger("silver.c") == []
    assert sorted(tiny.versions()) == ["bronze.readings", "silver.a"]
    assert tiny.staged() == []


def test_a_frame_of_another_shape_is_recorded(tiny: TinyLake) -> None:
    tiny.put("bronze.readings", [{"id": 1}])
    with pytest.raises(ContractError):
        tiny.run(READINGS, table_of("silver.t", lambda readings: readings.select("id", "value"), **CONSUMED))
    (record,) = tiny.ledger("silver.t")
    assert record["error"] == "silver.t: the frame has value, which the contract does not know."


def test_a_second_run_changes_nothing(tiny: TinyLake) -> None:
    tiny.put("bronze.readings", SIX)
    after = table_of("gold.ids", same("cleaned"), inputs=("silver.cleaned",))
    first = tiny.run(READINGS, CLEANED, after)
    before = tiny.versions(), tiny.lake.records("ops.runs"), tiny.lake.records("ops.reconciliation")
    second = tiny.run(READINGS, CLEANED, after)
    assert [outcome.status for outcome in second.values()] == ["unchanged", "unchanged"]
    assert (second["silver.cleaned"].rows_out, second["silver.cleaned"].rows_quarantined) == (2, 1)
    assert second["silver.cleaned"].version == first["silver.cleaned"].version
    assert (tiny.versions(), tiny.lake.records("ops.runs"), tiny.lake.records("ops.reconciliation")) == before


def test_whatever_changed_is_built_again(tiny: TinyLake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def build(readings: DataFrame, concepts: DataFrame, task: Task) -> DataFrame:
        return readings.select("id", F.lit(task.window_hours).alias("hours")).crossJoin(concepts.select("scale"))

    def run(code: str, window_hours: int) -> tuple[str, list[tuple[Any, ...]]]:
        task = Task(name="mortality", label="died", window_hours=window_hours)
        outcome = tiny.run(READINGS, scaled, code=code, task=task)["gold.scaled"]
        return outcome.status, tiny.rows("gold.scaled")

    monkeypatch.setattr(reference, "CONF", tmp_path)
    (tmp_path / "concepts.csv").write_text("concept,scale\nurine,1\n")
    scaled = table_of(
        "gold.scaled",
        build,
        "id BIGINT, hours INT, scale DOUBLE",
        inputs=("bronze.readings", "conf.concepts"),
        task="mortality",
    )
    tiny.put("bronze.readings", [{"id": 1}])
    assert run("a", 48) == ("built", [(1, 48, 1.0)])
    assert run("a", 48) == ("unchanged", [(1, 48, 1.0)])
    assert run("b", 48) == ("built", [(1, 48, 1.0)])
    assert run("b", 24) == ("built", [(1, 24, 1.0)])
    (tmp_path / "concepts.csv").write_text("concept,scale\nurine,0.5\n")
    assert run("b", 24) == ("built", [(1, 24, 0.5)])
    tiny.put("bronze.readings", [{"id": 2}])
    assert run("b", 24) == ("built", [(1, 24, 0.5), (2, 24, 0.5)])
    assert run("b", 24)[0] == "unchanged"
    (tmp_path / "concepts.csv").unlink()
    with pytest.raises(ConfigError, match=r"conf.concepts, but there is no conf/concepts.csv"):
        run("b", 24)


@pytest.mark.parametrize("gone", ["silver.ids", "bronze.readings"])
def test_a_table_made_anew_is_another_table(tiny: TinyLake, gone: str) -> None:
    """Its versions count from 0 again, so that equal versions are not equal rows."""
    ids = table_of("silver.ids", same(), **CONSUMED)
    tiny.put("bronze.readings", [{"id": 1}])
    tiny.run(READINGS, ids)
    shutil.rmtree(tiny.lake.location(gone))
    if gone == "bronze.readings":
        tiny.put(gone, [{"id": 2}])
    outcome = tiny.run(READINGS, ids)["silver.ids"]
    assert outcome.status == "built"
    assert tiny.rows("silver.ids") == tiny.rows("bronze.readings", "id")
    assert tiny.run(READINGS, ids)["silver.ids"].status == "unchanged"


def test_a_missing_input_is_refused_before_anything_runs(tiny: TinyLake) -> None:
    tiny.put("bronze.readings", [{"id": 1}])
    modules = READINGS, bronze("bronze.absent"), table_of("silver.a", same(), **CONSUMED)
    reader = table_of("silver.b", same("absent"), inputs=("bronze.absent",))
    with pytest.raises(
        ContractError, match=r"^silver.b needs bronze.absent, which the lake lacks: run the stage before"
    ):
        tiny.run(*modules, reader)
    assert tiny.versions() == {"bronze.readings": 1}
    assert tiny.run(*modules, reader, only=["silver.a"])["silver.a"].status == "built"


def test_what_failed_upstream_is_missing_downstream(tiny: TinyLake) -> None:
    """An empty table in its place would let the reader build from nothing."""
    tiny.put("bronze.readings", [{"id": 1}])
    modules = (
        READINGS,
        table_of("silver.a", drop_blank, **CONSUMED),
        table_of("silver.b", same("a"), inputs=("silver.a",)),
    )
    with pytest.raises(ContractError, match="accounts for 0 of the 1 rows"):
        tiny.run(*modules)
    with pytest.raises(ContractError, match=r"silver.b needs silver.a, which the lake lacks"):
        tiny.run(*modules, only=["silver.b"])


def test_the_listener_hears_each_table_begin_and_end(tiny: TinyLake) -> None:
    tiny.put("bronze.readings", [{"id": 1}])
    registry = build_registry([READINGS, table_of("silver.a", same(), **CONSUMED)])
    heard: list[tuple[str, str | None]] = []
    for _ in range(2):
        listener = lambda node, outcome: heard.append((node, outcome and outcome.status))  # noqa: E731
        tiny.runner(registry, listener=listener).run(registry.nodes)
    assert heard == [("silver.a", None), ("silver.a", "built"), ("silver.a", None), ("silver.a", "unchanged")]


def test_two_rows_of_one_key_are_both_refused(tiny: TinyLake) -> None:
    tiny.put("bronze.readings", [{"id": 1}, {"id": 1}, {"id": 2}])
    tiny.run(READINGS, table_of("silver.ids", same(), **CONSUMED))
    assert tiny.rows("silver.ids") == [(2,)]
    assert tiny.rows("silver.ids_quarantine", "id", "_rules") == [(1, ["duplicate_key"]), (1, ["duplicate_key"])]
    assert tiny.reconciliation("silver.ids") == {
        ("bronze.readings", "written", ""): 1,
        ("bronze.readings", "quarantined", "duplicate_key"): 2,
    }
