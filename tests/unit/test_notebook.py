"""How a notebook finds its lake, and how it asks it."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs import notebook
from jobs.notebook import open_lake
from lakehouse.ddl import parse_columns
from lakehouse.errors import ConfigError
from lakehouse.io import Lake

READINGS = parse_columns("stay_id STRING NOT NULL, value DOUBLE")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with the lake that `make run` leaves, and a notebook's folder as the working one."""
    monkeypatch.delenv("EHR_LAKE", raising=False)
    made(tmp_path / ".run" / "lake", 2)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    return tmp_path


def made(root: Path, rows: int) -> Path:
    Lake(root).append_records("silver.events", READINGS, [{"stay_id": f"s{i}", "value": float(i)} for i in range(rows)])
    return root


def test_it_opens_the_lake_of_make_run_from_any_folder_below(project: Path) -> None:
    here = open_lake()
    assert here.lake.root == project / ".run" / "lake"
    assert here.sql("select stay_id, value from silver.events order by value").values.tolist() == [["s0", 0], ["s1", 1]]
    assert repr(here) == "a lake of 1 tables in a local folder, engine sail", "no path"
    with pytest.raises(ConfigError, match=r"no table silver.stays; did you mean silver.events"):
        here.sql("select * from silver.stays")


@pytest.mark.usefixtures("project")
def test_another_lake_is_named_by_a_variable_or_an_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHR_LAKE", str(made(tmp_path / "by_variable", 3)))
    assert open_lake().lake.row_count("silver.events") == 3
    assert open_lake(lake=made(tmp_path / "by_argument", 4)).lake.row_count("silver.events") == 4


def test_no_lake_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EHR_LAKE", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no lake here yet: `make run` makes one"):
        open_lake()
    with pytest.raises(ConfigError, match="has no table yet"):
        open_lake(lake=tmp_path)


@pytest.mark.usefixtures("project")
def test_on_databricks_it_is_the_catalog_of_dev_by_the_given_session(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr("lakehouse.unity.UnityLake.names", lambda lake: asked.append(lake.spark) or ["silver.stays"])
    monkeypatch.setattr("jobs.context.Context.spark", spark)
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    here = open_lake(name_prefix="dev_ann_")
    settings = here.context.settings
    assert (settings.env, settings.engine, settings.catalog) == ("dev", "databricks", "ehr_dev")
    assert asked == [spark] and settings.name_prefix == "dev_ann_"
    assert repr(here) == "a lake of 1 tables in catalog ehr_dev, engine databricks"
    monkeypatch.setattr(notebook, "query_spark", lambda _context, query: spark.sql(query).toArrow())
    assert here.sql("select 1 as one")["one"].tolist() == [1]


@pytest.mark.usefixtures("project")
def test_a_lake_that_cannot_be_written_is_read_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registered = []
    monkeypatch.setattr("jobs.notebook.atexit.register", registered.append)
    here = open_lake()
    assert len(here.sql("select * from silver.events")) == 2
    (tell,) = registered
    tell()
    (row,) = here.lake.records("ops.audit")
    assert (row["verb"], row["access"], row["table"], row["version"]) == ("notebook", "read", "silver.events", 1)

    def refuse(*_: object) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr("lakehouse.io.Lake.append_records", refuse)
    here.sql("select * from silver.events")
    tell()
    assert "this access is not in ops.audit: read-only file system" in capsys.readouterr().err
