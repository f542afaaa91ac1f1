"""SQL over the lake: DuckDB on the Delta folders by default, the Spark engine where it is asked for."""

import re
import sys
from pathlib import Path
from typing import Literal, cast, get_args

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from duckdb_extensions import import_extension
from rich.console import Console
from rich.table import Table as RichTable

from jobs.console import LOG_WIDTH, results
from jobs.context import Context
from lakehouse.errors import ConfigError, one_sentence
from lakehouse.io import Lake

Format = Literal["table", "csv", "json", "parquet"]


def checked_format(name: str) -> Format:
    """The output format of that name; ConfigError for another."""
    for known in get_args(Format):
        if name == known:
            return cast(Format, known)
    raise ConfigError(f"output {name!r} is none of {', '.join(get_args(Format))}.")


def query_duckdb(lake: Lake, query: str) -> pa.Table:
    """The query's result; views are made for just the tables that it names, so that a large lake starts as fast."""
    connection = duckdb.connect()
    import_extension("delta", con=connection)
    for name in _tables_named(connection, query):
        if not lake.exists(name):
            raise ConfigError(f"the lake has no table {name}; it has {', '.join(lake.names()) or 'none yet'}.")
        layer, table = name.split(".")
        location = str(lake.location(name)).replace("'", "''")
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{layer}"')
        connection.execute(f"""CREATE VIEW "{layer}"."{table}" AS SELECT * FROM delta_scan('file://{location}')""")
    return _in_utc(connection.execute(query).to_arrow_table())


def _in_utc(result: pa.Table) -> pa.Table:
    """The same instants, shown in UTC whatever the zone of this machine."""
    utc = [
        field.with_type(pa.timestamp("us", "UTC")) if pa.types.is_timestamp(field.type) and field.type.tz else field
        for field in result.schema
    ]
    return result.cast(pa.schema(utc))


def _tables_named(connection: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    try:
        named = connection.get_table_names(query, qualified=True)
    except duckdb.Error as error:
        raise ConfigError(f"the query does not parse: {one_sentence(error)}") from None
    return sorted(name.replace('"', "") for name in named if name.count(".") == 1)


def query_spark(context: Context, query: str) -> pa.Table:
    """The same on the Spark engine: names of lake tables become paths of their Delta folders."""

    def located(match: re.Match[str]) -> str:
        name = match[0]
        return f"delta.`{context.lake.location(name)}`" if context.lake.exists(name) else name

    frame = context.spark.sql(re.sub(r"\b(bronze|silver|gold|ops)\.[a-z][a-z0-9_]*\b", located, query))
    return frame.toArrow()


def write(result: pa.Table, output: Format, out: Path | None) -> None:
    """Prints the result, or writes it to a file."""
    if output == "parquet":
        if out is None:
            raise ConfigError("parquet output needs --out FILE.")
        pq.write_table(result, out)
    elif output == "csv":
        pa_csv.write_csv(result, out if out else pa.PythonFile(sys.stdout.buffer, "w"))
    elif output == "json":
        text = result.to_pandas().to_json(orient="records", date_format="iso", indent=2)
        out.write_text(text) if out else print(text)
    else:
        console = Console(file=out.open("w"), width=LOG_WIDTH) if out else results()
        table = RichTable(header_style="bold")
        for field in result.schema:
            number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
            table.add_column(field.name, justify="right" if number else "left", overflow="fold")
        for row in result.to_pylist():
            table.add_row(*(_cell(value) for value in row.values()))
        console.print(table)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "\n".join(" ".join(_cell(v) for v in item.values()) for item in value)
    return "" if value is None else str(value)
