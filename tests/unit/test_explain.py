"""What is said of a stay: signs gathered and in words on the terminal, and a page that is drawn of any stay."""

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from jobs.context import Context
from jobs.explanations.explain import explain, hours_of, odds, show
from jobs.explanations.explanation import Concept, Explanation
from jobs.explanations.patient_plot import draw, panels, write
from lakehouse.errors import ConfigError
from lakehouse.reference import read_dictionary
from lakehouse.settings import load_settings
from models.base import Moments
from models.explain import Contribution, Moment

HOURLY = np.zeros((1, 48, 2), dtype=np.float32)
HOURLY[0, 40:, 0], HOURLY[0, 3, 1] = 0.05, -0.125
FOUND = Explanation(
    stay_id="made-up-1",
    source="made up",
    facts="71 years, woman",
    start=0.1,
    risk=0.4,
    threshold=0.3,
    model="ensemble",
    version=2,
    window_hours=48,
    reasons=[
        Contribution("hr", 118.0, 0.5), Contribution("gcs_last", 6.0, 0.25), Contribution("hr_mean", 101.0, -0.125),
        Contribution("lactate", None, -0.125), Contribution("age", 71.0, 0.0625), Contribution("male", 0.0, -0.03125),
    ],
    hours=[Moment("lactate", 3, None, -0.125), *(Moment("hr", h, 118.0, 0.05) for h in range(47, 39, -1))],
    moments=Moments(["hr", "lactate"], np.full_like(HOURLY, np.nan), HOURLY),
    course={
        "hr": (np.array([0.5, 20.0, 47.0]), np.array([90.0, 101.0, 118.0])),
        "na": (np.array([5.0]), np.array([139.0])),
    },
    concepts={
        "hr": Concept("hr", "Heart rate", "bpm", (60, 100)),
        "lactate": Concept("lactate", "Lactate", "mmol/L", (0.5, 2)),
        "na": Concept("na", "Sodium", "mmol/L", None),
    },
    words={
        "hr_mean": "Heart rate: mean [bpm]", "gcs_last": "Glasgow Coma Scale, total: last value [points]",
        "age": "Age when the stay began, 90 where the source masks it [years]", "male": "1: man, 0: woman",
    },
    stored=None,
)  # fmt: skip


def test_signs_gather_the_reasons_of_one_thing_and_sum_to_all_of_them() -> None:
    signs = FOUND.signs()
    assert [(sign.label, sign.contribution) for sign in signs] == [
        ("Heart rate", 0.375), ("Glasgow Coma Scale, total", 0.25), ("Lactate", -0.125),
        ("Age when the stay began", 0.0625), ("man", -0.03125),
    ]  # fmt: skip
    assert signs[0].main.feature == "hr"
    assert sum(sign.contribution for sign in signs) == sum(one.contribution for one in FOUND.reasons)


def test_values_have_units_and_words() -> None:
    assert FOUND.value_of("hr", 118.04) == "118 bpm" and FOUND.value_of("hr_mean", 2200.4) == "2,200 bpm"
    assert FOUND.value_of("lactate", None) == "not measured"
    assert FOUND.value_of("male", 0.0) == "no" and FOUND.value_of("unheard_of", 0.1234) == "0.123"
    assert FOUND.name_of("hr") == "Heart rate: course" and FOUND.name_of("unheard_of") == "unheard_of"
    assert odds(0.0) == "1.00" and odds(np.log(2)) == "2.00"


def test_the_hours_of_a_sign_are_those_in_its_direction() -> None:
    heart, _, lactate = FOUND.signs()[:3]
    assert hours_of(FOUND, heart) == "46, 47, 48" and hours_of(FOUND, lactate) == "4"


def test_the_terminal_says_risk_reasons_hours_and_what_is_stored() -> None:
    def told(found: Explanation) -> str:
        console = Console(file=io.StringIO(), width=140)
        show(found, console)
        return console.file.getvalue()  # type: ignore[attr-defined]

    text = told(FOUND)
    for piece in ("risk 40.0%, flagged (threshold 30.0%)", "Heart rate", "+0.375", "1.45", "118 bpm", "46, 47, 48"):
        assert piece in text
    assert "no prediction of this stay is stored" in text
    row = {"risk": 0.4, "model_version": 2, "scored_at": datetime(2026, 1, 2, tzinfo=UTC)}
    assert "says the same" in told(replace(FOUND, stored=row))
    assert "says 40.0% by version 1" in told(replace(FOUND, stored={**row, "model_version": 1}))
    assert "single hours" not in told(replace(FOUND, hours=[], moments=None))


@pytest.mark.parametrize("suffix", ["png", "svg", "html"])
def test_a_page_is_drawn(suffix: str, tmp_path: Path) -> None:
    out = tmp_path / f"page.{suffix}"
    write(FOUND, out)
    content = out.read_bytes()
    start = {"png": b"\x89PNG", "svg": b"<?xml", "html": b"<!doctype html>"}[suffix]
    assert content.startswith(start)
    if suffix != "png":
        for text in ("Heart rate [bpm]", "40%", "What moved the risk from 10.0% to 40.0%"):
            assert text in content.decode()
        again = tmp_path / f"again.{suffix}"
        write(FOUND, again)
        assert again.read_bytes() == content, "the same stay gives the same bytes"
    if suffix == "html":
        assert content.count(b"<tr>") == 1 + len(FOUND.signs())


def test_stays_of_which_little_is_known_are_drawn_too() -> None:
    assert panels(FOUND) == [("hr",), ("na",)]
    for found in (
        replace(FOUND, course={}),
        replace(FOUND, moments=None, hours=[]),
        replace(FOUND, reasons=[], hours=[], course={"hr": (np.array([1.0]), np.array([80.0]))}),
    ):
        draw(found).canvas.draw()


def test_another_format_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"page.bmp: the name must end in one of .png, .svg, .html"):
        explain(Context.of(load_settings(lake=tmp_path)), "mortality", "x", tmp_path / "page.bmp")


def test_normal_ranges_are_of_known_concepts_and_inside_what_is_plausible() -> None:
    concepts = {row["concept"]: row for row in read_dictionary("conf.concepts")}
    for row in read_dictionary("conf.normal_ranges"):
        concept = concepts[row["concept"]]
        assert concept["plausible_low"] <= row["low"] <= row["high"] <= concept["plausible_high"], row  # type: ignore[operator]
        assert row["source"]
