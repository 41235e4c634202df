"""Predictive values by Bayes' rule, intervals that never claim certainty, and a population that was really drawn."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import accuracy_score, log_loss, precision_score

from covid_xray.bundle.contents import Calibration
from covid_xray.errors import UsageError
from covid_xray.evaluation.metrics.operating_points import OneVsRest, achieved_rates
from covid_xray.evaluation.metrics.prevalence import (
    PREVALENCES,
    calibrated_prevalences,
    evaluate_at_prevalence,
    image_weights,
    predictive_values,
    predictive_values_at,
)
from support.scored import CLASSES, answers, drawn


def test_predictive_values_are_those_of_a_drawn_population():
    """Ten thousand people, 5 % with the disease, sensitivity 0.9, specificity 0.8."""
    truth = np.repeat([1, 0], [500, 9500])
    called = np.concatenate([np.repeat([1, 0], [450, 50]), np.repeat([0, 1], [7600, 1900])])
    ppv, npv = predictive_values(np.array([0.9]), np.array([0.8]), prevalence=0.05)
    assert ppv[0] == pytest.approx(precision_score(truth, called))
    assert npv[0] == pytest.approx(precision_score(1 - truth, 1 - called))


def test_at_the_share_tested_they_are_those_of_the_images_themselves():
    about = drawn(200, seed=3)
    share = about.positive.mean()
    (row,) = predictive_values_at(about, 0.5, prevalences=[share], rounds=200)
    plain = achieved_rates(about, 0.5, rounds=200)
    for name in ("ppv", "npv"):
        assert row[name]["value"] == pytest.approx(plain[name]["value"])
        assert row[name]["ci_low"] < row[name]["value"] < row[name]["ci_high"]
        assert row[name]["method"] == "bootstrap"


def test_ppv_rises_and_npv_falls_with_the_prevalence():
    rows = predictive_values_at(drawn(200, seed=3), 0.5, rounds=100)
    assert [row["prevalence"] for row in rows] == list(PREVALENCES)
    ppv, npv = ([row[name]["value"] for row in rows] for name in ("ppv", "npv"))
    assert ppv == sorted(ppv)
    assert npv == sorted(npv, reverse=True)


def test_a_specificity_of_one_is_no_certainty():
    positive = np.arange(60) < 30
    about = OneVsRest(np.where(positive, 0.9, 0.1) - (np.arange(60) == 0) * 0.7, positive)
    (row,) = predictive_values_at(about, 0.5, prevalences=[0.01], rounds=100)
    assert row["ppv"]["value"] == 1.0
    assert row["ppv"]["method"] == "ends"
    assert row["ppv"]["ci_low"] < 0.1  # 30 of 30 right negatives may be 88 %, and then almost every alarm is false


def test_the_interval_of_a_ppv_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(5)
    sensitivity, specificity, held = 0.85, 0.9, 0
    truth = predictive_values(np.array([sensitivity]), np.array([specificity]), prevalence=0.1)[0][0]
    for seed in range(300):
        positive = np.arange(300) < 100
        right = random.random(300) < np.where(positive, sensitivity, specificity)
        about = OneVsRest(np.where(right == positive, 0.9, 0.1), positive)
        (row,) = predictive_values_at(about, 0.5, prevalences=[0.1], rounds=200, seed=seed)
        held += row["ppv"]["ci_low"] <= truth <= row["ppv"]["ci_high"]
    assert 0.90 <= held / 300 <= 0.98


def shifted(count: int, mix: list[float], *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of a mix, and the true posteriors of an even mix: three normal densities."""
    random = np.random.default_rng(seed)
    labels = random.choice(3, count, p=mix)
    x = random.normal(labels * 1.2, 1)
    return labels, softmax(-((x[:, None] - np.arange(3) * 1.2) ** 2) / 2, axis=1)


def predictions_of(labels, p):
    found = answers(labels, np.ones(len(labels), dtype=bool))
    columns = {f"p_{name}": p[:, code] for code, name in enumerate(CLASSES)}
    return type(found)(found.table.assign(**columns), CLASSES, found.failures)


def test_figures_of_a_stated_mix_are_those_of_a_population_with_that_mix():
    mix = [0.1, 0.75, 0.15]
    stated = evaluate_at_prevalence(
        predictions_of(*shifted(60_000, [1 / 3] * 3, seed=1)),
        np.array(mix),
        calibration=Calibration(labels=dict.fromkeys(CLASSES, 100)),
        rounds=2,
    )
    labels, even = shifted(60_000, mix, seed=2)
    joint = even * mix
    there = joint / joint.sum(axis=1, keepdims=True)
    assert stated["figures"]["nll"]["value"] == pytest.approx(log_loss(labels, there), rel=0.02)
    assert stated["figures"]["accuracy"]["value"] == pytest.approx(accuracy_score(labels, there.argmax(1)), abs=0.01)
    assert stated["as_they_are"]["nll"] == pytest.approx(log_loss(labels, even), rel=0.02)
    assert stated["figures"]["ece"]["value"] < 0.02 < stated["as_they_are"]["ece"]
    assert stated["stated"] == dict(zip(CLASSES, mix, strict=True))
    assert stated["calibrated_for"] == pytest.approx(dict.fromkeys(CLASSES, 1 / 3))


def test_without_a_calibration_the_tested_mix_stands_for_it():
    predictions = answers(np.repeat([0, 1, 2], [10, 20, 30]), np.ones(60, dtype=bool))
    shares, words = calibrated_prevalences(None, predictions)
    assert shares == pytest.approx([1 / 6, 1 / 3, 1 / 2])
    assert "no calibration is stored" in words
    assert image_weights(predictions, np.array([0.5, 0.25, 0.25])).mean() == pytest.approx(1)


def test_a_class_that_was_never_seen_cannot_be_weighted():
    predictions = answers(np.arange(40) % 2, np.ones(40, dtype=bool))
    with pytest.raises(UsageError, match="No image of virus among"):
        calibrated_prevalences(None, predictions)
    with pytest.raises(UsageError, match="No image of virus was tested"):
        image_weights(predictions, np.array([0.5, 0.25, 0.25]))
    assert image_weights(predictions, np.array([0.2, 0.8, 0.0])).sum() == pytest.approx(40)
