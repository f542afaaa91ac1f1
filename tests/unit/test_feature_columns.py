"""Features made of stays, batch by batch, as an engine hands them over."""

import math
from typing import Any

import numpy as np
import pyarrow as pa

from gold.mortality.feature import ByName, Values
from gold.mortality.feature_columns import STAYS, FeatureColumns
from gold.mortality.statistics import SERIES

NAMES = ("age", "hr_mean", "hr_max", "temp_mean", "temp_count", "twice")
ROW = pa.struct([("concept", pa.string()), *((name, pa.float64()) for name in ("count", "max", "mean"))])


def twice(of: ByName) -> dict[str, Values]:
    return {"twice": 2 * of("hr_mean")}


COLUMNS = FeatureColumns(NAMES, frozenset({"temp_count"}), frozenset(), (twice,))


def batch(stays: list[list[dict[str, object]] | None], ages: list[int | None] | None = None) -> pa.RecordBatch:
    ids = [f"s{i}" for i in range(len(stays))]
    given = {"stay_id": ids, "source": ["made_up"] * len(ids), "age": pa.array(ages or [65] * len(ids), pa.int32())}
    return pa.RecordBatch.from_pydict(given | {SERIES: pa.array(stays, pa.list_(ROW))})


def row(concept: str, mean: float | None, most: float | None = None) -> dict[str, object]:
    return {"concept": concept, "count": 1.0, "max": most, "mean": mean}


def made(columns: FeatureColumns, given: pa.RecordBatch) -> list[dict[str, Any]]:
    return pa.Table.from_batches(columns(iter([given]))).to_pylist()


def test_each_statistic_is_found_by_its_concept_in_any_order() -> None:
    given = [[row("temp", 37.0), row("hr", 80.0, 90.0)], [row("lactate", 2.0)], None, [row("hr", None, 1.0)]]
    assert made(COLUMNS, batch(given, [70, None, 65, 65])) == [
        dict(zip(("stay_id", "source", *NAMES), (f"s{i}", "made_up", *cells), strict=True))
        for i, cells in enumerate(
            [
                (70.0, 80.0, 90.0, 37.0, 1.0, 160.0),
                (None, None, None, None, 0.0, None),
                (65.0, None, None, None, 0.0, None),
                (65.0, None, 1.0, None, 0.0, None),
            ]
        )
    ]


def test_digits_that_depend_on_an_order_of_terms_are_rounded_away_and_no_zero_has_a_sign() -> None:
    (features,) = made(COLUMNS, batch([[row("hr", 0.1 + 0.2, -1e-16)]]))
    assert (features["hr_mean"], features["hr_max"], math.copysign(1, features["hr_max"])) == (0.3, 0.0, 1.0)


def test_what_is_off_is_null_but_may_be_asked_for_by_others() -> None:
    off = FeatureColumns(NAMES, frozenset({"temp_count"}), frozenset({"hr_mean", "temp_count"}), (twice,))
    (features,) = made(off, batch([[row("hr", 80.0), row("temp", 37.0)]]))
    assert (features["hr_mean"], features["temp_count"], features["twice"]) == (None, None, 160.0)


def test_a_part_of_a_batch_has_its_own_rows() -> None:
    """What is sliced keeps the memory of the whole."""
    stays = [[row("hr", float(i)), *([row("temp", -float(i))] if i % 3 else [])] for i in range(STAYS + 10)]
    features = pa.Table.from_batches(COLUMNS(iter([batch(stays).slice(5)])))
    assert features["stay_id"].to_pylist() == [f"s{i}" for i in range(5, STAYS + 10)]
    np.testing.assert_array_equal(features["hr_mean"].to_numpy(), np.arange(5, STAYS + 10))
    assert features["temp_mean"].to_pylist() == [-float(i) if i % 3 else None for i in range(5, STAYS + 10)]


def test_a_batch_without_stays_gives_none() -> None:
    assert list(COLUMNS(iter([batch([])]))) == []
