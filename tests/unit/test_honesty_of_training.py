"""Models learn what there is to learn and nothing else: labels without meaning teach nothing, neither in the folds nor
beyond; a course whose order is destroyed tells nothing to a model that reads courses.

Patients have two nearly equal stays each, with one label: whoever splits a patient over two folds, or lets a held-out
row into what is fitted, sees labels again that mean nothing, and is found out.
"""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from jobs.training.fitting import Fitted, fit_models
from jobs.training.matrix import Matrix
from lakehouse.settings import Settings, load_settings
from lakehouse.tasks import Task, load_task
from models.base import Trained
from models.features import describe
from models.metrics import scores
from models.sequence import model as sequence
from models.sequence.events import COLUMNS
from models.sequence.inputs import STATICS
from models.sequence.plan import Brief
from models.splits import patient_folds

HR, LACTATE = 15, 17  # ids in conf/concepts.csv
TRAINED, TESTED = 150, 100
SMALL_NETWORK = {"width": 16, "states": 8, "blocks": 1}
QUICK = {"epochs": 3, "batch": 32, "networks": 1}
COURSE_ALONE = {
    "layout": {"statistics": ()},
    "network": {**SMALL_NETWORK, "reader": 0, "channel_dropout": 0.0},
    "training": {**QUICK, "epochs": 8, "rate": 1e-2},
}
KEEN = {"eta": 0.3, "max_depth": 6, "min_child_weight": 0.1, "subsample": 1.0, "colsample_bytree": 1.0}
"""Trees that could tell two stays of one patient by heart."""


def made_up(patients: int, seed: int) -> Matrix:
    """Two stays a patient: the risk is in lactate, age and in whether the heart rate rises or falls around one mean."""
    rng = np.random.default_rng(seed)
    names = [f"p{seed}-{i:04}" for i in range(patients)]
    died = rng.random(patients) < 0.4
    own = {name: rng.normal(size=patients) for name in (*STATICS, "lactate_mean", "hr_mean", "unrelated")}
    own["lactate_mean"] += 1.5 * died
    own["age"] += died
    rows, events = [], []
    for stay in range(2 * patients):
        who = stay // 2
        rows.append({name: values[who] + 0.02 * rng.normal() for name, values in own.items()})
        hours = np.sort(rng.choice(48, 24, replace=False))
        events += [(stay, int(h) * 60, HR, 85 + (1.0 if died[who] else -1.0) * (h - hours.mean())) for h in hours]
        events.append((stay, 47 * 60 + 1, LACTATE, float(np.exp(0.5 + 0.3 * own["lactate_mean"][who]))))
    stays = [f"{names[i // 2]}-{i % 2}" for i in range(2 * patients)]
    features = pd.DataFrame(rows, index=pd.Index(stays, name="stay_id"))
    cohort = pd.DataFrame({"patient_id": np.repeat(names, 2), "died": np.repeat(died, 2)}, index=features.index)
    return Matrix(features, cohort.astype({"died": float}), "died", {}, sequences_of(stays, events))


def sequences_of(stays: list[str], events: list[tuple[int, int, int, float]]) -> pa.Table:
    frame = pd.DataFrame(events, columns=["stay", "minutes", "concepts", "values"]).sort_values(["stay", "minutes"])
    lists = frame.groupby("stay")[["minutes", "concepts", "values"]].agg(list).reindex(range(len(stays)))
    kinds = {"minutes": pa.int32(), "concepts": pa.int32(), "values": pa.float64()}
    columns = {name: pa.array(lists[name].tolist(), pa.list_(kind)) for name, kind in kinds.items()}
    return pa.table({"stay_id": stays, **columns})


def relabelled(rows: Matrix, seed: int) -> Matrix:
    """The labels dealt anew, patient by patient."""
    labels = rows.label.groupby(rows.patient).first()
    dealt = pd.Series(np.random.default_rng(seed).permutation(labels.to_numpy()), index=labels.index)
    cohort = rows.cohort.assign(died=rows.patient.map(dealt).to_numpy())
    return Matrix(rows.features, cohort, rows.label_name, rows.versions, rows.sequences)


def shuffled(rows: Matrix, seed: int) -> Matrix:
    """Each stay's minutes dealt anew among its events; values and concepts are kept."""
    assert rows.sequences is not None
    rng = np.random.default_rng(seed)
    events = [
        (stay, minute, concept, value)
        for stay, row in enumerate(rows.sequences.to_pylist())
        for minute, concept, value in zip(rng.permutation(row["minutes"]), row["concepts"], row["values"], strict=True)
    ]
    sequences = sequences_of(rows.sequences["stay_id"].to_pylist(), events)
    return Matrix(rows.features, rows.cohort, rows.label_name, rows.versions, sequences)


