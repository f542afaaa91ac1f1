"""What all MIMIC-III contracts share: how a file is found, and the columns that come again and again."""

from lakehouse.feeds.rawfiles import KNOWN, LINEAGE, PARSED
from lakehouse.table import Raw, Table

ROW_ID = "row_id BIGINT NOT NULL COMMENT 'row of the published table'"
SUBJECT = "subject_id BIGINT NOT NULL COMMENT 'patient'"
ADMISSION = "hadm_id BIGINT NOT NULL COMMENT 'hospital admission'"
ANY_ADMISSION = "hadm_id BIGINT COMMENT 'hospital admission, null outside one'"
ANY_STAY = "icustay_id BIGINT COMMENT 'ICU stay, null outside one'"
ITEM = "itemid BIGINT NOT NULL COMMENT 'what was recorded, see d_items'"
CAREGIVER = "cgid BIGINT COMMENT 'who recorded or validated it, see caregivers'"
CHARTED = "charttime TIMESTAMP COMMENT 'when it was observed'"
STORED = "storetime TIMESTAMP COMMENT 'when it was entered or validated'"


def table(
    name: str,
    *columns: str,
    key: tuple[str, ...] = ("row_id",),
    large: bool = False,
    optional: bool = False,
    description: str,
) -> Table:
    """Contract of the file `<NAME>.csv[.gz]`, which lies outside the folders `hosp` and `icu` of MIMIC-IV.

    A `large` table is keyed by file and row, unique as they are read, so that no check has to sort it.
    """
    return Table(
        name=f"bronze.mimiciii_{name}",
        ddl=",".join((*columns, LINEAGE)),
        key=("_source_file", "_source_row") if large else key,
        key_check=not large,
        mode="append",
        rules=(PARSED, KNOWN),
        raw=Raw(
            source="mimiciii",
            patterns=(rf"(?P<folder>(?:.+/)?)(?<!hosp/)(?<!icu/){name}\.csv(?:\.gz)?",),
            looks_like=f"{name.upper()}.csv[.gz]",
            optional=optional,
            patient="subject_id" if SUBJECT in columns else None,
        ),
        description=description,
    )
