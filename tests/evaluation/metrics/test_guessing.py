"""A network that only guesses is called so, and one that does not is not."""

import numpy as np
import pytest

from covid_xray.evaluation.metrics.guessing import compare_with_guessing, guessing_of

LABELS = ["normal"] * 60 + ["covid"] * 40


def accuracy(value: float, low: float | None, high: float | None) -> dict:
    return {"value": value, "ci_low": low, "ci_high": high}


@pytest.mark.parametrize(("low", "better"), [(0.61, True), (0.60, False), (0.30, False)])
def test_better_means_that_the_whole_interval_is_above_the_share_of_the_most_frequent_class(low, better):
    found = compare_with_guessing(LABELS, accuracy(0.7, low, 0.8))
    assert (found["label"], found["rate"], found["better"]) == ("normal", 0.6, better)
    assert ("no better than always answering normal (60.0%)" in found["says"]) is not better


def test_of_one_class_or_too_few_nothing_is_said():
    assert compare_with_guessing(["covid"] * 30, accuracy(0.9, 0.8, 1.0)) is None
    assert compare_with_guessing(LABELS, accuracy(0.9, None, None)) is None


def test_the_interval_is_over_patients():
    right = np.arange(100) % 10 < 8
    assert guessing_of(LABELS, right)["better"] is True
    few = guessing_of(LABELS, right, groups=[f"p{number % 10}" for number in range(100)])
    assert few["better"] is False
