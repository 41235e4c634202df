"""Scores of the baselines agree with scikit-learn, and their intervals widen with the size of a patient."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from covid_xray.data.baselines.grouped_scores import cross_validate, measures, scores


def answers(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    label = random.choice(np.array(["a", "b", "c"]), n, p=[0.6, 0.3, 0.1])
    return label, np.where(random.random(n) < 0.7, label, random.choice(np.array(["a", "b", "c"]), n))


def test_scores_agree_with_scikit_learn():
    label, predicted = answers()
    found = scores(label, predicted, np.arange(300).astype(str), seed=0)
    assert found["accuracy"].value == pytest.approx(accuracy_score(label, predicted))
    assert found["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(label, predicted))
    assert found["macro_f1"].value == pytest.approx(f1_score(label, predicted, average="macro"))
    for score in found.values():
        assert score.ci_low < score.value < score.ci_high
        assert score.n == 300


def test_intervals_are_those_of_people_not_of_images():
    label, predicted = answers()
    alone = scores(label, predicted, np.arange(300).astype(str), seed=0)["accuracy"]
    ten_each = scores(
        np.repeat(label, 10), np.repeat(predicted, 10), np.repeat(np.arange(300), 10).astype(str), seed=0
    )["accuracy"]
    assert ten_each.value == pytest.approx(alone.value)
    assert ten_each.ci_high - ten_each.ci_low == pytest.approx(alone.ci_high - alone.ci_low, rel=0.15)


def test_interval_of_accuracy_is_about_the_binomial_one():
    label, predicted = answers(1000, seed=3)
    score = scores(label, predicted, np.arange(1000).astype(str), seed=0)["accuracy"]
    width = 2 * 1.96 * np.sqrt(score.value * (1 - score.value) / 1000)
    assert score.ci_high - score.ci_low == pytest.approx(width, rel=0.1)


def test_a_class_that_a_draw_left_out_counts_in_no_mean():
    assert measures(np.array([[[3.0, 1.0], [0.0, 0.0]]]))[0].tolist() == [0.75, 0.75, pytest.approx(6 / 7)]


def test_no_image_is_told_by_a_model_that_saw_its_fold():
    # Every label is random, but two copies share features: only a leak could do better than chance.
    random = np.random.default_rng(0)
    features = np.repeat(random.normal(size=(150, 5)), 2, axis=0)
    label = np.repeat(random.choice(np.array(["a", "b"]), 150), 2)
    apart = np.repeat(np.arange(150) % 5, 2)
    leaking = np.arange(300) % 2
    assert (cross_validate(features, label, apart, seed=0, trees=60) == label).mean() < 0.65
    assert (cross_validate(features, label, leaking, seed=0, trees=60) == label).mean() > 0.95
