"""Net benefit by hand and by scikit-learn's counts, its bounds, and a band that holds a truth which is known."""

import json

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from covid_xray.evaluation.metrics.decision_curve import THRESHOLDS, decision_curve
from covid_xray.evaluation.metrics.operating_points import OneVsRest
from support.scored import drawn


def test_the_net_benefit_is_the_formula_of_vickers_and_elkin():
    about = drawn(250, seed=1)
    found = decision_curve(about, rounds=30)
    n, share = 250, about.positive.mean()
    for place in (4, 19, 49, 89):
        t = THRESHOLDS[place]
        (_, fp), (_, tp) = confusion_matrix(about.positive, about.scores >= t)
        assert found["model"]["value"][place] == pytest.approx(tp / n - fp / n * t / (1 - t), abs=1e-6)
        assert found["treat_all"]["value"][place] == pytest.approx(share - (1 - share) * t / (1 - t), abs=1e-6)
    assert found["prevalence"] == pytest.approx(share)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_knowing_everything_is_worth_the_prevalence_and_is_useful_everywhere():
    positive = np.arange(100) < 30
    found = decision_curve(OneVsRest(np.where(positive, 1.0, 0.0), positive), rounds=50)
    assert found["model"]["value"] == pytest.approx([0.3] * 99)
    assert found["useful"] == [[0.01, 0.99]]
    worthless = decision_curve(OneVsRest(np.full(100, 0.0), positive), rounds=50)
    assert worthless["model"]["value"] == [0.0] * 99
    assert worthless["useful"] == []


def test_at_a_stated_prevalence_the_curve_is_that_of_a_population_with_it():
    """Copies of the negatives, 4 for each, bring the share of positives from a third to a thirteenth."""
    positive = np.arange(120) < 40
    scores = np.random.default_rng(2).beta(1 + 2 * positive, 3 - 2 * positive)
    copies = np.repeat(np.arange(120), np.where(positive, 1, 6))
    whole = decision_curve(OneVsRest(scores[copies], positive[copies]), rounds=10)
    stated = decision_curve(OneVsRest(scores, positive), prevalence=40 / 520, rounds=10)
    assert stated["model"]["value"] == pytest.approx(whole["model"]["value"], abs=2e-6)
    assert stated["treat_all"]["value"] == pytest.approx(whole["treat_all"]["value"], abs=2e-6)
    weights = np.where(positive, 1.0, 6.0)
    weighted = decision_curve(OneVsRest(scores, positive), weights=weights, rounds=10)
    assert weighted["model"]["value"] == pytest.approx(whole["model"]["value"], abs=2e-6)
    assert weighted["prevalence"] == pytest.approx(40 / 520)


def test_the_band_holds_the_true_net_benefit_as_often_as_it_says():
    truth, held = decision_curve(drawn(40_000, seed=99), rounds=1)["model"]["value"], np.zeros(99)
    for seed in range(300):
        found = decision_curve(drawn(200, seed=seed), rounds=200, seed=seed)["model"]
        held += (np.array(found["ci_low"]) <= truth) & (truth <= np.array(found["ci_high"]))
    middle = held[9:60] / 300  # beyond, hardly an image is called positive
    assert 0.92 <= middle.mean() <= 0.97
    assert middle.min() >= 0.88


def test_one_side_alone_has_no_curve():
    assert decision_curve(OneVsRest(np.array([0.1, 0.9]), np.array([True, True]))) is None
    assert decision_curve(OneVsRest(np.array([0.1, 0.9]), np.array([False, False]))) is None
