"""The queries of the bundle's alerts and dashboard, run on a small lake of made-up rows, and what is drawn of them."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from gold.mortality.cohort import TABLE as COHORT
from gold.mortality.predictions import TABLES as PREDICTIONS
from lakehouse.io import Lake
from lakehouse.records.ledger import RECONCILIATION, RUNS
from lakehouse.table import Table
from tests.unit.bundle import bundle

NOW = datetime.now(UTC)
PROD = bundle("prod").resources
DASHBOARD = PROD["dashboards"]["lakehouse"]["serialized_dashboard"]
DATASETS = {dataset["name"]: "".join(dataset["queryLines"]) for dataset in DASHBOARD["datasets"]}
WIDGETS = [(item["widget"], item["position"]) for page in DASHBOARD["pages"] for item in page["layout"]]
ABSENT = {"BIGINT": 0, "INT": 0, "DOUBLE": 0.0, "BOOLEAN": False, "STRING": "", "TIMESTAMP": NOW}


def run(node: str, hours_ago: float, status: str = "built", refused: int = 0) -> dict[str, Any]:
    return {
        "run_id": f"r{100 - hours_ago:05.1f}", "node": node, "table": node.partition("[")[0], "status": status,
        "rows_in": 1000, "rows_out": 1000 - refused, "rows_quarantined": refused, "seconds": 2.0,
        "started_at": NOW - timedelta(hours=hours_ago),
    }  # fmt: skip


def risk(stay: int, days_ago: float, flagged: bool) -> dict[str, Any]:
    at = NOW - timedelta(days=days_ago)
    return {
        "stay_id": f"s{stay}",
        "risk": 0.9 if flagged else 0.1,
        "flagged": flagged,
        "model_version": 3,
        "scored_at": at,
    }


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Lake:
    """Two tables built twice and one that failed; four stays, three of them with a risk, two of those flagged."""
    lake = Lake(tmp_path_factory.mktemp("bundle"), spark)
    builds = [
        run("silver.stays[x]", 50, refused=9),
        run("silver.stays[x]", 3, refused=1),
        run("silver.events[x]", 50),
        run("silver.events[x]", 3, refused=2),
        run("gold.mortality_cohort", 2, "failed"),
    ]
    add(lake, RUNS, builds)
    accounts = [
        ("silver.stays[x]", "r050.0", "quarantined", "age", 9),
        ("silver.stays[x]", "r097.0", "written", "", 999),
        ("silver.stays[x]", "r097.0", "quarantined", "age", 1),
        ("silver.events[x]", "r097.0", "merged", "twice", 5),
    ]
    names = ("node", "run_id", "outcome", "reason", "rows")
    add(lake, RECONCILIATION, [dict(zip(names, account, strict=True)) for account in accounts])
    add(lake, COHORT, [{"stay_id": f"s{i}", "split": "test"} for i in range(4)])
    predictions, history = PREDICTIONS
    reasons = [
        {"feature": "age", "value": 80.0, "contribution": 1.0},
        {"feature": "hr", "value": 70.0, "contribution": -1.0},
    ]
    add(lake, predictions, [risk(i, 1, i < 2) | {"top_features": reasons, "split": "test"} for i in range(3)])
    add(lake, history, [risk(i, 1 if i < 100 else 30, i % 2 == 0) for i in range(400)])
    return lake


def add(lake: Lake, table: Table, rows: list[dict[str, Any]]) -> None:
    """Appends rows, in which a required column that is not given gets a value that means nothing."""
    required = {c.name: ABSENT[c.type] for c in table.columns if not c.nullable}
    lake.append_records(table.name, table.columns, [required | row for row in rows])


def ask(lake: Lake, query: str) -> list[dict[str, Any]]:
    """The rows of a query in which `ehr.<layer>.<table>` stands for a table of the lake."""
    located = re.sub(r"\behr\.(\w+\.\w+)", lambda match: lake.merge_target(match[1]), query)
    return [row.asDict(recursive=True) for row in lake.spark.sql(located).collect()]


def triggers(alert: dict[str, Any], rows: list[dict[str, Any]]) -> bool:
    evaluation = alert["evaluation"]
    assert evaluation["comparison_operator"] == "GREATER_THAN"
    (row,) = rows
    return bool(row[evaluation["source"]["name"]] > evaluation["threshold"]["value"]["double_value"])


@pytest.mark.engine
@pytest.mark.parametrize(
    ("alert", "expected"),
    [
        ("failed_tables", {"failed": 1}),
        ("quarantined_rows", {"tables": 1}),  # two of a thousand; one of a thousand is borne, and nine were long ago
        ("unscored_stays", {"stays": 1}),
        ("flagged_share", {"standard_errors": 0.0}),
    ],
)
def test_an_alert_counts_what_it_says(lake: Lake, alert: str, expected: dict[str, float]) -> None:
    found = PROD["alerts"][alert]
    rows = ask(lake, found["query_text"])
    assert rows == [expected]
    assert triggers(found, rows) == (alert != "flagged_share")


@pytest.mark.engine
def test_a_share_that_moved_is_told_and_few_stays_say_nothing(spark: SparkSession, tmp_path: Path) -> None:
    predictions, history = PREDICTIONS
    alert = PROD["alerts"]["flagged_share"]

    def shares(name: str, recent: int, flagged: int) -> list[dict[str, Any]]:
        lake = Lake(tmp_path / name, spark)
        add(lake, predictions, [risk(0, 1, True)])
        before = [risk(i, 30, i % 4 == 0) for i in range(400)]
        add(lake, history, [*before, *(risk(1000 + i, 1, i < flagged) for i in range(recent))])
        return ask(lake, alert["query_text"])

    moved = shares("moved", 100, 50)
    # A quarter of 400 before, a half of 100 now: .25 / sqrt(.25 * .75 * (1/100 + 1/400)).
    assert moved[0]["standard_errors"] == pytest.approx(0.25 / (0.1875 * 0.0125) ** 0.5)
    assert triggers(alert, moved)
    assert shares("few", 99, 99) == [{"standard_errors": 0.0}]


def test_alerts_tell_someone_and_wait_in_different_minutes() -> None:
    alerts = PROD["alerts"].values()
    for alert in alerts:
        assert alert["evaluation"]["notification"]["subscriptions"] == [{"user_email": "oncall@example.org"}]
    assert len({alert["schedule"]["quartz_cron_schedule"] for alert in alerts}) == len(alerts)


@pytest.mark.engine
def test_the_dashboard_shows_the_last_build_of_each_table(lake: Lake) -> None:
    rows = ask(lake, DATASETS["tables"])
    assert [(r["node"], r["status"], r["rows_quarantined"]) for r in rows] == [
        ("silver.events[x]", "built", 2),
        ("silver.stays[x]", "built", 1),
        ("gold.mortality_cohort", "failed", 0),
    ]


@pytest.mark.engine
def test_the_dashboard_shows_where_rows_went_and_why_stays_are_flagged(lake: Lake) -> None:
    assert ask(lake, DATASETS["reconciliation"]) == [
        {"node": "silver.events[x]", "outcome": "merged", "reason": "twice", "rows": 5},
        {"node": "silver.stays[x]", "outcome": "quarantined", "reason": "age", "rows": 1},
    ]
    assert ask(lake, DATASETS["reasons"]) == [{"feature": "age", "stays": 2}]
    assert sorted(row["risk_from"] for row in ask(lake, DATASETS["predictions"])) == [0.1, 0.9, 0.9]
    builds = ask(lake, DATASETS["runs"])
    assert {row["status"]: row["builds"] for row in builds if row["status"] == "failed"} == {"failed": 1}


@pytest.mark.parametrize("widget", [widget for widget, _ in WIDGETS], ids=lambda widget: str(widget["name"]))
def test_a_widget_draws_what_its_query_gives(lake: Lake, widget: dict[str, Any]) -> None:
    (query,) = (one["query"] for one in widget["queries"])
    fields = {field["name"]: field["expression"] for field in query["fields"]}
    drawn = re.findall(r"'fieldName': '(\w+)'", str(widget["spec"]["encodings"]))
    assert sorted(drawn) == sorted(fields)
    chosen = ", ".join(f"{e.replace('`*`', '*')} AS `{name}`" for name, e in fields.items())
    grouped = [e for e in fields.values() if "(" not in e]
    by = f" GROUP BY {', '.join(grouped)}" if grouped and not query["disaggregated"] else ""
    assert ask(lake, f"SELECT {chosen} FROM ({DATASETS[query['datasetName']]}){by}")


def test_widgets_have_a_place_of_their_own() -> None:
    for page in DASHBOARD["pages"]:
        taken = [
            (x, y)
            for p in (item["position"] for item in page["layout"])
            for x in range(p["x"], p["x"] + p["width"])
            for y in range(p["y"], p["y"] + p["height"])
        ]
        assert len(taken) == len(set(taken))
        assert {x for x, _ in taken} == set(range(6)), "six columns, all used"


def test_no_patient_is_on_the_dashboard() -> None:
    assert not re.search(r"stay_id|patient_id|admission_id", str(DASHBOARD))
