"""Rows of a stay laid out side by side, batch by batch, as an engine hands them over."""

import math

import pyarrow as pa

from gold.mortality.side_by_side import ROWS, STAYS, Layout

LAYOUT = Layout(("n",), (("hr", ("mean", "max")), ("temp", ("mean",))))


def batch(stays: list[list[dict[str, object]]]) -> pa.RecordBatch:
    kind = pa.list_(pa.struct([("concept", pa.string()), ("max", pa.float64()), ("mean", pa.float64())]))
    ids, ones = [f"s{i}" for i in range(len(stays))], [1.0] * len(stays)
    return pa.RecordBatch.from_pydict({"stay_id": ids, "n": ones, ROWS: pa.array(stays, kind)})


def row(concept: str, mean: float | None, most: float | None = None) -> dict[str, object]:
    return {"concept": concept, "max": most, "mean": mean}


def test_each_row_is_in_the_struct_of_its_concept_in_any_order() -> None:
    given = batch([[row("temp", 37.0), row("hr", 80.0, 90.0)], [row("lactate", 2.0)], [row("hr", None, math.nan)]])
    (laid,) = LAYOUT(iter([given]))
    assert laid.schema.names == ["stay_id", "n", "hr_series", "temp_series"]
    first, second, third = laid.to_pylist()
    assert first == {"stay_id": "s0", "n": 1, "hr_series": {"mean": 80, "max": 90}, "temp_series": {"mean": 37}}
    assert second["hr_series"] == {"mean": None, "max": None} and second["temp_series"] == {"mean": None}
    assert third["hr_series"]["mean"] is None and math.isnan(third["hr_series"]["max"])


def test_a_part_of_a_batch_has_its_own_rows() -> None:
    """What is sliced keeps the memory of the whole."""
    stays = [[row("hr", float(i)), *([row("temp", -float(i))] if i % 3 else [])] for i in range(STAYS + 10)]
    laid = pa.Table.from_batches(LAYOUT(iter([batch(stays).slice(5)]))).to_pylist()
    assert [one["stay_id"] for one in laid] == [f"s{i}" for i in range(5, STAYS + 10)]
    assert [one["hr_series"]["mean"] for one in laid] == [float(i) for i in range(5, STAYS + 10)]
    assert [one["temp_series"]["mean"] for one in laid] == [-float(i) if i % 3 else None for i in range(5, STAYS + 10)]


def test_a_batch_without_stays_gives_none() -> None:
    assert list(LAYOUT(iter([batch([])]))) == []
