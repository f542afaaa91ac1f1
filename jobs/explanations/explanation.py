"""Everything that is said of one stay: its risk, the reasons in words, and the course that they were read from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.special import expit

from jobs.context import Context
from jobs.scoring import matrix
from jobs.sql import query_duckdb, query_spark
from jobs.training.registry import champion_of
from jobs.words import words
from lakehouse.ddl import literal
from lakehouse.errors import ConfigError, ModelError
from lakehouse.reference import read_dictionary
from lakehouse.registry import registry
from lakehouse.tasks import Task
from models.base import Moments
from models.explain import Contribution, Moment, top_contributions, top_moments
from models.features import FeatureMismatchError, Kind
from models.sequence.events import COLUMNS

MOST = 10_000  # reasons and hours: all that there are


@dataclass(frozen=True)
class Concept:
    """A concept of the clinical dictionary; `normal` is the reference range of adults where there is one."""

    name: str
    label: str
    unit: str
    normal: tuple[float, float] | None


@dataclass(frozen=True)
class Sign:
    """All reasons that speak of one thing, such as a concept: their sum in log odds, and the largest among them."""

    label: str
    contribution: float
    main: Contribution


@dataclass(frozen=True)
class Explanation:
    """One stay as a champion sees it.

    `start` is the risk before anything moved it. `reasons` (by feature) and `hours` (by channel and hour) are in order
    of size; `moments` holds all hours of all channels, None where the model reads no course; `course` the
    measurements: hours and values by concept. `stored` is the row of the predictions table, if there is one; `words`
    are features in words, with their units. `over_time` are risks by the hours that the model was told, where they were
    asked for.
    """

    stay_id: str
    source: str
    facts: str
    start: float
    risk: float
    threshold: float
    model: str
    version: int
    window_hours: int
    reasons: list[Contribution]
    hours: list[Moment]
    moments: Moments | None
    course: dict[str, tuple[np.ndarray, np.ndarray]]
    concepts: dict[str, Concept]
    words: dict[str, str]
    stored: dict[str, Any] | None
    over_time: dict[int, float] = field(default_factory=dict)

    @property
    def flagged(self) -> bool:
        return self.risk >= self.threshold

    def signs(self) -> list[Sign]:
        """The reasons gathered by what they speak of, in order of size."""
        gathered: dict[str, list[Contribution]] = {}
        for one in self.reasons:
            gathered.setdefault(self.name_of(one.feature).split(": ")[0], []).append(one)
        found = [Sign(label, sum(one.contribution for one in of), of[0]) for label, of in gathered.items()]
        return sorted(found, key=lambda sign: -abs(sign.contribution))

    def name_of(self, feature: str) -> str:
        """A feature, or a channel's course, in words without a unit."""
        if feature in self.words:
            text = re.sub(r" \[[^\]]*\]$", "", self.words[feature])
            if text.startswith("1: "):  # a flag: what it is when it is set
                return text.removeprefix("1: ").split(", 0: ")[0]
            return text if ": " in text else text.split(", ")[0]
        concept = self.concepts.get(feature)
        return f"{concept.label}: course" if concept else feature

    def value_of(self, feature: str, value: float | None) -> str:
        """A value with its unit."""
        if value is None:
            return "not measured"
        text = self.words.get(feature, "")
        if re.match(r"1: ", text):
            return "yes" if value else "no"
        unit, concept = re.search(r"\[([^\]]*)\]$", text), self.concepts.get(feature)
        told = unit[1] if unit else concept.unit if concept else ""
        number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
        return f"{number} ({told})" if told[:2] == "0-" else f"{number} {'' if told == '1' else told}".strip()


def explain_stay(context: Context, task: Task, stay_id: str) -> Explanation:
    """The explanation by the champion of today, from the gold tables as they stand.

    ConfigError where the cohort has no such stay, ModelError where there is no champion or it knows other features.
    """
    gold = f"gold.{task.name}_"
    cohort = _row(context, f"{gold}cohort", stay_id)
    features = _row(context, f"{gold}features", stay_id)
    if cohort is None or features is None:
        raise ConfigError(f"{gold}cohort has no stay {stay_id}: see ehr sql 'select stay_id from {gold}cohort'.")
    sequence = _row(context, f"{gold}sequences", stay_id)
    champion = champion_of(context, task)
    model = champion.scorer.model
    names = [name for name in features.column_names if name not in ("stay_id", "source")]
    inputs = pd.DataFrame(matrix(features.combine_chunks().to_batches()[0], names), columns=names)
    if model.schema.of(Kind.SERIES):
        if sequence is None:
            raise ConfigError(f"{gold}sequences has no stay {stay_id}: run ehr featurize.")
        for name in COLUMNS:
            inputs[name] = pd.Series(sequence[name].combine_chunks(), dtype=pd.ArrowDtype(sequence[name].type))
    try:
        found = model.reasons(inputs)
    except FeatureMismatchError as error:
        raise ModelError(f"the champion, version {champion.version}, refuses the features: {error}.") from None
    concepts = _concepts()
    stored = _row(context, f"{gold}predictions", stay_id)
    return Explanation(
        stay_id=stay_id,
        source=cohort["source"][0].as_py(),
        facts=_facts(features),
        start=float(expit(found.bias[0])),
        risk=float(expit(found.margins[0])),
        threshold=champion.scorer.threshold,
        model=champion.tags.get("model", model.kind),
        version=champion.version,
        window_hours=task.window_hours,
        reasons=[r for r in top_contributions(found.names, found.values, found.contributions, MOST)[0] if r[2] != 0],
        hours=top_moments(found.moments, MOST)[0] if found.moments else [],
        moments=found.moments,
        course=_course(sequence, concepts) if sequence is not None else {},
        concepts={concept.name: concept for concept in concepts.values()},
        words={column.name: column.comment for column in registry().tables[f"{gold}features"].columns},
        stored=stored.to_pylist()[0] if stored is not None else None,
    )


def _row(context: Context, table: str, stay_id: str) -> pa.Table | None:
    """The stay's row, without the rest of the table in memory; None where there is none."""
    if not context.lake.exists(table):
        return None
    query = f"SELECT * FROM {table} WHERE stay_id = {literal(stay_id)}"
    by_engine = context.settings.engine == "databricks"
    found = query_spark(context, query) if by_engine else query_duckdb(context.lake, query)
    return found if found.num_rows else None


def _concepts() -> dict[int, Concept]:
    normal: list[dict[str, Any]] = list(read_dictionary("conf.normal_ranges"))
    ranges = {row["concept"]: (row["low"], row["high"]) for row in normal}
    rows: list[dict[str, Any]] = list(read_dictionary("conf.concepts"))
    return {row["id"]: Concept(row["concept"], row["label"], row["unit"], ranges.get(row["concept"])) for row in rows}


def _course(sequence: pa.Table, concepts: dict[int, Concept]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    minutes, ids, values = (np.array(sequence[name][0].as_py()) for name in COLUMNS)
    return {
        concepts[i].name: (minutes[ids == i] / 60, values[ids == i]) for i in np.unique(ids).tolist() if i in concepts
    }


def _facts(features: pa.Table) -> str:
    """Age, sex and unit, as far as they are known."""
    row = features.to_pylist()[0]
    parts = [f"{row['age']:.0f} years" if row.get("age") is not None else "age unknown"]
    if row.get("male") is not None:
        parts.append(words("M" if row["male"] else "F"))
    parts += [words(unit) for unit in ("CCU", "CSRU", "MICU", "SICU") if row.get(f"icu_{unit.lower()}")]
    return ", ".join(parts)
