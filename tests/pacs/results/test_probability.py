"""Probabilities: no more digits than the calibration supports, and never certainty."""

import pytest

from covid_xray.pacs.results.probability import in_words, round_to, supported_step


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        ({}, 0.01),
        ({"metrics": {"ece": {"value": 0.078}}}, 0.1),
        ({"metrics": {"ece": {"value": 0.02}}, "calibration": {"after": {"ece": 0.041}}}, 0.05),
        ({"metrics": {"ece": {"value": None}}, "calibration": None}, 0.01),
        ({"calibration": {"after": {"ece": 0.6}}}, 0.2),
    ],
)
def test_the_step_is_not_below_the_calibration_error(facts: dict[str, object], step: float) -> None:
    assert supported_step(facts) == step


@pytest.mark.parametrize(
    ("value", "step", "rounded", "words"),
    [
        (0.9971, 0.1, 0.95, "over 95%"),
        (0.9971, 0.01, 0.995, "over 99.5%"),
        (0.84, 0.1, 0.8, "about 80%"),
        (0.84, 0.01, 0.84, "about 84%"),
        (0.001, 0.1, 0.05, "under 5%"),
        (0.0, 0.02, 0.01, "under 1%"),
        (1.0, 0.05, 0.975, "over 97.5%"),
    ],
)
def test_rounding_never_gives_certainty(value: float, step: float, rounded: float, words: str) -> None:
    assert round_to(value, step=step) == rounded
    assert in_words(value, step=step) == words
