"""The clinical dictionary against the published files: labels, conversions, and what each correction hits."""

import csv
import gzip
import re
import statistics
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from dictionary_meaning import CONVERSIONS, CORRECTIONS, SOURCES, bounds, clean, convert

DOCS = Path(__file__).parents[2] / "docs" / "dictionary.md"
NUMBER_COLUMN = {"chartevents": "valuenum", "labevents": "valuenum", "outputevents": "value"}
SMALL = 100_000_000  # bytes: the demos; the full releases would take hours in plain Python


def text(path: Path) -> TextIO:
    return gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="")


def rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows with lower-case headers."""
    with text(path) as file:
        reader = csv.reader(file)
        header = [name.lower() for name in next(reader)]
        for row in reader:
            yield dict(zip(header, row, strict=False))


def tables(raw: Path, name: str) -> dict[str, Path]:
    """The file of a table for each MIMIC source below `raw`; MIMIC-III alone has a row_id."""
    found = {}
    for path in raw.rglob("*.csv*"):
        if path.name.lower() in {f"{name}.csv", f"{name}.csv.gz"}:
            with text(path) as file:
                found["mimiciii" if "row_id" in file.readline().lower() else "mimiciv"] = path
    return found or pytest.skip(f"no {name} below {raw}")


@pytest.mark.parametrize("source", ["mimiciii", "mimiciv"])
def test_every_item_exists_with_exactly_the_given_label(real_raw: Path, source: str) -> None:
    labels: dict[tuple[bool, str], str] = {}
    for name in ("d_items", "d_labitems"):
        if source not in (files := tables(real_raw, name)):
            pytest.skip(f"no {name} of {source}")
        labels |= {(name == "d_labitems", row["itemid"]): row["label"] for row in rows(files[source])}
    wrong = {
        (row["item"], row["label"]): labels.get((row["table"] == "labevents", row["item"]))
        for row in SOURCES
        if row["source"] == source and labels.get((row["table"] == "labevents", row["item"])) != row["label"]
    }
    assert wrong == {}


@pytest.mark.parametrize("table", NUMBER_COLUMN)
def test_converted_mimic_values_lie_where_their_concept_lies(real_raw: Path, table: str) -> None:
    """A wrong unit moves an item's median out of the plausible range, or its values out of the possible one."""
    for source, path in tables(real_raw, table).items():
        if path.stat().st_size > SMALL:
            continue
        values: dict[str, list[float]] = defaultdict(list)
        for row in rows(path):
            conversion = CONVERSIONS.get((source, table, row["itemid"]))
            number = row[NUMBER_COLUMN[table]]
            if conversion and number and conversion["value_from"] == "valuenum":
                values[row["itemid"]].append(convert(conversion, float(number)))
        assert values
        for item, found in values.items():
            concept = CONVERSIONS[source, table, item]["concept"]
            low, high = bounds(concept, "plausible")
            assert low <= statistics.median(found) <= high, (source, item, concept)
            outcomes = Counter(clean(source, concept, value)[1] for value in found)
            assert outcomes["impossible"] <= 0.01 * len(found) + 1, (source, item, concept, outcomes)


def challenge_counts(raw: Path) -> Counter[tuple[str, str]]:
    """How often each (parameter, value text) occurs in sets a and b."""
    counts: Counter[tuple[str, str]] = Counter()
    for name in ("set-a.tar.gz", "set-b.tar.gz"):
        if not (path := next(raw.rglob(name), None)):
            pytest.skip(f"no {name} below {raw}")
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name.endswith(".txt") and (file := archive.extractfile(member)):
                    lines = file.read().decode().splitlines()[1:]
                    counts.update((p, v) for _, p, v in (line.split(",") for line in lines))
    return counts


def documented_hits() -> dict[tuple[str, str], int]:
    """(rule, concept) -> rows of sets a and b that it hits, from the table in docs/dictionary.md."""
    table = re.findall(r"^\| `(\w+)` \| ([\w*]+) \|.*\| ([\d,]+) \|$", DOCS.read_text(), re.MULTILINE)
    return {(rule, concept): int(hits.replace(",", "")) for rule, concept, hits in table}


def test_the_page_lists_every_correction() -> None:
    rules = {(rule["rule"], rule["concept"]) for rule in CORRECTIONS if rule["concept"] != "*"}
    sentinel = {("sentinel_missing", "weight"), ("sentinel_missing", "height")}
    assert set(documented_hits()) == rules | sentinel


def test_corrections_hit_what_the_page_says_and_little_is_impossible(real_raw: Path) -> None:
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for (parameter, value), n in challenge_counts(real_raw).items():
        if conversion := CONVERSIONS.get(("challenge2012", "measurements", parameter)):
            concept = conversion["concept"]
            outcomes[concept][clean("challenge2012", concept, convert(conversion, float(value)))[1]] += n
    hits = {key: outcomes[key[1]][key[0]] for key in documented_hits()}
    assert hits == documented_hits()
    for concept, found in outcomes.items():
        assert found["impossible"] <= 0.001 * found.total(), (concept, found)
        assert found["capped"] <= 0.001 * found.total() + 1, (concept, found)
