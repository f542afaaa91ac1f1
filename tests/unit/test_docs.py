"""What is generated in `docs/` is what the code would generate today; links lead somewhere, commands are known."""

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from jobs.cli import app
from jobs.dictionary import data_dictionary
from jobs.reference import PAGES as REFERENCES
from lakehouse.records.ledger import TABLES as OPS
from lakehouse.registry import registry
from lakehouse.settings import Settings
from tests.command_blocks import ROOT, blocks, ehr_commands

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = [ROOT / "README.md", ROOT / "docs" / "tutorial.md"]
VERBS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def dictionary() -> str:
    return (ROOT / "docs" / "data-dictionary.md").read_text()


def test_the_data_dictionary_is_not_stale(dictionary: str) -> None:
    assert dictionary == data_dictionary(), "run: ehr dictionary > docs/data-dictionary.md"


def test_it_names_every_table_and_each_of_its_columns_and_rules(dictionary: str) -> None:
    sections = dict(re.findall(r"^####? (\w+\.\w+)\n(.*?)(?=^##|\Z)", dictionary, re.M | re.S))
    assert set(sections) == {*registry().tables, *(table.name for table in OPS)}
    for name, table in registry().tables.items():
        assert table.description in sections[name]
        for column in table.columns if len(table.columns) <= 60 and not table.raw else ():
            assert f"| {column.name} | {column.type}" in sections[name], f"{name}.{column.name}"
        for rule in table.rules if not table.raw else ():
            assert f"| `{rule.name}` | {rule.severity} |" in sections[name]


def test_a_wide_table_is_told_by_families_that_cover_every_column(dictionary: str) -> None:
    table = registry().tables["gold.mortality_features"]
    (section,) = re.findall(r"^### gold.mortality_features\n(.*?)^##", dictionary, re.M | re.S)
    lists = {letter: re.findall(r"`(\w+)`", names) for letter, names in re.findall(r"^- ([A-Z]): (.*)$", section, re.M)}
    families = re.findall(r"^\| (\w+_)\\\* \| .* \| ([A-Z]) \| (\d+) \|$", section, re.M)
    assert all(len(lists[letter]) == int(count) for _, letter, count in families)
    told = [prefix + statistic for prefix, letter, _ in families for statistic in lists[letter]]
    single = re.findall(r"^\| (\w+) \| (?:DOUBLE|STRING)", section, re.M)
    assert sorted([*told, *single]) == sorted(table.column_names)
    assert len(told) > 1000
    assert "| hr\\_\\* " in section or "| hr_\\* | Heart rate | bpm |" in section


def test_it_is_short_enough_to_be_read_in_a_browser(dictionary: str) -> None:
    assert len(dictionary.encode()) < 200_000


def anchors(page: Path) -> set[str]:
    """Those that a forge makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^a-z0-9_ -]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("name", REFERENCES)
def test_a_reference_page_is_not_stale(name: str) -> None:
    assert (ROOT / "docs" / f"{name}.md").read_text() == REFERENCES[name](), "run: make docs"


@pytest.mark.parametrize("verb", VERBS)
def test_the_reference_has_each_option_that_the_command_line_shows(verb: str) -> None:
    """The page is written from annotations; what `--help` shows comes from the parser itself."""
    shown = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "300", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    page = REFERENCES["command-line"]()
    (section,) = re.findall(rf"^## ehr {verb}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    told = {name for row in re.findall(r"^\| (`-.*?) \|", section, re.M) for name in re.findall(r"`([\w-]+)`", row)}
    boxed = re.findall(r"^\W+?((?:--[a-z][\w-]*[\s,]+)+)", shown.output, re.M)
    assert told == {name for names in boxed for name in re.findall(r"--[\w-]+", names)} - {"--help"}


def test_the_reference_has_each_setting_with_its_variable() -> None:
    rows = re.findall(r"^\| `(\w+)`<br>`(\w+)` \|", REFERENCES["settings"](), re.M)
    assert rows == [(name, f"EHR_{name.upper()}") for name in Settings.model_fields]


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    for block in blocks(page):
        assert block.kind in ("bash", "console", "text"), f"line {block.line}: what is it?"
        assert (block.reason is not None) == (block.kind == "console"), f"line {block.line}"
        assert block.kind != "text" or not re.search(r"^(ehr|make) ", block.text, re.M), f"line {block.line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_command_line_takes_what_the_blocks_say(page: Path) -> None:
    for block in blocks(page):
        if block.kind in ("bash", "console", ""):
            for verb, *words in filter(None, ehr_commands(block.text)):
                VERBS[verb].make_context(verb, words)


def test_a_command_that_is_not_taken_is_found() -> None:
    script = """
        before=$(ehr sql "select 1; -- ehr nothing
                          from t" --output csv | tail -n 1)  # ehr no-verb
        .venv/bin/ehr diff $before last | \\
          grep x && ehr tables --lak lake
    """
    found = ehr_commands(script)
    assert [words[0] for words in found] == ["sql", "diff", "tables"]
    assert found[1] == ["diff", "$before", "last"]
    VERBS["diff"].make_context("diff", found[1][1:])
    with pytest.raises(Exception, match="--lak"):
        VERBS["tables"].make_context("tables", found[2][1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_commands_options_settings_and_files_that_there_are(page: Path) -> None:
    text = page.read_text()
    verbs = set(re.findall(r"^ehr ([\w-]+)|`ehr ([\w-]+)", text, re.M))
    assert {a or b for a, b in verbs} - {"VERB"} <= set(VERBS)
    for verb, rest in re.findall(r"`ehr (?!VERB)([\w-]+)([^`]*)`", text):
        options = {name for parameter in VERBS[verb].params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert set(re.findall(r"(?<!\S)--[a-z][\w-]*", rest)) <= options | {"--help"}, f"ehr {verb}{rest}"
    assert {name.lower() for name in re.findall(r"\bEHR_([A-Z_]+)", text)} <= set(Settings.model_fields)
    for path in re.findall(r"`((?:lakehouse|bronze|silver|gold|models|jobs|conf|tests)/[\w/]+\.\w+)`", text):
        made_up = "clinicx" in path or "prolonged_stay" in path
        assert made_up or (ROOT / path).exists(), path
