"""The documentation builds strictly into a site whose pages ask no other host for anything."""

import re
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from tests.command_blocks import ROOT

# What a browser fetches without being asked to.
_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b(?![^>]*rel=["']?canonical)[^>]*?\bhref=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|@import\s+["']?((?:https?:)?//[^"'\s;]+)|url\(["']?((?:https?:)?//[^"')]+)"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(folder)))
    return folder


def test_every_page_is_built_and_in_the_navigation(site: Path) -> None:
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert {page.stem for page in site.glob("*.html")} == pages | {"404"}
    front = (site / "index.html").read_text()
    assert {name for name in pages if f'href="{name}.html"' in front} == pages


def test_no_page_asks_another_host(site: Path) -> None:
    asked = {
        (file.name, "".join(found))
        for file in site.rglob("*")
        if file.suffix in (".html", ".css")
        for found in _FETCHED.findall(file.read_text())
    }
    assert asked == set()


@pytest.mark.parametrize(
    "asks",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/css">',
        "@import 'https://fonts.example/css';",
        "a { background: url(https://x.example/y.png) }",
    ],
)
def test_a_page_that_asks_would_be_found(asks: str) -> None:
    assert _FETCHED.search(asks)


def test_a_link_to_another_site_asks_nothing() -> None:
    assert not _FETCHED.search('<a href="https://docs.databricks.com/">Databricks</a>')
