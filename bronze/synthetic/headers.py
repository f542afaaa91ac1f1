"""Headers of the MIMIC tables as their releases publish them: the columns of the contracts, in their order."""

from collections.abc import Iterable

from bronze.mimiciii import TABLES as MIMICIII_TABLES
from bronze.mimiciv.hosp import HOSP
from bronze.mimiciv.icu import ICU
from bronze.mimiciv.orders import ORDERS
from lakehouse.feeds.rawfiles import raw_columns
from lakehouse.table import Table


def _headers(prefix: str, tables: Iterable[Table]) -> dict[str, str]:
    return {
        prefix + table.name.split("_", 1)[1]: ",".join(column for column, _ in raw_columns(table)) for table in tables
    }


MIMICIII = {name.upper(): header for name, header in _headers("", MIMICIII_TABLES).items()}
"""By the name of the file: `ADMISSIONS`."""

MIMICIV = _headers("hosp/", (*HOSP, *ORDERS)) | _headers("icu/", ICU)
"""By folder and name of the file: `hosp/admissions`."""
# The release shouts two columns of this table.
for _column in ("originalamount", "originalrate"):
    MIMICIV["icu/procedureevents"] = MIMICIV["icu/procedureevents"].replace(_column, _column.upper())
