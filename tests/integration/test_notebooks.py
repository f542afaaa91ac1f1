"""The notebooks: each runs from top to bottom on a generated lake, and what is committed is what a run draws."""

import base64
import io
import re
from typing import Any

import matplotlib.image
import nbformat
import pytest
from nbformat import NotebookNode

from jobs.sql import query_duckdb, query_spark
from notebooks.run import HERE, METADATA, digest, executed
from tests.integration.conftest import quiet_context
from tests.integration.made_site import Site
from tests.raw_csv import rows

DRAWN = {
    "1_tour_of_the_lake": 3, "2_exploring_the_cohort": 6, "3_models_compared": 7, "4_sql_on_predictions": 5,
}  # fmt: skip
PATHS = re.compile(r"(/(home|root|tmp|var|usr|work|opt|mnt|Users)/)|[A-Z]:\\|file:/|site-packages")
IDENTIFIERS = re.compile(r"\b(challenge2012|mimiciii|mimiciv)-\w+|\b[0-9a-f]{32}\b|set-[abc]/\d+|\d+\.txt")
"""Of stays and patients as silver has them, with and without a pseudonym key, and of records."""


def committed(name: str) -> NotebookNode:
    return nbformat.read(HERE / f"{name}.ipynb", as_version=4)


def code_of(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs_of(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in code_of(notebook) for output in cell.outputs]


def pictures_of(notebook: NotebookNode) -> list[bytes]:
    return [base64.b64decode(o.data["image/png"]) for o in outputs_of(notebook) if "image/png" in o.get("data", {})]


def words_of(notebook: NotebookNode) -> str:
    """Everything that a reader of the outputs would see, pictures apart."""
    told: list[Any] = []
    for output in outputs_of(notebook):
        told += [text for kind, text in output.get("data", {}).items() if kind.startswith("text/")]
        told += [output.get("text", ""), output.get("evalue", "")]
    return "\n".join(map(str, told))


def kinds_of(notebook: NotebookNode) -> list[list[str]]:
    return [[kind for output in cell.outputs for kind in sorted(output.get("data", {}))] for cell in code_of(notebook)]


def check(notebook: NotebookNode, name: str) -> None:
    """Every cell ran, in order, without an error or a warning; every plot is there; nobody and no machine is named."""
    cells = code_of(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert {output.output_type for output in outputs_of(notebook)} <= {"display_data", "execute_result", "stream"}
    assert "stderr" not in {output.get("name") for output in outputs_of(notebook)}
    pictures = pictures_of(notebook)
    assert len(pictures) == DRAWN[name]
    for picture in pictures:
        pixels = matplotlib.image.imread(io.BytesIO(picture), format="png")
        assert pixels.shape[0] > 200 and pixels.shape[1] > 400, "large enough to be read"
        assert len({tuple(one) for one in pixels[::7, ::7, :3].reshape(-1, 3).round(2)}) > 10, "more than a frame"
    told = words_of(notebook)
    assert len(told) > 300
    assert not PATHS.search(told) and not IDENTIFIERS.search(told), (PATHS.search(told), IDENTIFIERS.search(told))


def test_each_notebook_is_known_here() -> None:
    assert {path.stem for path in HERE.glob("*.ipynb")} == set(DRAWN)


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_committed_was_drawn_by_the_code_that_is_committed(name: str) -> None:
    notebook = committed(name)
    nbformat.validate(notebook)
    assert notebook.metadata == {**METADATA, "drawn_by": digest(notebook)}, "stale outputs: make notebooks"
    assert all(cell.metadata == {} for cell in notebook.cells)
    check(notebook, name)
    for picture in pictures_of(notebook):
        assert len(picture) < 200_000
    for target in re.findall(r"\]\(([^)]+)\)", "\n".join(cell.source for cell in notebook.cells)):
        assert (HERE / target).exists(), target
    for page in re.findall(r"`(docs/[\w-]+\.md)`", "\n".join(cell.source for cell in notebook.cells)):
        assert (HERE.parent / page).exists(), page


@pytest.mark.parametrize("name", DRAWN)
def test_it_runs_from_top_to_bottom(site: Site, name: str) -> None:
    notebook = executed(HERE / f"{name}.ipynb", site.root / "lake")
    stored = committed(name)
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in stored.cells]
    check(notebook, name)
    assert kinds_of(notebook) == kinds_of(stored), "a cell shows another kind of thing than is committed"
    outcomes = (site.raw / "challenge-2012" / "Outcomes-a.txt").read_text().splitlines()[1:]
    stays = rows(site.raw / "mimiciv-demo-2.2/icu/icustays.csv.gz")
    raw_ids = {line.split(",")[0] for line in outcomes} | {row["stay_id"] for row in stays}
    told = set(re.findall(r"\w+", words_of(notebook)))
    assert len(raw_ids) > 100 and not told & raw_ids


def test_queries_are_spark_sql_too(site: Site) -> None:
    """As a notebook on Databricks asks them: the engine gives as many rows of the same columns as DuckDB."""
    code = "\n".join(cell.source for name in DRAWN for cell in code_of(committed(name)))
    queries = [a or b for a, b in re.findall(r'sql\(\s*f?(?:"""(.*?)"""|"([^"]+)")', code, re.S)]
    assert len(queries) == code.count("here.sql(") > 15
    context = quiet_context(site.raw, site.root / "lake")
    for query in queries:
        asked = re.sub(r"\{.*?\}", "'hr', 'map'", query)
        by_engine, by_duckdb = query_spark(context, asked), query_duckdb(context.lake, asked)
        assert (by_engine.num_rows, by_engine.column_names) == (by_duckdb.num_rows, by_duckdb.column_names), asked


def test_reading_by_notebook_is_in_the_audit_trail(site: Site) -> None:
    """After the notebooks ran: each of them read, and said so."""
    read = [row for row in site.lake.records("ops.audit") if row["verb"] == "notebook"]
    assert {"gold.mortality_predictions", "silver.events"} <= {row["table"] for row in read}
    assert {row["access"] for row in read} == {"read"}


def test_paths_and_identifiers_would_be_found() -> None:
    for text in ("/home/ann/lake", "C:\\lake", "file:/x"):
        assert PATHS.search(text), text
    for text in ("challenge2012-133547", f"mimiciv-{'0f' * 16}", "set-a/132539.txt"):
        assert IDENTIFIERS.search(text), text
    assert not IDENTIFIERS.search("challenge2012, medical ICU") and not PATHS.search("challenge-2012/set-a.tar.gz")
