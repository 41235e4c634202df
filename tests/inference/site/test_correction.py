"""Moving the probability of being ill to the threshold of a hospital."""

import numpy as np
import pytest

from covid_xray.inference.site.correction import Correction, healthy_class, log_odds

P = np.array([[0.5, 0.4, 0.1], [0.1, 0.85, 0.05], [0.0, 1.0, 0.0]], dtype=np.float32)
NONE = np.zeros((3, 2))


def test_the_healthy_class_is_the_one_that_the_bundle_names_or_normal():
    assert healthy_class({"classes": ["a", "b"], "well": "a"}) == "a"
    assert healthy_class({"classes": ["covid", "normal"]}) == "normal"
    assert healthy_class({"classes": ["a", "b"]}) is None


def test_log_odds_are_those_of_all_illnesses_together():
    assert log_odds(P[:2], well=1) == pytest.approx(np.log([0.6 / 0.4, 0.15 / 0.85]), rel=1e-5)
    assert np.isfinite(log_odds(P, well=1)).all(), "a probability of 0 has finite log odds"


def test_a_correction_without_change_gives_the_same_bytes():
    assert Correction().apply(P, NONE, well=1) is P


def test_the_threshold_is_where_ill_and_well_are_equal_and_illnesses_keep_their_shares():
    moved = Correction(threshold=float(log_odds(P, well=1)[0])).apply(P, NONE, well=1)
    assert moved[0] == pytest.approx([0.5 * 5 / 6, 0.5, 0.5 / 6], abs=1e-6)
    assert moved.sum(axis=1) == pytest.approx(1.0)
    assert (moved[:, 1] >= P[:, 1]).all(), "a higher threshold calls fewer ill"


def test_a_temperature_leaves_the_side_of_the_threshold():
    moved = Correction(threshold=0.1, temperature=3.0).apply(P, NONE, well=1)
    plain = Correction(threshold=0.1).apply(P, NONE, well=1)
    assert ((moved[:, 1] > 0.5) == (plain[:, 1] > 0.5)).all()
    assert abs(moved[1, 1] - 0.5) < abs(plain[1, 1] - 0.5)


def test_features_move_scores_by_their_weights_and_a_constant():
    correction = Correction(constant=0.5, weights=np.array([1.0, -2.0]))
    features = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert correction.offset(features) == pytest.approx([0.5, 1.5, -1.5])
    moved = correction.apply(P, features, well=1)
    assert log_odds(moved[:2], well=1) == pytest.approx(log_odds(P[:2], well=1) + np.array([0.5, 1.5]), abs=1e-4)


def test_probabilities_that_are_no_numbers_stay_none():
    broken = np.array([[np.nan, 0.5, 0.5]], dtype=np.float32)
    assert np.isnan(Correction(threshold=1.0).apply(broken, NONE[:1], well=1)[0, 0])
