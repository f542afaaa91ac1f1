"""The course of a real stay tells something that its shuffled values do not."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.training.matrix import Matrix, load_matrix
from lakehouse.reference import read_dictionary
from lakehouse.tasks import load_task
from models.features import describe
from models.metrics import scores
from models.sequence import model as sequence
from models.sequence.events import COLUMNS, attach
from models.sequence.plan import Brief
from models.splits import patient_folds
from tests.real.conftest import RealLake

TRAINED, TESTED = 2_000, 2_000
COURSE_ALONE = {"layout": {"statistics": ()}, "network": {"reader": 0}, "training": {"epochs": 3, "networks": 1}}


def shuffled(sequences: pa.Table, seed: int) -> pa.Table:
    """Each stay's minutes dealt anew among its events, which are put in order again; values and concepts are kept."""
    rng = np.random.default_rng(seed)
    rows = []
    for row in sequences.to_pylist():
        minutes = rng.permutation(row["minutes"])
        order = np.argsort(minutes, kind="stable")
        rows.append({**row, **{name: np.asarray(row[name])[order].tolist() for name in ("concepts", "values")}})
        rows[-1]["minutes"] = minutes[order].tolist()
    return pa.Table.from_pylist(rows, schema=sequences.schema)


def some(rows: Matrix, n: int, seed: int) -> Matrix:
    chosen = np.random.default_rng(seed).permutation(len(rows.label)) < n
    return rows.rows(chosen)


def test_shuffled_stays_are_judged_worse(real: RealLake) -> None:
    matrix = load_matrix(real.lake, load_task("mortality"), sequences=True)
    train, test = some(matrix.part("train"), TRAINED, 1), some(matrix.part("test"), TESTED, 2)
    features, folds = train.with_sequences(), patient_folds(train.outcomes, train.patient, 2, 7)
    brief = Brief.of(
        train.outcomes, folds, describe(features, series=COLUMNS), dictionary=read_dictionary("conf.concepts"),
        settings=COURSE_ALONE, patients=train.patient, seed=7,
    )  # fmt: skip
    trained = sequence.train(features, brief, processes=1)
    inputs = test.with_sequences()
    kept = matrix.sequences.filter(pc.is_in(matrix.sequences["stay_id"], pa.array(test.features.index)))
    dealt = attach(test.features, shuffled(kept, 3))
    in_order, out_of_order = (scores(test.outcomes, trained.model.risks(one), 0.5)["auroc"] for one in (inputs, dealt))
    assert in_order > 0.75
    assert out_of_order < in_order - 0.02
