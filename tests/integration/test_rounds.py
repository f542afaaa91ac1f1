"""A table that is built in rounds, a share of the patients each, has the rows and the accounts of one built at once."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import jobs.refine
from jobs.featurize import featurize
from jobs.refine import refine
from lakehouse.io import Lake
from lakehouse.registry import registry
from lakehouse.rounds import rounds
from tests.conftest import ENGINE, same
from tests.integration.conftest import quiet_context

pytestmark = pytest.mark.skipif(ENGINE != "sail", reason="other engines bound by themselves what they hold")
FEW = 24_000
IN_ROUNDS = {"silver.events", "gold.mortality_features", "gold.mortality_sequences"}


@pytest.fixture(scope="module")
def in_rounds(refined_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Path(shutil.copytree(refined_lake, tmp_path_factory.mktemp("in_rounds") / "lake"))
    shutil.rmtree(lake / "silver")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.refine, "ROWS_A_ROUND", FEW)
        refine(quiet_context(lake, lake))
        featurize(quiet_context(lake, lake))
    return Lake(lake)


def test_rows_and_accounts_are_those_of_a_build_at_once(featurized_lake: Path, in_rounds: Lake) -> None:
    at_once = Lake(featurized_lake)
    there = registry()
    nodes = there.layer("silver", "gold")
    shared_out = {node.table.name for node in nodes if len(rounds(node, there.tables, in_rounds.row_count, FEW)) > 1}
    assert shared_out >= IN_ROUNDS
    for name in sorted({node.table.name for node in nodes if in_rounds.exists(node.table.name)}):
        one, other = (by_key(lake, name, there.tables[name].key) for lake in (at_once, in_rounds))
        assert one.keys() == other.keys(), name
        assert [key for key, row in one.items() if not same(row, other[key])] == [], name
    assert accounts(at_once) == accounts(in_rounds)


def by_key(lake: Lake, name: str, key: tuple[str, ...]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row[column] for column in key): row for row in lake.records(name)}


def accounts(lake: Lake) -> dict[tuple[Any, ...], int]:
    """What the last run of each node said of its inputs' rows."""
    last: dict[str, str] = {}
    for record in sorted(lake.records("ops.runs"), key=lambda record: record["started_at"]):
        last[record["node"]] = record["run_id"]
    return {
        (row["node"], row["input"], row["outcome"], row["reason"]): row["rows"]
        for row in lake.records("ops.reconciliation")
        if row["run_id"] == last[row["node"]]
    }
