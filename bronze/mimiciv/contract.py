"""What all MIMIC-IV contracts share: how a file is found, and the columns that come again and again."""

from lakehouse.feeds.rawfiles import KNOWN, LINEAGE, PARSED
from lakehouse.table import Raw, Table

SUBJECT = "subject_id BIGINT NOT NULL COMMENT 'patient'"
ADMISSION = "hadm_id BIGINT NOT NULL COMMENT 'hospital admission'"
ANY_ADMISSION = "hadm_id BIGINT COMMENT 'hospital admission, null outside one'"

BY_ROW = ("_source_file", "_source_row")
"""Key of a large table: unique as its rows are read, so that no check has to sort it."""


def table(
    module: str,
    name: str,
    *columns: str,
    key: tuple[str, ...] = BY_ROW,
    optional: bool = False,
    absent_ok: tuple[str, ...] = (),
    description: str,
) -> Table:
    """Contract of the file `<module>/<name>.csv[.gz]`; `absent_ok` are columns that came with a later release."""
    return Table(
        name=f"bronze.mimiciv_{name}",
        ddl=",".join((*columns, LINEAGE)),
        key=key,
        key_check=key != BY_ROW,
        mode="append",
        rules=(PARSED, KNOWN),
        raw=Raw(
            source="mimiciv",
            patterns=(rf"(?P<folder>(?:.+/)?){module}/{name}\.csv(?:\.gz)?",),
            looks_like=f"{module}/{name}.csv[.gz]",
            optional=optional,
            patient="subject_id" if SUBJECT in columns else None,
            absent_ok=absent_ok,
        ),
        description=description,
    )
