"""The pieces of a page as HTML: text is escaped, unless it is `Markup` already."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

HERE = Path(__file__).parent
NUMBER = re.compile(r"(> )?[-+]?[\d.,]+( ?%)?( .*\d.*| \(.*\))?|-|∞|")
"""A cell that reads as a number: a count, a share, an estimate with its limits, or nothing."""


class Markup(str):
    """HTML that needs no escaping."""

    __slots__ = ()


@dataclass(frozen=True)
class Section:
    """One heading of the page with what stands under it."""

    id: str
    title: str
    body: Sequence[Markup]


def markup(text: str) -> Markup:
    """Text as HTML; Markup as it is."""
    return text if isinstance(text, Markup) else Markup(html.escape(text))


def tag(name: str, *children: str, css: str = "") -> Markup:
    attribute = f' class="{css}"' if css else ""
    return Markup(f"<{name}{attribute}>{''.join(map(markup, children))}</{name}>")


def paragraph(*children: str) -> Markup:
    return tag("p", *children)


def note(*children: str) -> Markup:
    """What a reader must know to read what stands above."""
    return tag("p", *children, css="note")


def bullets(items: Iterable[str]) -> Markup:
    return tag("ul", *(tag("li", item) for item in items))


def tiles(figures: Sequence[tuple[str, str]]) -> Markup:
    """Large numbers, each over the words that say what it is."""
    return tag("div", *(tag("div", tag("b", number), tag("span", words)) for number, words in figures), css="tiles")


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str = "",
    marked: Iterable[int] = (),
    sections: Iterable[int] = (),
) -> Markup:
    """A table; columns whose cells are all numbers are set to the right.

    Rows whose places are `marked` are set in bold, those of `sections` are headings of the rows that follow.
    """
    bold, heading = set(marked), set(sections)
    plain = [row for i, row in enumerate(rows) if i not in heading]
    right = [bool(plain) and i > 0 and all(_is_number(row[i]) for row in plain) for i in range(len(headers))]
    css = ["n" if number else "" for number in right]
    head = tag("tr", *(tag("th", text, css=c) for text, c in zip(headers, css, strict=True)))
    body = [
        tag("tr", *(tag("td", text, css=c) for text, c in zip(row, css, strict=True)), css=_row_css(i, bold, heading))
        for i, row in enumerate(rows)
    ]
    title = [tag("caption", caption)] if caption else []
    return tag("div", tag("table", *title, tag("thead", head), tag("tbody", *body)), css="scroll")


def _row_css(place: int, bold: set[int], heading: set[int]) -> str:
    return "marked" if place in bold else "heading" if place in heading else ""


def _is_number(cell: str) -> bool:
    return NUMBER.fullmatch(re.sub(r"<[^>]*>", "", cell)) is not None


def figure(name: str, svg: str, alt: str, caption: str, wide: bool = False) -> Markup:
    """A drawing with its caption; `alt` is what a screen reader says in its place. `name` is unique on the page."""
    drawn = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg[svg.index("<svg") :])  # one page, many drawings
    drawn = drawn.replace("<svg", f'<svg role="img" aria-label="{html.escape(alt)}"', 1)
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.S)
    css = ' class="wide"' if wide else ""
    words = tag("figcaption", caption)
    return Markup(f'<figure id="figure-{name}"{css}>{drawn}{words}</figure>')


def details(summary: str, *children: str) -> Markup:
    """Folded until it is asked for; printed where it is unfolded."""
    return tag("details", tag("summary", summary), *children)


def number(value: float, digits: int = 0, unit: str = "") -> str:
    """With thousands' commas; a dash for what is not known."""
    return "-" if math.isnan(value) else f"{round(value, digits) + 0.0:,.{digits}f}{unit}"


def percent(share: float, digits: int = 1) -> str:
    return number(100 * share, digits, " %")


def page(title: str, subtitle: str, lead: Sequence[str], sections: Sequence[Section], foot: str) -> str:
    """The whole page in one text, with its style and a table of contents; it loads nothing from anywhere."""
    contents = [Markup(f'<a href="#{one.id}">{html.escape(one.title)}</a>') for one in sections]
    body = [
        Markup(f'<section id="{one.id}"><h2>{html.escape(one.title)}</h2>{"".join(one.body)}</section>')
        for one in sections
    ]
    return Template((HERE / "page.html").read_text()).substitute(
        title=html.escape(title),
        subtitle=markup(subtitle),
        style=(HERE / "page.css").read_text(),
        contents="".join(contents),
        lead="".join(map(markup, lead)),
        body="\n".join(body),
        foot=markup(foot),
    )
