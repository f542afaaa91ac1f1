"""Identifiers past bronze: `<source>-<id>`, or a keyed HMAC-SHA256 of it when there is a key.

A plain hash of an eight-digit id is inverted by trying all of them; the key, which lives outside the lake, is what
protects. It travels to the workers inside a function, never as a literal of a query plan, so no plan or log shows it.
"""

import hashlib
import hmac
from dataclasses import dataclass, field

from pydantic import SecretStr
from pyspark.sql import Column
from pyspark.sql import functions as F

DIGITS = 32
"""Hex digits kept of the digest: 128 bits, so that two of a billion patients never meet."""


@dataclass(frozen=True)
class Identifier:
    """Makes the identifier of a source's patient, admission or stay; `kind` keeps equal numbers of two kinds apart."""

    key: SecretStr | None = field(default=None, repr=False)

    def __call__(self, source: str, column: str, kind: str = "") -> Column:
        """STRING column: the identifier of `column` (null stays null)."""
        label = f"{source}-{kind}-" if kind else f"{source}-"
        raw = F.col(column).cast("string")
        if self.key is None:
            return F.concat(F.lit(label), raw)
        import pandas as pd  # noqa: PLC0415  (half a second that a lake which is only looked at need not pay)

        secret = self.key.get_secret_value().encode()

        @F.pandas_udf("string")  # type: ignore[call-overload]
        def pseudonyms(values: pd.Series) -> pd.Series:
            # Ids repeat from row to row; each distinct one is hashed once a batch.
            known = {value: pseudonym(secret, label, value) for value in values.dropna().unique()}
            # Series.map would turn nulls into NaN, a number, which no engine takes for text.
            return pd.Series([known.get(value) for value in values], dtype=object)

        return pseudonyms(raw)

    def of(self, source: str, value: str) -> str:
        """The identifier of one value, as the column has it."""
        label = f"{source}-"
        return label + value if self.key is None else pseudonym(self.key.get_secret_value().encode(), label, value)

    @property
    def fingerprint(self) -> str:
        """Tells two keys apart without telling either."""
        return "plain" if self.key is None else pseudonym(self.key.get_secret_value().encode(), "fingerprint-", "key")


def pseudonym(secret: bytes, label: str, value: str) -> str:
    """`<label><32 hex digits>` of HMAC-SHA256(secret, label + value)."""
    return label + hmac.new(secret, (label + value).encode(), hashlib.sha256).hexdigest()[:DIGITS]
