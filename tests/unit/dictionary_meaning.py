"""What the rows of conf/*.csv mean, in plain Python: the slow, obvious reference that the tests compare with."""

import csv
import math
from pathlib import Path

ROOT = Path(__file__).parents[2]
Row = dict[str, str]


def read(name: str) -> list[Row]:
    with (ROOT / "conf" / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


CONCEPTS = {row["concept"]: row for row in read("concepts.csv")}
SOURCES = read("concept_sources.csv")
CORRECTIONS = read("corrections.csv")
COMORBIDITIES = read("comorbidities.csv")
CONVERSIONS = {(row["source"], row["table"], row["item"]): row for row in SOURCES}


def bounds(concept: str, kind: str) -> tuple[float, float]:
    row = CONCEPTS[concept]
    return float(row[f"{kind}_low"]), float(row[f"{kind}_high"])


def convert(row: Row, value: float) -> float:
    return value * float(row["scale"]) + float(row["offset"])


def interval(rule: Row) -> tuple[float, float]:
    return float(rule["low"] or -math.inf), float(rule["high"] or math.inf)


def rules_for(source: str, concept: str) -> list[Row]:
    return [rule for rule in CORRECTIONS if rule["source"] in ("", source) and rule["concept"] in ("*", concept)]


def clean(source: str, concept: str, value: float) -> tuple[float | None, str]:
    """The dictionary's meaning in ten lines: (value or None, name of what happened to it)."""
    outcome = "kept"
    for rule in rules_for(source, concept):
        low, high = interval(rule)
        if low <= value <= high:
            if rule["action"] == "leave_out":
                return None, rule["rule"]
            value, outcome = convert(rule, value), rule["rule"]
            break
    low, high = bounds(concept, "possible")
    if not low <= value <= high:
        return None, "impossible"
    low, high = bounds(concept, "plausible")
    return min(max(value, low), high), outcome if low <= value <= high else "capped"
