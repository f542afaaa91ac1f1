"""The feature schema: what it learns, what it refuses by name, and the folds that keep patients whole."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features import FeatureMismatchError, FeatureSchema, Kind, describe
from models.splits import patient_folds

FRAME = pd.DataFrame(
    {
        "lactate_max": [1.0, np.nan, 9.0, 1.5],
        "mech_vent_any": [0.0, 1.0, np.nan, 1.0],
        "icu_type": [1.0, 2.0, 4.0, 2.0],
        "ward": ["medical", "surgical", None, "medical"],
        "acuity": ["low", "high", "middle", "low"],
    },
    index=pd.Index(["s1", "s2", "s3", "s4"], name="stay_id"),
)


@pytest.fixture
def schema() -> FeatureSchema:
    return describe(FRAME, nominal=["icu_type", "ward"], ordered={"acuity": ["low", "middle", "high"]})


def test_describe_names_kinds_levels_skew_and_missing(schema: FeatureSchema) -> None:
    lactate, vent, icu, ward, acuity = schema.features
    assert [f.kind for f in schema.features] == [Kind.NUMERIC, Kind.FLAG, Kind.NOMINAL, Kind.NOMINAL, Kind.ORDERED]
    assert (lactate.missing, vent.missing) == (0.25, 0.25)
    assert lactate.skew == pytest.approx(FRAME["lactate_max"].skew())
    assert (icu.levels, ward.levels, acuity.levels) == ((), ("medical", "surgical"), ("low", "middle", "high"))
    assert schema.of(Kind.NUMERIC, Kind.FLAG) == ["lactate_max", "mech_vent_any"]


def test_survives_json(schema: FeatureSchema) -> None:
    assert FeatureSchema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema


def test_columns_come_back_in_the_schema_s_order(schema: FeatureSchema) -> None:
    shuffled = FRAME[["acuity", "icu_type", "lactate_max", "ward", "mech_vent_any"]]
    pd.testing.assert_frame_equal(schema.check(shuffled), schema.check(FRAME))
    assert schema.check(shuffled)["icu_type"].dtype == np.float64


def test_codes_are_level_positions_and_unseen_levels_are_missing(schema: FeatureSchema) -> None:
    unseen = FRAME.assign(ward=["surgical", "burns", None, "medical"])
    coded = schema.codes(unseen)
    np.testing.assert_array_equal(coded["ward"], [1, np.nan, np.nan, 0])
    np.testing.assert_array_equal(coded["acuity"], [0, 2, 1, 0])
    assert unseen["ward"].tolist() == ["surgical", "burns", None, "medical"]  # the caller's frame is untouched


def test_missing_and_unknown_columns_are_named(schema: FeatureSchema) -> None:
    with pytest.raises(FeatureMismatchError) as caught:
        schema.check(FRAME.drop(columns=["lactate_max", "ward"]).assign(lactat_max=1.0))
    assert caught.value.missing == ("lactate_max", "ward")
    assert caught.value.unknown == ("lactat_max",)
    assert str(caught.value) == "missing features: lactate_max, ward; unknown features: lactat_max"
    assert isinstance(caught.value, ValueError)


@given(st.sets(st.sampled_from(list(FRAME.columns)), min_size=1, max_size=4))
def test_every_missing_column_is_named(gone: set[str]) -> None:
    schema = describe(FRAME, nominal=["ward", "acuity"])
    with pytest.raises(FeatureMismatchError) as caught:
        schema.check(FRAME.drop(columns=sorted(gone)))
    assert set(caught.value.missing) == gone


def test_a_long_list_of_names_is_cut_in_the_message_alone() -> None:
    schema = describe(pd.DataFrame({f"f{i:02}": [0.0, 2.0] for i in range(30)}))
    with pytest.raises(FeatureMismatchError, match=r"f00, .*, f19 and 10 more") as caught:
        schema.check(pd.DataFrame(index=[0]))
    assert len(caught.value.missing) == 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lactate_max": ["high", "low", "low", "low"]}, "not numbers: lactate_max"),
        ({"lactate_max": [1.0, np.inf, 0.0, 0.0]}, "infinite values: lactate_max"),
    ],
)
def test_values_that_are_no_finite_numbers_are_refused(schema: FeatureSchema, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        schema.check(FRAME.assign(**change))


def test_doubled_columns_and_unknown_categories_are_refused(schema: FeatureSchema) -> None:
    with pytest.raises(ValueError, match="doubled features: ward"):
        schema.check(pd.concat([FRAME, FRAME[["ward"]]], axis=1))
    with pytest.raises(ValueError, match="not in the frame: religion"):
        describe(FRAME[["lactate_max"]], nominal=["religion"])


@given(
    st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=120, max_size=200),
    st.integers(0, 5),
)
def test_folds_keep_patients_whole_and_event_rates_even(rows: list[tuple[int, bool]], seed: int) -> None:
    patients = np.array([patient for patient, _ in rows])
    labels = np.array([int(death) for _, death in rows])
    names = np.unique(patients)
    event = np.array([labels[patients == name].any() for name in names])
    if min(event.sum(), (~event).sum()) < 3:
        with pytest.raises(ValueError, match="3 folds need as many patients"):
            patient_folds(labels, patients, 3, seed)
        return
    folds = patient_folds(labels, patients, 3, seed)
    of_patient = np.array([folds[patients == name][0] for name in names])
    assert all((folds[patients == name] == fold).all() for name, fold in zip(names, of_patient, strict=True))
    for kind in (event, ~event):
        sizes = np.bincount(of_patient[kind], minlength=3)
        assert sizes.max() - sizes.min() <= 1
    backwards = patient_folds(labels[::-1], patients[::-1], 3, seed)
    np.testing.assert_array_equal(backwards[::-1], folds)
