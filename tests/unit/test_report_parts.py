"""What a report computes and how it writes it: curves and their bands, table 1, pieces of a page."""

import io
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.report import marks, plots
from jobs.report.cohort import Line, category_difference, number_difference, table_one
from jobs.report.curves import GRID, banded, net_benefit, precision_recall, roc, wilson
from jobs.report.html import Markup, Section, bullets, figure, number, page, percent, table, tag
from jobs.report.over_time import OverTime, Worth, asked_at, worth_table
from jobs.report.reasons import example
from jobs.report.results import called
from lakehouse.tasks import Task, load_task
from models.bootstrap import Interval
from models.evaluation import decision_curve, risk_groups
from models.metrics import METRICS, scores
from tests.unit.test_explain import FOUND

LABELS, RISKS = [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]


def at(curve: np.ndarray, x: float) -> float:
    return float(curve[np.flatnonzero(np.isclose(GRID, x))[0]])


def test_curves_of_four_stays() -> None:
    sensitivity = roc(LABELS, RISKS)(np.ones(4))
    assert [at(sensitivity, x) for x in (0, 0.25, 0.5, 1)] == [0.5, 0.5, 1, 1]
    precision = precision_recall(LABELS, RISKS)(np.ones(4))
    assert [at(precision, x) for x in (0, 0.5, 0.51, 1)] == pytest.approx([1, 1, 2 / 3, 2 / 3])
    assert np.isnan(roc([0, 0], [0.1, 0.2])(np.ones(2))).all()


def test_the_area_under_the_curve_is_the_auroc_and_net_benefit_that_of_the_decision_curve() -> None:
    rng = np.random.default_rng(0)
    risks = rng.random(4000).round(2)  # with ties
    labels = (rng.random(4000) < risks).astype(float)
    area = np.trapezoid(roc(labels, risks)(np.ones(4000)), GRID)
    assert area == pytest.approx(scores(labels, risks, 0.5)["auroc"], abs=2e-3)
    expected = decision_curve(labels, risks)["model"].to_numpy()
    assert net_benefit(labels, risks)(np.ones(4000)) == pytest.approx(expected)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.integers(0, 3)), min_size=2))
def test_a_weight_is_as_many_equal_stays(rows: list[tuple[bool, float, int]]) -> None:
    labels, risks, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    drawn = np.repeat(np.arange(len(rows)), weights.astype(int))
    if not len(drawn):
        return
    for curve in (roc, precision_recall, net_benefit):
        weighed, repeated = curve(labels, risks)(weights), curve(labels[drawn], risks[drawn])(np.ones(len(drawn)))
        np.testing.assert_allclose(weighed, repeated, atol=1e-12)


def test_a_band_holds_its_line_and_has_no_width_where_all_stays_are_one_patient_s() -> None:
    rng = np.random.default_rng(1)
    risks = rng.random(300)
    labels = (rng.random(300) < risks).astype(float)
    own = banded(GRID, roc(labels, risks), np.arange(300), seed=1, resamples=100)
    assert (own.low <= own.y + 1e-12).all() and (own.y <= own.high + 1e-12).all()
    assert (own.high - own.low)[50] > 0.02
    one = banded(GRID, roc(labels, risks), np.zeros(300), seed=1, resamples=5)
    assert (one.low == one.y).all() and (one.high == one.y).all()


def test_limits_of_a_share() -> None:
    low, high = wilson([10, 0, 5], [100, 20, 5])
    assert low == pytest.approx([0.05523, 0, 0.56552], abs=1e-5)
    assert high == pytest.approx([0.17437, 0.16113, 1], abs=1e-5)


def test_standardised_differences() -> None:
    assert number_difference(pd.Series([0.0, 2.0, None]), pd.Series([4.0, 6.0])) == pytest.approx(-4 / math.sqrt(2))
    assert math.isnan(number_difference(pd.Series([1.0, 1.0]), pd.Series([1.0, 1.0])))
    kinds = pd.CategoricalDtype(["a", "b", "c"])
    one, other = pd.Series(["a"] * 3 + ["b"], dtype=kinds), pd.Series(["a", "b"], dtype=kinds)
    assert category_difference(one, other) == pytest.approx(0.25 / math.sqrt((0.75 * 0.25 + 0.25) / 2))
    assert category_difference(one, one) == 0
    assert category_difference(pd.Series(["a"], dtype=kinds), pd.Series(["b"], dtype=kinds)) == math.inf
    assert math.isnan(category_difference(one, other[:0]))


def test_table_one() -> None:
    variables = pd.DataFrame(
        {
            "age": [50.0, 60.0, 70.0, None],
            "sex": pd.Categorical(["woman", "woman", "man", None], ["woman", "man", "other"]),
            "same": [1.0] * 4,
            "excess": [-4.25, 1.0, 2.0, 3.0],
        }
    )
    groups = {"all": np.ones(4, dtype=bool), "last": np.array([False, False, True, True])}
    lines = table_one(
        variables, {"age": "Age", "sex": "Sex", "same": "Same", "excess": "Excess"}, groups, [("all", "last")]
    )
    assert [line.label for line in lines] == ["Age", "Sex", "woman", "man", "Excess"], (
        "neither unused levels nor constants"
    )
    age, sex, woman, man, excess = lines
    assert (age.cells, age.missing) == (("60 (55-65)", "70 (70-70)"), (0.25, 0.5))
    assert math.isnan(age.differences[0]), "one value has no spread"
    assert sex.cells == ("", "") and sex.missing == (0.25, 0.5)
    assert woman == Line("woman", ("2 (66.7 %)", "0 (0.0 %)"), is_level=True)
    assert excess.cells == ("1.50 (-0.31 to 2.25)", "2.50 (2.25-2.75)")
    assert man.cells == ("1 (33.3 %)", "1 (100.0 %)")


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "a < b", Markup("<b>c</b>")) == "<p>a &lt; b<b>c</b></p>"
    assert bullets(["<x>"]) == "<ul><li>&lt;x&gt;</li></ul>"


