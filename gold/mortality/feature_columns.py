"""The last step of a feature table: one DOUBLE column a feature, from a stay's columns and its list of statistics.

In SQL that is an expression a column, and to plan a thousand of them, nested as the points of a score are, took the
engines longer than all the rest of a small table. Here NumPy has them, batch by batch, and there is nothing to plan.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from gold.mortality.feature import ByName, Feature, Values, features_ddl
from gold.mortality.statistics import PLACES, SERIES
from lakehouse.ddl import parse_columns
from lakehouse.mapping import map_in_arrow, spark_schema

KEYS = ("stay_id", "source")
DECIMALS = 10
"""Digits of a feature behind the point. Sums of floating numbers depend on the order of their terms, which no engine
promises: without rounding the slope of a constant series is 0 in one build and 1e-16 in the next, and trees tell the
two apart."""
STAYS = 2048
"""Stays whose features are made at a time, which bounds the memory of it."""

Make = Callable[[ByName], dict[str, Values]]
"""Makes features by name of others, or of columns beside them. An engine's workers find it by its name."""


def feature_columns(
    stays: DataFrame, features: Sequence[Feature], made: Sequence[Make] = (), off: Collection[str] = ()
) -> DataFrame:
    """stay_id, source and the features, a row for each of `stays`, which has the list of `statistics` beside its own.

    A feature is what one of `made` gives under its name, else a statistic, else the column of its name; null where it
    is `off`. A `zero` feature is 0 where it is missing; the others are rounded to `DECIMALS`.
    """
    needed = dict.fromkeys(feature.name for feature in features if feature.name not in off)

    def noted(name: str) -> Values:
        needed[name] = None
        return np.empty(0)

    own = needed.keys() - {name for make in made for name in make(noted)} - PLACES.keys()
    columns = FeatureColumns(
        tuple(feature.name for feature in features),
        frozenset(feature.name for feature in features if feature.zero),
        frozenset(off),
        tuple(made),
    )
    names = [*KEYS, *(name for name in needed if name in own), SERIES]
    return map_in_arrow(stays.select(*names), names, columns, spark_schema(parse_columns(features_ddl(features))))


@dataclass(frozen=True)
class FeatureColumns:
    """Batches of stays in, batches of features out: for `mapInArrow`."""

    names: tuple[str, ...]
    zero: frozenset[str]
    off: frozenset[str]
    made: tuple[Make, ...] = ()

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, STAYS):
                stays = batch.slice(start, STAYS)
                keys = {key: stays.column(key).cast(pa.string()) for key in KEYS}
                yield pa.RecordBatch.from_pydict(keys | dict(self._features(stays)))

    def _features(self, stays: pa.RecordBatch) -> Iterator[tuple[str, pa.Array]]:
        of = _Stays(stays)
        made = {name: values for make in self.made for name, values in make(of).items()}
        for name in self.names:
            if name in self.off:
                yield name, pa.nulls(stays.num_rows, pa.float64())
                continue
            values = made[name] if name in made else of(name)
            # Added to 0, no zero has a sign.
            values = np.where(np.isnan(values), 0.0, values) if name in self.zero else np.round(values, DECIMALS) + 0.0
            yield name, pa.array(values, pa.float64(), from_pandas=True)


class _Stays:
    """Columns of stays and statistics by name; NaN where there is none."""

    def __init__(self, stays: pa.RecordBatch) -> None:
        self._stays = stays
        self._rows = stays.column(SERIES).flatten()
        self._of_stay = pc.list_parent_indices(stays.column(SERIES)).to_numpy()
        concepts = self._rows.field("concept").cast(pa.string()).dictionary_encode()
        self._concept = concepts.indices.to_numpy()
        self._concepts = {concept: code for code, concept in enumerate(concepts.dictionary.to_pylist())}
        self._places: dict[str, NDArray[np.int64]] = {}
        self._fields: dict[str, Values] = {}

    def __call__(self, name: str) -> Values:
        if name not in PLACES:
            values: Values = self._stays.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
            return values
        concept, field = PLACES[name]
        if field not in self._fields:
            self._fields[field] = np.append(self._rows.field(field).to_numpy(zero_copy_only=False), np.nan)
        if concept not in self._places:
            self._places[concept] = self._place(concept)
        return self._fields[field][self._places[concept]]

    def _place(self, concept: str) -> NDArray[np.int64]:
        """In which row each stay has the concept; -1, where a field has NaN, if in none."""
        place = np.full(self._stays.num_rows, -1)
        if concept in self._concepts:
            its_own = np.flatnonzero(self._concept == self._concepts[concept])
            place[self._of_stay[its_own]] = its_own
        return place
