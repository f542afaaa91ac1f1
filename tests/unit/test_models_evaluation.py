"""Subgroups, decision curve and classification counts against worked examples and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import classification_report, roc_auc_score

from models.evaluation import by_subgroup, classification, classification_text, decision_curve, risk_groups

LABELS = np.array([1, 1, 0, 0, 0, 1, 0, 0, 0, 0])
RISKS = np.array([0.9, 0.4, 0.6, 0.2, 0.1, 0.7, 0.3, 0.2, 0.1, 0.05])


def test_net_benefit_is_that_of_the_worked_example() -> None:
    """At 0.5: 2 true and 1 false positives of 10, so 0.2 - 0.1 * 1 = 0.1; treating all: 0.3 - 0.7 * 1 = -0.4."""
    curve = decision_curve(LABELS, RISKS, [0.2, 0.5]).set_index("threshold")
    assert curve.loc[0.5, "model"] == pytest.approx(0.1)
    assert curve.loc[0.5, "treat_all"] == pytest.approx(-0.4)
    # At 0.2: 3 true and 4 false ones: 0.3 - 0.4 / 4 = 0.2; treating all: 0.3 - 0.7 / 4 = 0.125.
    assert curve.loc[0.2, "model"] == pytest.approx(0.2)
    assert curve.loc[0.2, "treat_all"] == pytest.approx(0.125)


def test_a_threshold_of_one_has_no_exchange_rate() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        decision_curve(LABELS, RISKS, [1.0])


def test_classification_agrees_with_scikit_learn() -> None:
    found = classification(LABELS, RISKS, 0.5)
    report = classification_report(LABELS, RISKS >= 0.5, output_dict=True)
    assert (found["tp"], found["fp"], found["fn"], found["tn"]) == (2, 1, 1, 6)
    assert found["accuracy"] == pytest.approx(report["accuracy"])
    assert found["f1"] == pytest.approx(report["1"]["f1-score"])
    assert found["specificity"] == pytest.approx(report["0"]["recall"])
    assert found["npv"] == pytest.approx(report["0"]["precision"])


def test_subgroups_are_measured_by_themselves_and_small_ones_only_named() -> None:
    rng = np.random.default_rng(5)
    risks = rng.random(400)
    labels = (rng.random(400) < risks).astype(int)
    sex = np.where(np.arange(400) % 2, "F", "M").astype(object)
    sex[:4] = None
    found = {(g.attribute, g.value): g for g in by_subgroup(labels, risks, 0.5, pd.DataFrame({"gender": sex}))}
    assert set(found) == {("gender", "F"), ("gender", "M"), ("gender", "unknown")}
    women = sex == "F"
    figures = found["gender", "F"].figures
    assert figures is not None
    assert figures["auroc"].value == pytest.approx(roc_auc_score(labels[women], risks[women]))
    assert found["gender", "F"].rows == 198
    assert found["gender", "unknown"].rows == 4
    assert found["gender", "unknown"].figures is None


def test_the_report_is_scikit_learn_s_even_where_nobody_is_flagged() -> None:
    text = classification_text(LABELS, RISKS, 0.5, ("survived", "died"))
    assert text == classification_report(LABELS, RISKS >= 0.5, target_names=["survived", "died"], digits=3)
    assert "nan" in classification_text(LABELS, RISKS, 0.95, ("survived", "died"))


def test_groups_of_risk_hold_every_row_once() -> None:
    groups = risk_groups(LABELS, RISKS, groups=3)  # 0.05 0.1 0.1 0.2 | 0.2 0.3 0.4 | 0.6 0.7 0.9
    assert groups["stays"].tolist() == [4, 3, 3]
    assert groups["lowest"].tolist() == [0.05, 0.2, 0.6]
    assert groups["highest"].tolist() == [0.2, 0.4, 0.9]
    assert groups["observed"].tolist() == [0, 1, 2]
    assert groups["expected"].tolist() == pytest.approx([0.45, 0.9, 2.2])
    assert groups["observed_rate"].tolist() == pytest.approx([0, 1 / 3, 2 / 3])
    assert risk_groups(LABELS, RISKS, groups=20)["stays"].tolist() == [1] * 10


def test_subgroups_come_in_the_order_of_their_categories() -> None:
    bands = pd.Series(pd.Categorical(["old", "young", None, "old"] * 5, ["young", "old"], ordered=True))
    found = by_subgroup([0, 1] * 10, [0.4, 0.6] * 10, 0.5, pd.DataFrame({"age": bands}))
    assert [(one.value, one.rows) for one in found] == [("young", 5), ("old", 10), ("unknown", 5)]
