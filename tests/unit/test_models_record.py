"""The record of a training: searches repeated trial by trial, and what is not as it was told by name."""

from typing import Any

from models.provenance import environment, patient_digest, patient_digests
from models.record import Record

ENVIRONMENT: dict[str, Any] = {"python": "3.11.9", "threads": {"torch": 1}, "packages": {"numpy": "2.4.6"}}
SEARCH = {"space": {"eta": {"low": 0.1, "high": 0.2}}, "budget": {"trials": 12, "seconds": 60}}


def record(**changed: Any) -> Record:
    plain: dict[str, Any] = {
        "training": "t", "at": "now", "settings": {"seed": 7}, "tables": {"gold.x": 3}, "table_ids": {"gold.x": "i"},
        "task": {"models": {"xgboost": SEARCH, "logistic": {"search": {"C": [1.0]}}}}, "concepts": [], "data": "d",
        "code": "c", "commit": "k", "environment": ENVIRONMENT,
        "trials": {"xgboost": [{"state": s} for s in ("complete", "fail", "pruned", "complete", "fail")]},
    }  # fmt: skip
    return Record(**{**plain, **changed})


def test_a_search_is_repeated_with_the_trials_that_it_finished_and_without_a_clock() -> None:
    specs = record().repeatable(["logistic", "xgboost"])
    assert list(specs) == ["logistic", "xgboost"]
    assert specs["xgboost"]["budget"] == {"trials": 3, "seconds": float("inf")}
    assert specs["xgboost"]["space"] == SEARCH["space"]
    assert specs["logistic"] == {"search": {"C": [1.0]}}
    assert SEARCH["budget"] == {"trials": 12, "seconds": 60}, "the record itself stays as it is"


def test_it_survives_its_plain_form() -> None:
    assert Record.from_dict(record().to_dict()) == record()


def test_what_differs_is_named_with_then_and_now() -> None:
    assert record().differences(data="d", code="c", environment=ENVIRONMENT) == {}
    now = {"python": "3.12.1", "threads": {"torch": 1}, "packages": {"numpy": "2.4.7"}, "device": "cpu"}
    assert record().differences(data="e", code="c", environment=now) == {
        "data": "d then, e now",
        "python": "3.11.9 then, 3.12.1 now",
        "packages numpy": "2.4.6 then, 2.4.7 now",
        "device": "unknown then, cpu now",
    }


def test_the_environment_names_all_that_decides_figures() -> None:
    found = environment()
    assert set(found) == {"python", "platform", "processor", "cores", "threads", "device", "packages"}
    assert {"torch", "xgboost", "numpy", "scikit-learn", "pyarrow"} <= {k for k, v in found["packages"].items() if v}
    assert found["threads"]["torch"] >= 1


def test_patients_are_kept_as_digests_each_once() -> None:
    kept = patient_digests(["p2", "p1", "p2"])
    assert kept == sorted([patient_digest("p1"), patient_digest("p2")])
    # printf p1 | sha256sum | cut -c1-16
    assert patient_digest("p1") == "f64551fcd6f07823"
