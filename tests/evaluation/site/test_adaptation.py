"""Adapting without training: what an offset, a threshold and a temperature do to scores."""

import numpy as np
import pytest

from covid_xray.evaluation.site.adaptation import (
    feature_offset,
    offset_trials,
    site_threshold,
    threshold_in_folds,
    with_temperature,
    with_threshold,
)
from covid_xray.evaluation.site.reference import Healthy
from covid_xray.evaluation.site.rule import Rule
from covid_xray.inference.site.correction import Correction
from support.sites import reference, site_answers

RANDOM = np.random.default_rng(0)
TARGET = Healthy(100, np.zeros(2), np.ones(2))


def test_the_threshold_is_the_second_highest_of_fifty_and_none_of_too_few():
    scores = np.arange(50.0)
    assert site_threshold(scores, Rule()) == pytest.approx(48.0, abs=1e-3)
    assert site_threshold(scores[:28], Rule()) is None
    answers = site_answers(scores - 30)
    correction = with_threshold(answers, Correction(), Rule())
    assert correction is not None
    assert answers.rates(correction).false_positives.count == 1
    assert threshold_in_folds(answers, Rule()).count <= 5
    assert with_threshold(site_answers(scores[:20]), Correction(), Rule()) is None


def test_an_offset_brings_the_healthy_of_the_site_to_those_of_training():
    features, weights = RANDOM.normal([2.0, -1.0], [2.0, 1.0], (4000, 2)), np.array([1.0, 0.5])
    mean = feature_offset(features, TARGET, weights, scaled=False)
    assert mean.weights is None
    assert (features @ weights + mean.offset(features)).mean() == pytest.approx(0.0, abs=1e-6)
    both = feature_offset(features, TARGET, weights, scaled=True)
    moved = features @ weights + both.offset(features)
    assert moved.mean() == pytest.approx(0.0, abs=1e-6)
    assert moved.std() == pytest.approx(np.hypot(1.0, 0.5), rel=0.05)


def test_an_offset_is_kept_only_where_it_helps_and_costs_nothing():
    """A hospital whose first feature varies too much: its healthy are called ill until that is undone."""
    weights = np.array([1.0, 1.0])
    features = np.column_stack([RANDOM.normal(0, 4, 200), RANDOM.normal(0, 0.1, 200)]) - [0.0, 1.5]
    answers = site_answers(features @ weights, embeddings=features)
    known = reference(np.linspace(-1, 3, 100), direction=weights)
    trials = {one.name: one for one in offset_trials(answers, known, Rule(), temperature=1.0)}
    assert not trials["mean of the features"].kept, "it raises every score"
    few = offset_trials(site_answers(features[:30] @ weights, embeddings=features[:30]), known, Rule(), temperature=1.0)
    assert [one.name for one in few] == ["mean of the features"], "a variance needs more images"
    assert offset_trials(answers, reference([1.0, 2.0]), Rule(), temperature=1.0) == [], "no linear score, no offset"


def test_a_mean_that_lowers_every_score_costs_sensitivity_and_is_not_kept():
    weights = np.array([1.0, 0.0])
    features = RANDOM.normal([1.0, 0.0], 0.5, (100, 2))
    answers = site_answers(features @ weights, embeddings=features)
    (trial, _) = offset_trials(answers, reference(np.linspace(-1, 3, 100), direction=weights), Rule(), temperature=1.0)
    assert trial.false_positives.count < answers.rates(Correction()).false_positives.count
    assert trial.sensitivity < 0.75
    assert not trial.kept


def test_the_temperature_is_fitted_where_both_kinds_are_enough():
    y = RANDOM.random(400) < 0.5
    z = np.where(y, 1.0, -1.0) + RANDOM.normal(0, 1.0, 400)  # a calibrated score would be 2 z
    answers = site_answers(6 * z[~y], 6 * z[y])
    fitted = with_temperature(answers, Correction(), Rule())
    assert fitted.temperature == pytest.approx(3.0, rel=0.25)
    assert with_temperature(site_answers(6 * z[~y]), Correction(), Rule()).temperature == 1.0
