"""A lake of made-up gold tables, written without a session: what training, registering and judging start from."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from deltalake import write_deltalake

from lakehouse.tasks import Task

STAYS = 160
STATICS = ("age", "male", "height_cm", "weight_kg", "icu_ccu", "icu_csru", "icu_micu", "icu_sicu")
HEART_RATE, LACTATE = 15, 18
"""Ids of two concepts: any two of the dictionary will do."""

LOGISTIC = {"search": {"C": [0.01, 0.1], "l1_ratio": [0.0]}}
XGBOOST = {
    "defaults": {"max_depth": 3},
    "space": {"max_depth": {"low": 2, "high": 4}},
    "budget": {"trials": 3, "seconds": 60},
}
NETWORK = {
    "type": "sequence",
    "network": {"width": 8, "blocks": 1, "states": 4, "reader": 8},
    "training": {"epochs": 1, "networks": 1},
}
ENSEMBLE = {"type": "stack", "members": ["logistic", "xgboost", "ssm"]}
EVERY_MODEL = {"logistic": LOGISTIC, "xgboost": XGBOOST, "ssm": NETWORK, "ensemble": ENSEMBLE}


def task_of(**models: Any) -> Task:
    """The mortality question with these models."""
    return Task(name="mortality", label="in_hospital_death", models=models)


def write_task(conf: Path, task: Task) -> None:
    """The question as a file of a folder `conf`."""
    (conf / "tasks").mkdir(parents=True, exist_ok=True)
    (conf / "tasks" / f"{task.name}.yml").write_text(yaml.safe_dump(task.model_dump(mode="json"), sort_keys=False))


def write_gold(lake: Path, seed: int = 0, swapped: bool = False) -> None:
    """Cohort, features and sequences of STAYS stays, half of them to train on; a new version where they are there.

    Three of ten die, the likelier the higher their lactate. `swapped` trains on the half that is otherwise held out.
    """
    rng = np.random.default_rng(seed)
    stays = [f"stay-{i:03}" for i in range(STAYS)]
    lactate = rng.lognormal(0.7, 0.6, STAYS)
    death = (lactate + rng.normal(0, 0.7, STAYS) > 2.8).astype(np.int32)
    first = np.arange(STAYS) % 2 == 0
    cohort = {
        "stay_id": stays,
        "source": ["made_up"] * STAYS,
        "patient_id": [f"patient-{i:03}" for i in range(STAYS)],
        "split": np.where(first ^ swapped, "train", "test"),
        "in_hospital_death": death,
    }
    features = {
        "stay_id": stays,
        "source": ["made_up"] * STAYS,
        **{name: rng.integers(0, 2, STAYS).astype(float) for name in STATICS},
        "lactate_last": np.where(rng.random(STAYS) < 0.1, np.nan, lactate),
        "heart_rate_mean": rng.normal(85, 12, STAYS),
    }
    counts = rng.integers(0, 6, STAYS)
    sequences = {
        "stay_id": stays,
        "source": ["made_up"] * STAYS,
        "minutes": [sorted(rng.integers(0, 2880, n).tolist()) for n in counts],
        "concepts": [rng.choice([HEART_RATE, LACTATE], n).tolist() for n in counts],
        "values": [rng.normal(20, 5, n).tolist() for n in counts],
    }
    arrays = {"minutes": pa.list_(pa.int32()), "concepts": pa.list_(pa.int32()), "values": pa.list_(pa.float64())}
    for name, columns in (("cohort", cohort), ("features", features), ("sequences", sequences)):
        table = pa.table({key: pa.array(values, arrays.get(key)) for key, values in columns.items()})
        write_deltalake(str(lake / "gold" / f"mortality_{name}"), table, mode="overwrite")
