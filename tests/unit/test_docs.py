"""What is generated in `docs/` is what the code would generate today, and every link of the pages leads somewhere."""

import re
from pathlib import Path

import pytest

from jobs.dictionary import data_dictionary
from lakehouse.ledger import TABLES as OPS
from lakehouse.registry import registry

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_commands_and_files_that_there_are(page: Path) -> None:
    text = page.read_text()
    verbs = set(re.findall(r"^ehr ([\w-]+)|`ehr ([\w-]+)", text, re.M))
    from jobs.cli import app  # noqa: PLC0415

    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert {a or b for a, b in verbs} <= known
    for path in re.findall(r"`((?:lakehouse|bronze|silver|gold|models|jobs|conf|tests)/[\w/]+\.\w+)`", text):
        made_up = "clinicx" in path or "prolonged_stay" in path
        assert made_up or (ROOT / path).exists(), path
