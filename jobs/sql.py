"""SQL over the lake: DuckDB on the Delta folders by default, the Spark engine where it is asked for."""

import difflib
import json
import math
import re
import sys
import tempfile
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast, get_args

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from duckdb_extensions import import_extension
from rich.console import Console
from rich.table import Table as RichTable

from jobs.console import LOG_WIDTH, results
from jobs.context import Context
from lakehouse.ddl import literal
from lakehouse.errors import ConfigError, one_sentence
from lakehouse.io import Lake
from lakehouse.records.snapshots import Snapshots

Format = Literal["table", "csv", "json", "parquet"]


def checked_format(name: str) -> Format:
    """The output format of that name; ConfigError for another."""
    for known in get_args(Format):
        if name == known:
            return cast(Format, known)
    raise ConfigError(f"output {name!r} is none of {', '.join(get_args(Format))}.")


_NAME = re.compile(r'"?\b(bronze|silver|gold|ops)\b"?\."?([a-z][a-z0-9_]*)\b"?', re.IGNORECASE)
"""A table's name as a query may write it."""
_FILE = re.compile(r"\b(parquet|delta|csv|json|text|orc|avro|binaryfile)\s*\.\s*[`\"]", re.IGNORECASE)
"""A file as Spark SQL would take it for a table."""


def query_duckdb(lake: Lake, query: str, as_of: str | None = None) -> pa.Table:
    """The query's result; views are made for just the tables that it names, so that a large lake starts as fast.

    Each table is read at one version throughout, whatever a run commits meanwhile: its current one, or the one that
    run `as_of` left. Nothing is written, and no file is read but those of the tables that are named. ConfigError in one
    sentence for a query that does not run.
    """
    connection = duckdb.connect()
    import_extension("delta", con=connection)
    named = {f"{layer}.{table}".lower() for layer, table in _NAME.findall(query)}
    versions = versions_of(lake, named, as_of)
    try:
        for name, version in versions.items():
            layer, table = name.split(".")
            location = f"file://{lake.location(name)}"
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{layer}"')
            lake.note(name, "read", version)
            scan = f"delta_scan({literal(location)}, version={version})"
            connection.execute(f'CREATE VIEW "{layer}"."{table}" AS SELECT * FROM {scan}')
        with tempfile.TemporaryDirectory() as spill:
            _confine(connection, query, [lake.location(name) for name in versions], Path(spill))
            return _in_utc(connection.execute(query).to_arrow_table())
    except duckdb.CatalogException as error:
        if absent := sorted(named.difference(versions)):
            if as_of is not None and lake.exists(absent[0]):
                raise ConfigError(f"there was no {absent[0]} yet when run {as_of} ended.") from error
            raise ConfigError(_absent(lake, absent[0])) from error
        raise ConfigError(_sentence(error)) from error
    except duckdb.Error as error:
        raise ConfigError(_sentence(error)) from error


