"""A stay's rows of a long table side by side: one row a stay, one struct a concept.

In SQL that is a conditional maximum a column. To plan a thousand of those, and to carry them through joins one by one,
took the engines longer than all the rest of a small table of features; Arrow's `take` has nothing to plan.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

STAYS = 2048
"""Stays that are laid out at a time, which bounds the memory of it."""
ROWS = "_rows"


def struct_of(concept: str) -> str:
    """Name of the struct of a concept."""
    return f"{concept}_series"


def side_by_side(long: DataFrame, totals: Mapping[str, Column], fields: Mapping[str, Sequence[str]]) -> DataFrame:
    """One row for every `stay_id` of `long`, which has one row a stay and `concept`, and columns of DOUBLE.

    Columns: stay_id, the `totals` (DOUBLE, aggregates over the rows of a stay), then for each concept of `fields` the
    struct `struct_of(concept)` of those columns; its fields are null where the stay has no row of the concept.
    """
    kept = sorted({name for names in fields.values() for name in names})
    by_stay = long.groupBy("stay_id").agg(
        *(column.alias(name) for name, column in totals.items()),
        F.collect_list(F.struct("concept", *kept)).alias(ROWS),
    )
    structs = (
        f"`{struct_of(concept)}` STRUCT<{', '.join(f'`{name}`: DOUBLE' for name in names)}>"
        for concept, names in fields.items()
    )
    ddl = ", ".join(("stay_id STRING", *(f"`{name}` DOUBLE" for name in totals), *structs))
    layout = Layout(tuple(totals), tuple((concept, tuple(names)) for concept, names in fields.items()))
    return by_stay.mapInArrow(layout, ddl)


@dataclass(frozen=True)
class Layout:
    """Batches in, with the rows of each stay as a list; batches of a struct a concept out: for `mapInArrow`."""

    totals: tuple[str, ...]
    fields: tuple[tuple[str, tuple[str, ...]], ...]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, STAYS):
                yield self._laid_out(batch.slice(start, STAYS))

    def _laid_out(self, stays: pa.RecordBatch) -> pa.RecordBatch:
        rows = stays.column(ROWS).flatten()
        whose = pc.list_parent_indices(stays.column(ROWS)).to_numpy()
        concepts = rows.field("concept").cast(pa.string()).dictionary_encode()
        codes, known = concepts.indices.to_numpy(), concepts.dictionary.to_pylist()
        columns = {
            "stay_id": stays.column("stay_id").cast(pa.string()),
            **{name: stays.column(name).cast(pa.float64()) for name in self.totals},
        }
        for concept, names in self.fields:
            place = np.full(stays.num_rows, -1)
            if concept in known:
                its_own = np.flatnonzero(codes == known.index(concept))
                place[whose[its_own]] = its_own
            taken = pa.array(place, mask=place < 0)
            columns[struct_of(concept)] = pa.StructArray.from_arrays([rows.field(n).take(taken) for n in names], names)
        return pa.RecordBatch.from_pydict(columns)
