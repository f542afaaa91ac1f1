"""PhysioNet/CinC Challenge 2012: records of 48 ICU hours, from folders or straight from their tarballs, and outcomes.

Silva et al., Comput Cardiol 39:245-248 (2012); https://physionet.org/content/challenge-2012/1.0.0/. A record is a file
`<RecordID>.txt` of lines `Time,Parameter,Value`: descriptors at 00:00 among measurements. -1 stands for missing in
the descriptors Height, Gender and Weight and in the outcomes. `challenge2012_records` reads the records.

A set is known by its letter wherever it lies below the raw folder, so that one more can be dropped beside the others.
Records whose outcomes are not there (yet) are stays without a label.
"""

from lakehouse.feeds.rawfiles import KNOWN, LINEAGE, PARSED
from lakehouse.table import Raw, Table

MEASUREMENTS = Table(
    name="bronze.challenge2012_measurements",
    ddl=f"""
        record_set STRING NOT NULL COMMENT 'a, b or c, from the path',
        record_id BIGINT NOT NULL COMMENT 'record, one ICU stay, from the name of its file',
        time STRING COMMENT 'hours and minutes since admission to the ICU, HH:MM',
        parameter STRING COMMENT 'what was measured or described, null where the line leaves it blank',
        value DOUBLE COMMENT 'value in the unit of the parameter; -1 stands for missing in descriptors',
        {LINEAGE}""",
    key=("_source_file", "record_id", "_source_row"),
    key_check=False,
    mode="append",
    rules=(PARSED, KNOWN),
    raw=Raw(
        source="challenge2012",
        patterns=(
            r"(?:.+/)?(?P<part>set-[a-z])\.(?:tar\.gz|tgz|tar)",
            r"(?:.+/)?(?P<part>set-[a-z]/\d+)\.txt",
        ),
        reader="challenge2012_records",
        looks_like="set-?.tar.gz or set-?/*.txt",
        path_columns=(("record_set", r"set-([a-z])(?:\.t|/)"),),
        patient="record_id",
    ),
    description="One row a line of a record, header apart.",
)

OUTCOMES = Table(
    name="bronze.challenge2012_outcomes",
    ddl=f"""
        record_set STRING NOT NULL COMMENT 'a, b or c, from the name of the file',
        record_id BIGINT NOT NULL COMMENT 'record, one ICU stay; its header name is RecordID',
        saps_i INT COMMENT 'SAPS-I score; -1 missing',
        sofa INT COMMENT 'SOFA score; -1 missing',
        length_of_stay INT COMMENT 'days from ICU admission to the end of the hospital stay; -1 missing',
        survival INT COMMENT 'days from ICU admission to death; -1: no death recorded',
        in_hospital_death INT COMMENT '1: died in the hospital, 0: survived',
        {LINEAGE}""",
    key=("record_id",),
    mode="append",
    rules=(PARSED, KNOWN),
    raw=Raw(
        source="challenge2012",
        patterns=(r"(?:.+/)?outcomes-(?P<part>[a-z])\.(?:txt|csv)",),
        looks_like="Outcomes-?.txt",
        path_columns=(("record_set", r"outcomes-([a-z])\."),),
        min_rows=1,
        optional=True,
        patient="record_id",
    ),
    description="One row a record: how the stay ended.",
)

TABLES = (MEASUREMENTS, OUTCOMES)
