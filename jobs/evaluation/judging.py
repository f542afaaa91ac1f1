"""Models judged on the same stays: figures, differences to one of them, subgroups. Computed here, printed elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from jobs.evaluation.figures import held_out
from jobs.training.matrix import Matrix
from lakehouse.errors import ConfigError, ModelError
from lakehouse.io import Lake
from lakehouse.tasks import Task
from models import stack
from models.base import Floats, Ints
from models.bootstrap import Interval, resampled
from models.evaluation import Subgroup, by_subgroup
from models.features import FeatureMismatchError
from models.metrics import choose_threshold
from models.registry import RegisteredModel

ALL = "all"
AGES = (0, 45, 55, 65, 75, 85, np.inf)
AGE_BANDS = ("under 45", "45-54", "55-64", "65-74", "75-84", "85 and over")


@dataclass(frozen=True)
class Judged:
    """Risks (n,) of the stays of a part, by one model or score; `version` and `run_id` of a registered one."""

    name: str
    risks: Floats
    threshold: float
    version: int | None = None
    run_id: str | None = None


@dataclass(frozen=True)
class Part:
    """Stays that the models did not learn from, and the models. The others are compared with `reference`."""

    name: str
    """test | out_of_fold | external"""
    title: str
    rows: Matrix
    models: tuple[Judged, ...]
    reference: str
    subgroup: str = ALL
    repeat: int = 0

    @property
    def n(self) -> int:
        return len(self.rows.label)

    @property
    def events(self) -> int:
        return int(self.rows.outcomes.sum())

    def of(self, name: str) -> Judged:
        """The model of this name."""
        return next(model for model in self.models if model.name == name)


@dataclass(frozen=True)
class Measured:
    """A part's figures by model, differences to the reference by model, and subgroups of the reference."""

    part: Part
    figures: Mapping[str, Mapping[str, Interval]]
    differences: Mapping[str, Mapping[str, Interval]]
    subgroups: tuple[Subgroup, ...] = ()


def measure(part: Part, seed: int, attributes: pd.DataFrame | None = None) -> Measured:
    """All models on the same resamples of patients; subgroups by `attributes` (index: stays) where they are given."""
    y, patients = part.rows.outcomes, part.rows.patient
    drawn = {one.name: resampled(y, one.risks, one.threshold, patients=patients, seed=seed) for one in part.models}
    best = drawn[part.reference]
    differences = {name: own.minus(best).intervals() for name, own in drawn.items() if name != part.reference}
    subgroups: list[Subgroup] = []
    if attributes is not None:
        here, one = attributes.loc[part.rows.label.index], part.of(part.reference)
        here = here.loc[:, here.nunique(dropna=False) > 1]  # a group of all stays is the part itself
        subgroups = by_subgroup(y, one.risks, one.threshold, here, patients=patients, seed=seed)
    return Measured(part, {name: own.intervals() for name, own in drawn.items()}, differences, tuple(subgroups))


def attributes_of(lake: Lake, rows: Matrix) -> pd.DataFrame:
    """What subgroups are formed by, indexed by stay: gender, age band, kind of ICU, source."""
    stays = lake.read_arrow("silver.stays", ["stay_id", "gender", "age", "icu_type"]).to_pandas().set_index("stay_id")
    here = stays.reindex(rows.cohort.index)
    bands = pd.cut(here["age"], AGES, right=False, labels=AGE_BANDS)
    return pd.DataFrame(
        {"gender": here["gender"], "age": bands, "icu_type": here["icu_type"], "source": rows.cohort["source"]}
    )


def title_of(words: str, rows: Matrix, task: Task) -> str:
    """What a part's tables are headed by."""
    return f"{task.name}: {words}; {held_out(rows, task)}; 95 % bootstrap intervals"


def check_outcomes(rows: Matrix, task: Task, what: str, place: str = "") -> None:
    """ConfigError where the stays of a part do not hold both outcomes; `place` is where in the task's file to look."""
    if rows.label.nunique() < 2:
        raise ConfigError(
            f"task {task.name}: its {what} has {len(rows.label)} labelled stays and needs both outcomes; "
            f"see {place}conf/tasks/{task.name}.yml."
        )


def judged(model: RegisteredModel, rows: Matrix) -> Judged:
    """A registered model's risks of the rows; ModelError where it does not fit their features."""
    kind = model.tags.get("model", model.scorer.model.kind)
    try:
        risks = model.scorer.model.risks(rows.inputs(model.scorer))
    except FeatureMismatchError as error:
        raise ModelError(f"{kind} version {model.version} does not fit the features: {error}. Run ehr train.") from None
    return Judged(f"{kind} v{model.version}", risks, model.scorer.threshold, model.version, model.run_id)


def baselines(task: Task, train_rows: Matrix, rows: Matrix, folds: Ints | None = None) -> list[Judged]:
    """Clinical scores as risks: one calibrated column each, a missing score at the training rows' median.

    `folds` (n,) where `rows` are the training rows themselves: each row's risk is then by the other folds' weights.
    """
    found = []
    for name in task.baselines:
        if name not in rows.features:
            raise ConfigError(f"baseline {name} of conf/tasks/{task.name}.yml is no feature.")
        learned = train_rows.features[name]
        scale = np.nanmax(learned) + 1
        # A score within (0, 1) orders rows as the score does; the fitted weights make it a risk.
        inside, outside = (
            ((part.features[name].fillna(learned.median()).clip(0, scale - 1).to_numpy() + 0.5) / scale)[:, None]
            for part in (train_rows, rows)
        )
        weights, intercept = stack.fit_weights(inside, train_rows.outcomes)
        threshold = choose_threshold(train_rows.outcomes, stack.weighed(inside, weights, intercept))
        if folds is None:
            risks = stack.weighed(outside, weights, intercept)
        else:
            risks = stack.out_of_fold(inside, train_rows.outcomes, folds)
        found.append(Judged(name, risks, threshold))
    return found