def _confine(connection: duckdb.DuckDBPyConnection, query: str, folders: Iterable[Path], spill: Path) -> None:
    """ConfigError for a statement that is no query; from here on the connection opens no file outside the folders.

    DuckDB lets who may read a folder write there as well, which is why statements that write are refused by kind.
    """
    kinds = {statement.type for statement in connection.extract_statements(query)}
    made = {duckdb.StatementType.CREATE} if re.search(r"\bpivot\b", query, re.IGNORECASE) else set()
    explained = duckdb.StatementType.EXPLAIN in kinds and re.search(r"\bcopy\b", query, re.IGNORECASE)
    if explained or not kinds <= {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN} | made:
        raise ConfigError("ehr sql reads and never writes: the query must be a SELECT.")
    connection.execute("SET TimeZone = 'UTC'")  # of the lake, wherever the machine is
    # As literals: to look at a parameter, DuckDB would import pandas, which takes longer than the query.
    connection.execute(f"SET temp_directory = {literal(str(spill))}")
    allowed = ", ".join(literal(f"{scheme}{folder}/") for folder in folders for scheme in ("", "file://"))
    connection.execute(f"SET allowed_directories = [{allowed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def versions_of(lake: Lake, names: Iterable[str], as_of: str | None) -> dict[str, int]:
    """The version at which each of the tables is read, for those that there are, or were when run `as_of` ended."""
    if as_of is None:
        now = {name: lake.version(name) for name in sorted(names)}
        return {name: version for name, version in now.items() if version is not None}
    run = Snapshots(lake).find(as_of)
    states = {name: run.tables[name] for name in sorted(names) if name in run.tables}
    for name, state in states.items():
        if lake.table_id(name) != state.id or not lake.is_whole(name, state.version):
            raise ConfigError(f"{name} as run {run.run_id} left it is no longer in the lake.")
    return {name: state.version for name, state in states.items()}


def _sentence(error: duckdb.Error) -> str:
    """What DuckDB says, without the query repeated with a caret below the place."""
    return f"the query does not run: {' '.join(str(error).split(chr(10) * 2 + 'LINE ')[0].split())}"


def _absent(lake: Lake, name: str) -> str:
    known = lake.names()
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    hint = f"did you mean {near[0]}? `ehr tables` lists its {len(known)}" if near else "it has none yet"
    return f"the lake {lake.root} has no table {name}; {hint}."


def _in_utc(result: pa.Table) -> pa.Table:
    """The same instants, shown in UTC whatever the zone of this machine."""
    utc = [
        field.with_type(pa.timestamp("us", "UTC")) if pa.types.is_timestamp(field.type) and field.type.tz else field
        for field in result.schema
    ]
    return result.cast(pa.schema(utc))


def query_spark(context: Context, query: str) -> pa.Table:
    """The same on the Spark engine, to which each table of the lake is given by the name that its SQL knows.

    ConfigError for what is no query or names a file. It is no sandbox: what the engine may, its functions may.
    """

    from pyspark.errors import PySparkException  # noqa: PLC0415  (DuckDB's answers need none of it)

    def located(match: re.Match[str]) -> str:
        name = f"{match[1]}.{match[2]}".lower()
        if context.lake.exists(name):
            context.lake.note(name, "read")
        return context.lake.merge_target(name) if context.lake.exists(name) else match[0]

    if _FILE.search(query):
        raise ConfigError("ehr sql reads tables of the lake: the query names a file.")
    try:
        # In brackets only a query can stand, no statement that writes.
        return context.spark.sql(f"SELECT * FROM ({_NAME.sub(located, query).rstrip().rstrip(';')}\n)").toArrow()
    except PySparkException as error:
        raise ConfigError(f"the query does not run: {one_sentence(error)}") from error


def write(result: pa.Table, output: Format, out: Path | None) -> None:
    """Prints the result, or writes it to a file."""
    if output == "parquet":
        if out is None:
            raise ConfigError("parquet output needs --out FILE.")
        pq.write_table(result, out)
    elif output == "csv":
        pa_csv.write_csv(_flat(result), out if out else pa.PythonFile(sys.stdout.buffer, "w"))
    elif output == "json":
        text = json.dumps(_plain(result.to_pylist()), indent=2)
        out.write_text(text + "\n") if out else print(text)
    else:
        console = Console(file=out.open("w"), width=LOG_WIDTH) if out else results()
        table = RichTable(header_style="bold")
        for field in result.schema:
            number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
            table.add_column(field.name, justify="right" if number else "left", overflow="fold")
        for row in result.to_pylist():
            table.add_row(*(_cell(value) for value in row.values()))
        console.print(table)


def _flat(result: pa.Table) -> pa.Table:
    """The result with its lists and structs as JSON text, for a format that knows neither."""
    for i, field in enumerate(result.schema):
        if pa.types.is_nested(field.type):
            texts = [None if v is None else json.dumps(_plain(v)) for v in result.column(i).to_pylist()]
            result = result.set_column(i, field.name, pa.array(texts, pa.string()))
    return result


def _plain(value: Any) -> Any:
    """A value as JSON has it: times in ISO 8601, what is no number null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, timedelta | bytes) else value


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "\n".join(" ".join(_cell(v) for v in item.values()) for item in value)
    return "" if value is None else str(value)
