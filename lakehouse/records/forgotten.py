"""Patients whom the lake has forgotten: known by keyed digests, so that they can be left out when they come again.

The digests' key is a secret of the lake, drawn when the first patient is forgotten and stored wrapped by the pseudonym
key. A rotation of that key wraps the secret anew and leaves the digests as they are, though nobody knows any more whom
they stand for.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import SecretStr

from lakehouse.errors import ConfigError, ContractError
from lakehouse.table import LEFT_OUT, RAW_TEXT, Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import Column, DataFrame

    from lakehouse.io import Lake

FORGOTTEN = Table(
    name="ops.forgotten",
    description="One row a patient who was forgotten, and a second one when that was done.",
    key=("digest", "status"),
    mode="append",
    ddl="""
    digest STRING NOT NULL COMMENT 'HMAC-SHA256 of source and patient by a secret of this lake',
    source STRING NOT NULL COMMENT 'source system',
    status STRING NOT NULL COMMENT 'begun, before the first row was deleted, or finished',
    run_id STRING NOT NULL COMMENT 'the run',
    at TIMESTAMP NOT NULL COMMENT 'UTC',
    secret STRING NOT NULL COMMENT 'that secret, wrapped by the pseudonym key; the same in every row'
    """,
)
REASON = "forgotten"
"""Why ingestion leaves a row out."""
FORGET = "forget"
"""What `ops.runs` gives as the code of a build that took a patient's rows out."""
NAMELESS = "forgotten-"
"""What the name of a raw file that was called after a forgotten patient begins with in the lake's records."""
_DIGITS, _BYTES = 32, 32
_TOKEN = re.compile(r"[0-9A-Za-z_-]+")


@dataclass(frozen=True)
class Secret:
    """The key of the digests, and as it is stored: nonce, secret XOR HMAC(key, nonce), and a proof of the key."""

    value: bytes
    wrapped: str

    @classmethod
    def wrap(cls, value: bytes, key: SecretStr | None) -> "Secret":
        """A one-time pad: the nonce is fresh, so that no two secrets are wrapped by the same bytes."""
        nonce = secrets.token_bytes(16)
        parts = nonce, _xor(value, _pad(key, nonce)), hashlib.sha256(value).digest()
        return cls(value, "-".join(part.hex() for part in parts))

    @classmethod
    def unwrap(cls, wrapped: str, key: SecretStr | None) -> "Secret":
        """ConfigError where the key is another one than that which wrapped it."""
        nonce, sealed, proof = (bytes.fromhex(part) for part in wrapped.split("-"))
        value = _xor(sealed, _pad(key, nonce))
        if not hmac.compare_digest(hashlib.sha256(value).digest(), proof):
            raise ConfigError(
                "patients of this lake were forgotten under another pseudonym key: set EHR_PSEUDONYM_KEY to that one "
                "(ehr rotate-key changes it)."
            )
        return cls(value, wrapped)


@dataclass(frozen=True)
class Forgotten:
    """Who was forgotten, by digest. Adding somebody gives another one of these; `record` is what stores it."""

    secret: Secret
    digests: frozenset[str]
    unfinished: Mapping[str, str]
    """Of those whose forgetting did not come to its end, digest and source."""

    @classmethod
    def of(cls, lake: "Lake", key: SecretStr | None) -> "Forgotten":
        """ConfigError where the pseudonym key is not the one under which they were forgotten."""
        records = lake.records(FORGOTTEN.name)
        if not records:
            return cls(Secret.wrap(secrets.token_bytes(_BYTES), key), frozenset(), {})
        known = frozenset(r["digest"] for r in records)
        return cls(Secret.unwrap(records[0]["secret"], key), known, _unfinished(records))

    def digest(self, source: str, patient: str) -> str:
        return _digest(self.secret.value, source, patient)

    def holds(self, source: str, patient: str) -> bool:
        return self.digest(source, patient) in self.digests

    def names_one(self, source: str, file: str) -> bool:
        """Whether a raw file is called after a forgotten patient: its rows are theirs, and its name tells who."""
        return self.holds(source, PurePosixPath(file).name.split(".")[0])

    def record(self, lake: "Lake", digest: str, source: str, status: Literal["begun", "finished"], run_id: str) -> None:
        record = {"digest": digest, "source": source, "status": status, "run_id": run_id, "at": datetime.now(UTC)}
        lake.append_records(FORGOTTEN.name, FORGOTTEN.columns, [{**record, "secret": self.secret.wrapped}])

    def rewrap(self, lake: "Lake", key: SecretStr | None) -> "Forgotten":
        """The same patients under another pseudonym key, stored so."""
        secret = Secret.wrap(self.secret.value, key)
        if records := lake.records(FORGOTTEN.name):
            lake.overwrite_records(FORGOTTEN.name, [{**r, "secret": secret.wrapped} for r in records])
        return replace(self, secret=secret)

    def leave_out(self, frame: "DataFrame", table: Table) -> "DataFrame":
        """Raw rows, those of forgotten patients marked as left out; of a row that did not parse the text tells.

        Costs nothing where nobody was forgotten.
        """
        if not self.digests or table.raw is None or table.raw.patient is None:
            return frame
        from pyspark.sql import functions as F  # noqa: PLC0415  (who only reads digests needs no Spark)

        patient = F.col(table.raw.patient).cast("string")
        is_one = self._is_one(table.raw.source)(patient, F.when(patient.isNull(), F.col(RAW_TEXT)))
        return frame.withColumn(LEFT_OUT, F.when(is_one, F.lit(REASON)))

    def _is_one(self, source: str) -> "Callable[..., Column]":
        import pandas as pd  # noqa: PLC0415
        from pyspark.sql import functions as F  # noqa: PLC0415

        secret, digests = self.secret.value, self.digests

        def named(values: Iterable[str]) -> bool:
            return any(_digest(secret, source, value) in digests for value in values)

        @F.pandas_udf("boolean")  # type: ignore[call-overload]
        def is_one(patients: pd.Series, texts: pd.Series) -> pd.Series:
            known = {patient: named([patient]) for patient in patients.dropna().unique()}
            told = {text: named(_TOKEN.findall(text)) for text in texts.dropna().unique()}
            pairs = zip(patients, texts, strict=True)
            return pd.Series([known.get(patient, told.get(text, False)) for patient, text in pairs], dtype=bool)

        return is_one


def check_none_is_half_forgotten(lake: "Lake") -> None:
    """ContractError where a forgetting was killed: some of the patient's rows are still there."""
    if _unfinished(lake.records(FORGOTTEN.name)):
        raise ContractError("a patient is only half forgotten: run ehr forget again, before anything else.")


def mentions(column: str, values: list[str]) -> str:
    """SQL condition (of DataFusion and Spark): the text in `column` has one of `values` between other characters."""
    alternatives = "|".join(re.escape(value) for value in values)
    return f"regexp_like({column}, '(^|[^0-9A-Za-z_-])({alternatives})($|[^0-9A-Za-z_-])')"


def _unfinished(records: list[dict[str, Any]]) -> dict[str, str]:
    done = {r["digest"] for r in records if r["status"] == "finished"}
    return {r["digest"]: r["source"] for r in records if r["digest"] not in done}


def _digest(secret: bytes, source: str, patient: str) -> str:
    return hmac.new(secret, f"{source}-{patient}".encode(), hashlib.sha256).hexdigest()[:_DIGITS]


def _pad(key: SecretStr | None, nonce: bytes) -> bytes:
    secret = key.get_secret_value() if key else ""
    return hmac.new(secret.encode(), b"forgotten-" + nonce, hashlib.sha256).digest()


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
