"""What a feature matrix is: the name, kind and shape of each column, learned from the training rows and held
to later.

A frame that lacks a column, or brings one that the model never saw, is refused by name: a silent reindex
would turn a renamed feature into a missing value and a plausible, wrong risk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

SHOWN = 20  # names listed in a message; the exception holds all of them


class Kind(StrEnum):
    """How a column is to be read."""

    NOMINAL = "nominal"  # categories without order: one-hot
    ORDERED = "ordered"  # categories with an order: codes 0, 1, 2, ...
    FLAG = "flag"  # 0 or 1
    NUMERIC = "numeric"
    SERIES = "series"  # an array a row, of any length


@dataclass(frozen=True)
class Feature:
    """One column. `levels` (text categories only) in code order; `skew`, `missing` of the training rows."""

    name: str
    kind: Kind
    levels: tuple[str, ...] = ()
    skew: float = 0.0
    missing: float = 0.0


class FeatureMismatchError(ValueError):
    """The frame's columns are not the schema's. `missing` and `unknown` hold every name."""

    def __init__(self, missing: Sequence[str], unknown: Sequence[str]) -> None:
        self.missing, self.unknown = tuple(missing), tuple(unknown)
        found = (("missing", self.missing), ("unknown", self.unknown))
        super().__init__("; ".join(f"{what} features: {_listed(names)}" for what, names in found if names))


@dataclass(frozen=True)
class FeatureSchema:
    """The columns of a feature matrix, in order."""

    features: tuple[Feature, ...]

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]

    def of(self, *kinds: Kind) -> list[str]:
        """Names of the columns of these kinds, in order."""
        return [feature.name for feature in self.features if feature.kind in kinds]

    def check(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with the schema's columns in the schema's order, numbers as float64, text categories as
        they are.

        Raises FeatureMismatchError (a ValueError) naming missing and unknown columns, and ValueError naming
        columns that are doubled, hold text where numbers are expected, or hold an infinite value.
        """
        if not frame.columns.is_unique:
            raise ValueError(f"doubled features: {_listed(frame.columns[frame.columns.duplicated()])}")
        names = self.names
        missing = [name for name in names if name not in frame.columns]
        unknown = [str(name) for name in frame.columns.difference(names, sort=False)]
        if missing or unknown:
            raise FeatureMismatchError(missing, unknown)
        frame = frame[names]
        numbers = [f.name for f in self.features if not f.levels and f.kind is not Kind.SERIES]
        text = [name for name, dtype in frame[numbers].dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]
        if text:
            raise ValueError(f"features that are not numbers: {_listed(text)}")
        values = frame[numbers].to_numpy(dtype=np.float64, na_value=np.nan)
        infinite = np.isinf(values).any(axis=0)
        if infinite.any():
            raise ValueError(f"features with infinite values: {_listed(np.array(numbers)[infinite])}")
        checked = pd.DataFrame(values, index=frame.index, columns=numbers)
        if len(numbers) == len(self.features):
            return checked
        return pd.concat([checked, frame.drop(columns=numbers)], axis=1)[names]

    def codes(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The checked frame as float64, without series: text categories become their level's position, unseen ones
        NaN."""
        coded = self.check(frame).drop(columns=self.of(Kind.SERIES))
        for feature in self.features:
            if feature.levels:
                code = pd.Series(range(len(feature.levels)), index=list(feature.levels), dtype=np.float64)
                coded[feature.name] = coded[feature.name].map(code)
        return coded

    def to_dict(self) -> dict[str, Any]:
        """A plain form for JSON."""
        return {"features": [asdict(feature) for feature in self.features]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> FeatureSchema:
        return cls(
            tuple(
                Feature(**{**row, "kind": Kind(row["kind"]), "levels": tuple(row["levels"])})
                for row in plain["features"]
            )
        )


def describe(
    frame: pd.DataFrame,
    nominal: Iterable[str] = (),
    ordered: Mapping[str, Sequence[str]] | None = None,
    series: Iterable[str] = (),
) -> FeatureSchema:
    """The schema of the training rows `frame` (one row a stay, one column a feature).

    `nominal` names unordered categories; `ordered` maps an ordered category to its levels from low to high
    (empty for categories that are numbers already); `series` names columns of arrays. Columns of 0 and 1 alone are
    flags; all others must be numbers. Raises ValueError for a named category that the frame lacks.
    """
    ordered = dict(ordered or {})
    nominal, series = list(nominal), list(series)
    lacking = [name for name in [*nominal, *ordered] if name not in frame.columns]
    if lacking:
        raise ValueError(f"categories that are not in the frame: {_listed(lacking)}")
    numbers = frame.select_dtypes(include=["number", "bool"]).astype(np.float64)
    skew, missing = numbers.skew(), frame.isna().mean()
    flags = (numbers.isna() | (numbers == 0) | (numbers == 1)).all()

    def feature(name: str) -> Feature:
        if name in series:
            return Feature(name, Kind.SERIES)
        if name in ordered:
            return Feature(name, Kind.ORDERED, tuple(ordered[name]), missing=float(missing[name]))
        if name in nominal:
            text = not pd.api.types.is_numeric_dtype(frame[name])
            levels = tuple(sorted(map(str, frame[name].dropna().unique()))) if text else ()
            return Feature(name, Kind.NOMINAL, levels, missing=float(missing[name]))
        if name not in numbers.columns:
            return Feature(name, Kind.NUMERIC, missing=float(missing[name]))
        kind = Kind.FLAG if flags[name] else Kind.NUMERIC
        return Feature(name, kind, skew=float(np.nan_to_num(skew[name])), missing=float(missing[name]))

    schema = FeatureSchema(tuple(feature(str(name)) for name in frame.columns))
    schema.check(frame)
    return schema


def _listed(names: Iterable[Any]) -> str:
    names = [str(name) for name in names]
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest
