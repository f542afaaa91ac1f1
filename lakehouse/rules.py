"""Rules applied in one pass: each row gets the names of the `error` rules it breaks, and marks for the others."""

from collections import Counter
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from lakehouse.ddl import spark_ddl
from lakehouse.errors import ContractError
from lakehouse.table import ACCOUNTING, LEFT_OUT, MISREAD, ROWS, Rule, Table

BROKEN = "_broken"
DUPLICATE_KEY = "duplicate_key"


def check_columns(frame: DataFrame, table: Table) -> None:
    """ContractError unless the frame has the contract's columns, each of its type, and else only `_` helper columns."""
    given = {f.name: f.dataType.simpleString() for f in frame.schema.fields}
    wanted = {c.name: c.spark_type for c in table.columns}
    problems = [f"lacks {name}" for name in wanted if name not in given]
    problems += [f"has {name} twice" for name, times in Counter(frame.columns).items() if times > 1]
    problems += [
        f"has {name}, which the contract does not know" for name in given if name not in wanted and name[0] != "_"
    ]
    problems += [
        f"has {name} as {given[name]} instead of {kind}"
        for name, kind in wanted.items()
        if given.get(name, kind) != kind
    ]
    if problems:
        raise ContractError(f"{table.name}: the frame " + "; ".join(problems) + ".")


def apply_rules(frame: DataFrame, table: Table) -> DataFrame:
    """The contract's columns, the accounting columns (those that the function did not give are filled in),
    `_broken STRING` (names, joined by spaces, of the error rules broken and of those that a reader named in
    `_misread`; empty for good and left-out rows), and one BOOLEAN a `warn` or `fail` rule. Helper columns end here:
    nothing after the rules reads them."""
    given = set(frame.columns)
    left_out = F.col(LEFT_OUT).cast("string") if LEFT_OUT in given else F.lit(None).cast("string")
    counted = left_out.isNull()
    errors = [F.when(_broken(rule), F.lit(rule.name)) for rule in table.rules_in_force() if rule.severity == "error"]
    if table.key_check:
        key_is_whole = reduce(lambda a, b: a & b, (F.col(k).isNotNull() for k in table.key))
        window = Window.partitionBy(*table.key, counted)
        errors.append(F.when(key_is_whole & (F.count(F.lit(1)).over(window) > 1), F.lit(DUPLICATE_KEY)))
    if MISREAD in given:
        errors.append(F.col(MISREAD))
    broken = F.when(counted, F.concat_ws(" ", *errors)).otherwise(F.lit("")) if errors else F.lit("")
    # One projection: on a wide frame every further one costs an engine another second of planning, and so does each
    # name that it is to look up among a thousand.
    columns = ["*"] if frame.columns == list(table.column_names) else table.column_names
    return frame.select(
        *columns,
        *(_accounting(name, name in given).alias(name) for name in ACCOUNTING),
        broken.alias(BROKEN),
        *((counted & _broken(rule)).alias(name) for name, rule in marks(table).items()),
    )


def is_good() -> Column:
    """Of rows that `apply_rules` gave: neither left out nor refused by an error rule."""
    return F.col(LEFT_OUT).isNull() & (F.col(BROKEN) == "")


def ruled_schema(table: Table) -> str:
    """DDL of what `apply_rules` gives."""
    accounting = (f"`{name}` {'BIGINT' if name == ROWS else 'STRING'}" for name in ACCOUNTING)
    marked = (f"`{name}` BOOLEAN" for name in marks(table))
    return ", ".join((spark_ddl(table.columns), *accounting, f"`{BROKEN}` STRING", *marked))


def _accounting(name: str, given: bool) -> Column:
    # A null literal has no type that a file could store, hence the casts.
    if name == ROWS:
        one = F.lit(1).cast("bigint")
        return F.coalesce(F.col(name).cast("bigint"), one) if given else one
    return F.col(name).cast("string") if given else F.lit(None).cast("string")


def marks(table: Table) -> dict[str, Rule]:
    """The `warn` and `fail` rules, each by the name of the helper column that is true where it is broken."""
    return {f"_{rule.severity}_{rule.name}": rule for rule in table.rules if rule.severity != "error"}


def _broken(rule: Rule) -> Column:
    return F.expr(f"NOT coalesce(({rule.check}), true)")