def test_columns_of_numbers_are_set_to_the_right() -> None:
    found = table(("a", "b", "c"), [("x", "1,200", "10 %"), ("y", ".5 (.4-.6)", "word")], marked=(1,))
    assert '<th>a</th><th class="n">b</th><th>c</th>' in found
    assert '<td class="n">.5 (.4-.6)</td>' in found and '<tr class="marked"><td>y</td>' in found
    assert number(float("nan")) == "-" and number(-0.001, 1) == "0.0" and percent(0.1234) == "12.3 %"


def test_two_drawings_on_a_page_share_no_name() -> None:
    svg = '<?xml?><svg><metadata>m</metadata><path id="m1"/><use href="#m1" clip-path="url(#c)"/></svg>'
    found = figure("roc", svg, 'of "all"', "caption")
    assert found.startswith(
        '<figure id="figure-roc"><svg role="img" aria-label="of &quot;all&quot;"><path id="roc-m1"/>'
    )
    assert 'href="#roc-m1" clip-path="url(#roc-c)"' in found and "metadata" not in found


def test_a_page_lists_its_sections() -> None:
    found = page("A < B", "made today", ["first"], [Section("one", "One & all", [tag("p", "text")])], "foot")
    assert '<a href="#one">One &amp; all</a>' in found and '<section id="one"><h2>One &amp; all</h2>' in found
    assert "<title>A &lt; B</title>" in found and "$" not in found.split("</style>")[1]


def test_models_are_called_by_name_and_version() -> None:
    assert called("xgboost v12") == "XGBoost v12" and called("saps_i") == "SAPS-I" and called("my_model") == "my model"


def test_drawings_say_in_words_what_they_show() -> None:
    drawn = plots.looks(["saps_i", "a", "b"], "b", ["saps_i"])
    assert drawn["b"].colour == plots.COLOURS[0] and drawn["saps_i"].colour == plots.GREYS[0]
    nothing = Interval(math.nan, math.nan, math.nan)
    estimates = [
        marks.Estimate("everybody", "(9 / 3)", [Interval(0.81, 0.7, 0.9)]),
        marks.Estimate("few", "(1 / 0)", [None], "Group"),
        marks.Estimate("undefined", "(2 / 0)", [nothing], "Group"),
    ]
    told = plots.svg(marks.forest(estimates, ("AUROC",), [0.81], 2))
    for words in ("everybody   (9 / 3)", ".81", "Group", "AUROC"):
        assert words in told
    assert told.count("too few to measure") == 2
    groups = risk_groups(np.array([0, 0, 1, 1.0]), np.array([0.1, 0.2, 0.6, 0.9]), 2)
    assert "slope 1" in plots.svg(plots.calibration({"b": groups}, {"b": "b (slope 1)"}, drawn))
    shares = pd.DataFrame({"ward": [0.2, 0.9]}, index=["Lactate", "Heart rate"])
    assert "ward (7 stays)" in plots.svg(marks.completeness(shares, {"ward": 7}))
    assert "Lactate" in plots.svg(marks.importance(["Lactate"], [Interval(0.2, 0.1, 0.3)]))


def test_the_same_figure_gives_the_same_text() -> None:
    def text() -> str:
        return plots.svg(marks.importance(["Lactate"], [Interval(0.2, 0.1, 0.3)]))

    assert text() == text() and io.StringIO(text()).readline().startswith("<?xml")


EARLIER = OverTime(
    {24: 0.25, 48: 0.4},
    [
        Worth(hours, mean, dict.fromkeys(METRICS, Interval(value, value - 0.1, value + 0.1)))
        for hours, mean, value in ((24, 0.2, 0.7), (48, 0.15, 0.8))
    ],
    1200,
    0.125,
)


def test_a_model_is_asked_at_quarters_of_its_window_in_whole_hours() -> None:
    assert asked_at(load_task("mortality")) == [12, 24, 36, 48]
    assert asked_at(Task(name="short", label="died", window_hours=1)) == [1]
    assert asked_at(Task(name="short", label="died", window_hours=6)) == [2, 3, 4, 6]


def test_risks_of_fewer_hours_stand_beside_what_they_are_worth() -> None:
    told = worth_table(EARLIER)
    assert "the same model, 1,200 held-out stays" in told
    assert "<td>24</td>" in told and "<td>48</td>" in told
    assert ".700 (.600-.800)" in told and "20.0 %" in told and told.count("12.5 %") == 2
    assert told.index(".700") < told.index('class="marked"') < told.index(".800 ("), "the window's end is set in bold"


def test_an_example_is_drawn_with_its_risk_over_time_or_with_a_sentence() -> None:
    part = cast(Any, SimpleNamespace(rows=SimpleNamespace(label=pd.Series({"made-up-1": 1.0}))))
    one = replace(FOUND, words={})
    told = "".join(example(load_task("mortality"), part, one, EARLIER, chosen=True).body)
    for words in ("The risk over time", "25%", "that the model was told", "never trained for this", "1,200 held-out"):
        assert words in told
    assert "made-up-1" not in told
    without = "".join(example(load_task("mortality"), part, one, None, chosen=True).body)
    assert "The risk after fewer hours is not drawn" in without and "The risk over time" not in without
    no_course = example(load_task("mortality"), part, replace(one, moments=None), None, chosen=True)
    assert "below each panel" in told and "below each panel" not in "".join(no_course.body)