def task() -> Task:
    """The mortality question's models, smaller and with one trial."""
    quick = load_task("mortality", "quick")
    models: dict[str, Any] = {
        **quick.models,
        "xgboost": {**quick.models["xgboost"], "space": {}, "defaults": KEEN, "budget": {"trials": 1, "seconds": 1}},
        "ssm": {"type": "sequence", "network": SMALL_NETWORK, "training": QUICK},
    }
    return quick.model_copy(update={"models": models, "label": "died"})


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(lake=tmp_path_factory.mktemp("honesty"), cores=1)


def auroc(rows: Matrix, risks: np.ndarray) -> float:
    return scores(rows.outcomes, risks, 0.5)["auroc"]


def chance(rows: Matrix) -> float:
    """Four standard errors of the AUROC of risks that know nothing (Hanley & McNeil 1982), each patient counted once:
    two stays of one patient say what one says."""
    labels = rows.label.groupby(rows.patient).first()
    died, lived = float(labels.sum()), float((1 - labels).sum())
    return 4 * float(np.sqrt((died + lived + 1) / (12 * died * lived)))


@pytest.fixture(scope="module")
def taught_nothing(settings: Settings) -> dict[str, Fitted]:
    return fit_models(task(), relabelled(made_up(TRAINED, 1), 5), settings)


@pytest.mark.parametrize("name", ["logistic", "xgboost", "ssm", "ensemble"])
def test_labels_without_meaning_teach_nothing(taught_nothing: dict[str, Fitted], name: str) -> None:
    inside, outside = relabelled(made_up(TRAINED, 1), 5), relabelled(made_up(TESTED, 2), 6)
    one = taught_nothing[name]
    risks = one.scorer.model.risks(outside.inputs(one.scorer))
    assert abs(auroc(inside, one.out_of_fold) - 0.5) < chance(inside)
    assert abs(auroc(outside, risks) - 0.5) < chance(outside)


def test_true_labels_teach_and_a_split_patient_would_be_found_out(settings: Settings) -> None:
    """The bounds above can be broken: by a signal, and by folds that do not keep patients whole."""
    rows = made_up(TRAINED, 1)
    only = task().model_copy(update={"models": {"xgboost": task().models["xgboost"]}})
    taught = fit_models(only, rows, settings)["xgboost"]
    assert auroc(rows, taught.out_of_fold) > 0.5 + chance(rows)
    nonsense = relabelled(rows, 5)
    strangers = nonsense.cohort.assign(patient_id=nonsense.features.index)
    as_if = Matrix(nonsense.features, strangers, nonsense.label_name, {}, nonsense.sequences)
    leaked = fit_models(only, as_if, settings)["xgboost"]
    assert auroc(nonsense, leaked.out_of_fold) > 0.5 + chance(nonsense)


def course_model(rows: Matrix, seed: int = 0) -> Trained:
    """A network that reads the course alone: no statistic of it stands beside."""
    features = rows.with_sequences()
    folds = patient_folds(rows.outcomes, rows.patient, 3, seed)
    dictionary = [
        {"concept": n, "id": i, "log": False, "aggregate": "mean"} for n, i in (("hr", HR), ("lactate", LACTATE))
    ]
    brief = Brief.of(
        rows.outcomes, folds, describe(features, series=COLUMNS), dictionary=dictionary, settings=COURSE_ALONE,
        patients=rows.patient, seed=seed,
    )  # fmt: skip
    return sequence.train(features, brief, processes=1)


def order_alone(patients: int, seed: int) -> Matrix:
    """Stays whose features and lactate say nothing: what is left is the order of the heart rates."""
    rows = made_up(patients, seed)
    rng = np.random.default_rng(seed + 100)
    noise = pd.DataFrame(rng.normal(size=rows.features.shape), rows.features.index, rows.features.columns)
    assert rows.sequences is not None
    sequences = rows.sequences.to_pandas()
    concepts = sequences["concepts"].map(np.asarray)
    for name in ("minutes", "values", "concepts"):
        sequences[name] = [np.asarray(v)[c == HR].tolist() for v, c in zip(sequences[name], concepts, strict=True)]
    table = pa.Table.from_pandas(sequences, schema=rows.sequences.schema, preserve_index=False)
    return Matrix(noise, rows.cohort, rows.label_name, rows.versions, table)


def test_a_course_out_of_order_tells_nothing() -> None:
    """Rising or falling around one mean: a model that learned it knows nothing of shuffled stays, and none learns it
    from them."""
    train, test = order_alone(TRAINED, 3), order_alone(TESTED, 4)
    model = course_model(train).model
    in_order, dealt = (model.risks(rows.with_sequences()) for rows in (test, shuffled(test, 8)))
    assert auroc(test, in_order) > 0.9
    assert abs(auroc(test, dealt) - 0.5) < chance(test)
    blind = course_model(shuffled(train, 7))
    assert abs(auroc(train, blind.out_of_fold) - 0.5) < chance(train)
    assert abs(auroc(test, blind.model.risks(shuffled(test, 8).with_sequences())) - 0.5) < chance(test)
