"""Dates past bronze, moved by whole weeks: each patient's by the same, which only the pseudonym key tells.

Times of one patient keep their distances, days of the week and hours, so that stays, windows and features are the same;
times of two patients tell nothing of each other any more (45 CFR 164.514(b)(2)(i)(C) lets no date but the year remain).
"""

import hashlib
import hmac
from dataclasses import dataclass, field

from pydantic import SecretStr
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

PATIENT, STAY = "patient_id", "stay_id"
DAY_MICROS = 24 * 3600 * 1_000_000


@dataclass(frozen=True)
class DateShift:
    """Moves dates back by 1 to `weeks` weeks; not at all where `weeks` is 0."""

    key: SecretStr | None = field(default=None, repr=False)
    weeks: int = 0

    def __call__(self, mapped: DataFrame, stays: DataFrame | None) -> DataFrame:
        """Mapped rows of one source, every DATE and TIMESTAMP of them moved.

        Whose a row is, its patient_id says, or its stay_id by silver's stays; a time of nobody's row becomes null.
        """
        if not self.weeks:
            return mapped
        times = {f.name: f.dataType.simpleString() for f in mapped.schema.fields}
        times = {name: kind for name, kind in times.items() if kind in ("date", "timestamp")}
        if not times:
            return mapped
        columns = mapped.columns
        if PATIENT not in columns:
            if STAY not in columns or stays is None:
                return mapped
            whose = stays.select(F.col(STAY).alias("_stay"), F.col(PATIENT))
            mapped = mapped.join(F.broadcast(whose), F.col(STAY) == F.col("_stay"), how="left")
        mapped = mapped.withColumn("_days", self._days(F.col(PATIENT)))
        moved = {name: _moved(F.col(name), kind).alias(name) for name, kind in times.items()}
        return mapped.select(*(moved.get(name, F.col(name)) for name in columns))

    def _days(self, patient: Column) -> Column:
        import pandas as pd  # noqa: PLC0415  (half a second that a lake whose dates stay need not pay)

        secret, weeks = self.key.get_secret_value().encode() if self.key else b"", self.weeks

        @F.pandas_udf("int")  # type: ignore[call-overload]
        def days(patients: pd.Series) -> pd.Series:
            known = {patient: days_of(secret, patient, weeks) for patient in patients.dropna().unique()}
            return pd.Series([known.get(patient) for patient in patients], dtype="Int32")

        moved: Column = days(patient)
        return moved

    @property
    def fingerprint(self) -> str:
        """Tells two ways to move dates apart; empty where they stay."""
        return f"weeks-{self.weeks}" if self.weeks else ""


def days_of(secret: bytes, patient: str, weeks: int) -> int:
    """7 to 7 * `weeks`, by HMAC-SHA256 of the patient's identifier."""
    drawn = int.from_bytes(hmac.new(secret, f"dates-{patient}".encode(), hashlib.sha256).digest()[:8])
    return 7 * (1 + drawn % weeks)


def _moved(time: Column, kind: str) -> Column:
    if kind == "date":
        return F.date_sub(time, F.col("_days"))
    return F.timestamp_micros(F.unix_micros(time) - F.col("_days").cast("bigint") * F.lit(DAY_MICROS))
