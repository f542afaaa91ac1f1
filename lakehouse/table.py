"""The contract of one table, and of the parts that sources add to it.

A layer module declares `TABLE = Table(...)` beside one pure function `build`, whose parameters are named like
the last component of each input (`silver.stays` is given as `stays`). The registry finds both by walking the
layers; the runner does every read, check and write.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from lakehouse.ddl import Column, parse_columns

if TYPE_CHECKING:  # the contract itself needs no Spark, and machines that only train have none
    from pyspark.sql import DataFrame

Severity = Literal["error", "warn", "fail"]
WriteMode = Literal["overwrite", "append", "merge"]

MAPPED = "mapped"
"""Name of the input that stands for what a source's mapping gives."""

LEFT_OUT = "_left_out"
"""Accounting column: the named reason for which the function leaves this row out on purpose (null: it stays)."""
ROWS = "_rows"
"""Accounting column: how many input rows this row stands for (absent: one)."""
MERGED_AS = "_merged_as"
"""Accounting column: the named reason under which the input rows beyond the first were merged into this row."""
FROM = "_from"
"""Accounting column: the consumed input this row comes from, or a name such as `derived` for rows made here."""
RULES, NODE, RUN_ID = "_rules", "_node", "_run_id"
"""Quarantine's columns: names of the error rules that the row broke, which node refused it, and in which run."""
RAW_TEXT = "_raw"
"""Text of an input row that could not be parsed; kept in quarantine."""
MISREAD = "_misread"
"""Names of the rules that cells of a raw row break by not being of their column's type, a blank between two."""
SOURCE_FILE, SOURCE_ROW = "_source_file", "_source_row"
"""Lineage of a raw row: its file, relative to the raw folder, and its place in it."""
INGESTED_AT, BATCH_ID = "_ingested_at", "_batch_id"
"""Stamps of a raw row: when it was read, and by which ingestion. They say nothing of what the row says."""
STAMPS = (INGESTED_AT, BATCH_ID)
EXTRA = "_extra"
"""Cells of a raw row in columns that the contract does not know, as JSON."""
ACCOUNTING = (LEFT_OUT, ROWS, MERGED_AS, FROM, RAW_TEXT)


@dataclass(frozen=True)
class Rule:
    """A promise about every row: `check` is a Spark SQL expression that is true where the row keeps it.

    A null outcome counts as kept, so a rule speaks of values that are there; NOT NULL says that one must be.
    `error` rows go to quarantine, `warn` rows are counted, one `fail` row stops the table with nothing written.
    The expression may use columns that the function adds with a leading underscore and the schema leaves out.
    """

    name: str
    check: str
    severity: Severity = "error"


@dataclass(frozen=True)
class Raw:
    """How the raw files of a bronze table are found and read.

    `patterns` are regular expressions for a file's whole path relative to the raw folder, case ignored; their group
    `folder` is where the release lies (one release only) and `part` what a file holds of the table (each part once).
    `looks_like` says it for people. `reader` names the Python data source that parses the files.
    """

    source: str
    patterns: tuple[str, ...]
    reader: str = "ehr_csv"
    optional: bool = False
    looks_like: str = ""
    absent_ok: tuple[str, ...] = ()
    """Columns that some releases of the source lack; null where they do."""
    path_columns: tuple[tuple[str, str], ...] = ()
    """Columns that only the file's path tells: name, and the regular expression whose first group is the value."""
    min_rows: int = 0
    """Fewest rows that each file must give."""
    patient: str | None = None
    """Column whose value says whose row it is: `<source>-<value>` is the patient. None: no patient's rows."""


@dataclass(frozen=True)
class Table:
    """One table: what it is called, what it holds and promises, and what it is made from.

    `key_check` is off where the function groups by the key, so that the check would only repeat the shuffle.
    `consumes` names the inputs whose every row must be accounted for: written, quarantined, merged or left out.
    `by` promises that a row depends on the rows of one patient alone, and names the column that tells of whom:
    `patient_id`, or `stay_id`, whose patient an input that is keyed by stays knows. Such a table is built anew for the
    patients whose rows changed. What is fitted on many patients is a table of its own, without patients.
    `task` names the file in `conf/tasks` that is handed to the function as `task`.
    """

    name: str
    ddl: str
    key: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    mode: WriteMode = "overwrite"
    rules: tuple[Rule, ...] = ()
    partition_by: tuple[str, ...] = ()
    cluster_by: tuple[str, ...] = ()
    key_check: bool = True
    consumes: tuple[str, ...] = ()
    by: str | None = None
    task: str | None = None
    raw: Raw | None = None
    description: str = ""
    columns: tuple[Column, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]+\.[a-z][a-z0-9_]*", self.name):
            raise ValueError(f"table name {self.name!r} must read layer.table in lower case")
        object.__setattr__(self, "columns", parse_columns(self.ddl))
        names = {column.name for column in self.columns}
        for what, used in (
            ("key", self.key),
            ("partition_by", self.partition_by),
            ("cluster_by", self.cluster_by),
            ("by", (self.by,) if self.by else ()),
        ):
            if unknown := [name for name in used if name not in names]:
                raise ValueError(f"{self.name}: {what} names {unknown}, which the schema lacks")
        rules = [rule.name for rule in self.rules_in_force()]
        if wrong := sorted({name for name in rules if rules.count(name) > 1 or not re.fullmatch(r"\w+", name)}):
            raise ValueError(f"{self.name}: rule names {wrong} repeat or are not one word")

    @property
    def layer(self) -> str:
        return self.name.split(".")[0]

    @property
    def quarantine(self) -> str:
        return f"{self.name}_quarantine"

    @property
    def column_names(self) -> list[str]:
        return [column.name for column in self.columns]

    def rules_in_force(self) -> tuple[Rule, ...]:
        """The declared rules, after one `<column>_missing` rule for each NOT NULL column."""
        required = (Rule(f"{c.name}_missing", f"`{c.name}` IS NOT NULL") for c in self.columns if not c.nullable)
        return (*required, *self.rules)


@dataclass(frozen=True)
class Mapping:
    """One source's part of a silver table: a pure function from its bronze tables to mapped rows.

    `table` is the silver table it feeds; `consumes` as in `Table`. Its rows replace that source's partition alone.
    """

    source: str
    table: str
    inputs: tuple[str, ...]
    function: Callable[..., DataFrame]
    consumes: tuple[str, ...] = ()
