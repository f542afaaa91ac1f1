"""Two sets of rows compared by DuckDB, in bounded memory: what does not fit goes to a folder that is deleted."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    import pyarrow.dataset as ds

MEMORY = "2GB"
"""What a comparison may hold in memory; more of it goes to temporary files."""


@contextmanager
def compared(sides: Mapping[str, ds.Dataset | pa.Table], threads: int = 2) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in which each side is a relation by its name."""
    import duckdb  # noqa: PLC0415  (an import that most runs do without)

    with tempfile.TemporaryDirectory() as spill, duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{MEMORY}'; SET preserve_insertion_order = false")
        connection.execute(f"SET temp_directory = '{spill}'; SET threads = {threads}; SET TimeZone = 'UTC'")
        for side, rows in sides.items():
            connection.register(side, rows)
        yield connection
