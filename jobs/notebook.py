"""A lake as a notebook opens it: found by the project's own settings, asked in SQL, answered in pandas."""

from __future__ import annotations

import atexit
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from jobs.console import messages
from jobs.context import Context
from jobs.sql import query_duckdb, query_spark
from lakehouse.errors import ConfigError, one_sentence
from lakehouse.settings import Settings, load_settings

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import SparkSession

    from lakehouse.io import Lake

MADE_BY_RUN = Path(".run/lake")
"""Where `make run` leaves its lake, below the project's folder."""


@dataclass(frozen=True)
class OpenLake:
    """A lake that is only looked at. `context` is what the functions of `jobs/` take."""

    context: Context

    @property
    def lake(self) -> Lake:
        return self.context.lake

    @property
    def spark(self) -> SparkSession:
        """The session that the engine gives; it starts when it is first asked for."""
        return self.context.spark

    @property
    def on_databricks(self) -> bool:
        return self.context.settings.engine == "databricks"

    def sql(self, query: str) -> pd.DataFrame:
        """What `ehr sql` answers. ConfigError in one sentence for a query that does not run."""
        found = query_spark(self.context, query) if self.on_databricks else query_duckdb(self.lake, query)
        return found.to_pandas()

    def __repr__(self) -> str:
        settings = self.context.settings
        place = f"catalog {settings.catalog}" if self.on_databricks else "a local folder"
        return f"a lake of {len(self.lake.names())} tables in {place}, engine {settings.engine}"


def open_lake(**given: Any) -> OpenLake:
    """The lake of the settings in force, `given` over all else.

    On Databricks that is Unity Catalog of environment `dev`, unless EHR_ENV or `env` names another, by the session that
    the notebook has. Elsewhere it is the lake that EHR_LAKE or `lake` names, or else the one that `make run` left in
    this folder or one above it. ConfigError where there is none.
    """
    settings = _settings(given)
    here = OpenLake(Context.of(settings, Console(quiet=True)))
    if not here.lake.names():
        raise ConfigError(f"the lake {settings.lake} has no table yet: start with make run.")
    _tell_audit(here.context)
    return here


def _tell_audit(context: Context) -> None:
    """From now on `ops.audit` is told after each cell what it read; where there are no cells, when the process ends."""

    def tell(_: object = None) -> None:
        try:
            context.audit("notebook")
        except Exception as error:  # a lake that cannot be written is still read
            context.lake.accesses.clear()
            messages().print(f"this access is not in ops.audit: {one_sentence(error)}", markup=False)

    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        shell.events.register("post_run_cell", tell)
    else:
        atexit.register(tell)


def _settings(given: dict[str, Any]) -> Settings:
    if "DATABRICKS_RUNTIME_VERSION" in os.environ and "EHR_ENV" not in os.environ:
        given = {"env": "dev", **given}
    settings = load_settings(**given)
    if settings.engine == "databricks" or "lake" in given or "EHR_LAKE" in os.environ:
        return settings
    return load_settings(**given, lake=_made_by_run())


def _made_by_run() -> Path:
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / MADE_BY_RUN).is_dir():
            return folder / MADE_BY_RUN
    raise ConfigError("there is no lake here yet: `make run` makes one, EHR_LAKE names another.")
