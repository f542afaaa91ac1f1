"""Scoring of Arrow batches: only what is due, the same risks as the scorer, digests that follow what is read."""

import pickle
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sequence_data import DICTIONARY, made_up

from jobs.scoring import KNOWN, Scoring, digests_of, matrix, pack, unpack
from models import stack
from models.features import describe
from models.registry import RegisteredModel
from models.scorer import Scorer
from models.sequence import model as sequence
from models.sequence.events import COLUMNS
from models.sequence.plan import Brief
from models.sequence.training import threads

FRAME, LABELS = made_up(40)
NAMES = [name for name in FRAME.columns if name not in COLUMNS]
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    settings: dict[str, Any] = {
        "network": {"width": 16, "states": 4, "reader": 8},
        "training": {"epochs": 1, "batch": 16, "networks": 1},
    }
    with threads(1):
        schema = describe(FRAME, series=COLUMNS)
        brief = Brief.of(LABELS, np.arange(40) % 2, schema, dictionary=DICTIONARY, settings=settings)
        trained = sequence.train(FRAME, brief, processes=1)
    return Scorer(stack.StackedModel({"ssm": trained.model}, [0.5], 0.1), 0.4)


def batch(known: list[str | None] | None = None) -> pa.RecordBatch:
    columns = {
        "stay_id": pa.array(FRAME.index, pa.string()),
        "source": ["made up"] * len(FRAME),
        "split": ["test"] * len(FRAME),
        **{name: pa.array(FRAME[name], pa.float64(), from_pandas=True) for name in NAMES},
        **{name: pa.array(FRAME[name].array) for name in COLUMNS},
        KNOWN: pa.array(known or [None] * len(FRAME), pa.string()),
    }
    return pa.RecordBatch.from_pydict(columns)


def scoring(scorer: Scorer) -> Scoring:
    return Scoring.of(RegisteredModel("m", 3, "run", scorer), NAMES, True, 7, NOW)


def rows(parts: Any) -> list[dict[str, Any]]:
    return [row for part in parts for row in part.to_pylist()]


def test_batches_are_scored_as_the_scorer_scores_wherever_they_run(scorer: Scorer) -> None:
    there = pickle.loads(pickle.dumps(scoring(scorer)))  # as an engine sends it to a worker
    found = rows(there([batch().slice(0, 25), batch().slice(25)]))
    assert [row["stay_id"] for row in found] == list(FRAME.index)
    expected = scorer.score(FRAME, top=5)
    np.testing.assert_allclose([row["risk"] for row in found], expected["risk"], rtol=1e-6)
    assert [row["flagged"] for row in found] == expected["flagged"].tolist()
    assert {(row["model_name"], row["model_version"], row["run_id"], row["feature_version"]) for row in found} == {
        ("m", 3, "run", 7)
    }
    assert {row["scored_at"] for row in found} == {NOW}
    for row, reasons, hours in zip(found, expected["top_features"], expected["moments"], strict=True):
        assert [one["feature"] for one in row["top_features"]] == [one.feature for one in reasons]
        assert [(one["channel"], one["hour"]) for one in row["moments"]] == [(one.channel, one.hour) for one in hours]
    assert found[0]["moments"] == [] and len(found[2]["moments"]) == 5


def test_what_was_scored_is_passed_over(scorer: Scorer) -> None:
    first = rows(scoring(scorer)([batch()]))
    known: list[str | None] = [row["input_digest"] for row in first]
    assert rows(scoring(scorer)([batch(known)])) == []
    known[3], known[8] = None, "0" * 24
    assert [row["stay_id"] for row in rows(scoring(scorer)([batch(known)]))] == ["s3", "s8"]


def test_a_digest_follows_features_and_events() -> None:
    whole = batch()
    values = matrix(whole, NAMES)
    digests = digests_of(values, whole)
    assert len(set(digests)) == len(digests)
    assert digests_of(values[5:9], whole.slice(5, 4)) == digests[5:9], "wherever in a batch a row stands"
    values[7, :] += 1e-15
    assert digests_of(values, whole)[7] == digests[7], "what differs is the order in which numbers were added up"
    values = matrix(whole, NAMES)
    zeros = np.array([[0.0], [-0.0], [-1e-14], [1e-14]])
    assert len(set(digests_of(zeros, None))) == 1
    values[2, 0] += 1e-6
    assert [a == b for a, b in zip(digests_of(values, whole), digests, strict=True)].count(False) == 1
    swapped = whole.set_column(
        whole.schema.get_field_index("values"), "values", whole["values"].take(pa.array([0, 1, 3, 2, *range(4, 40)]))
    )
    assert digests_of(matrix(whole, NAMES), swapped)[:2] == digests[:2]
    assert digests_of(matrix(whole, NAMES), swapped)[2] != digests[2]


def test_a_packed_scorer_answers_the_same(scorer: Scorer) -> None:
    np.testing.assert_array_equal(unpack(pack(scorer)).model.margins(FRAME), scorer.model.margins(FRAME))
