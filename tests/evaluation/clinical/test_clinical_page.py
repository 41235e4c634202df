"""Sentences on what clinical values are worth: differences with their intervals, and a warning only where it is due."""

import pytest

from covid_xray.evaluation.clinical.clinical_page import describe_difference, format_difference, missingness_warning


def figure(value: float, low: float | None, high: float | None) -> dict:
    return {"difference": value, "ci_low": low, "ci_high": high}


def test_a_difference_has_its_sign_and_its_interval() -> None:
    assert "+0.008" in format_difference(figure(0.008, -0.004, 0.021))
    assert "-0.004 to +0.021" in format_difference(figure(0.008, -0.004, 0.021))
    assert format_difference(figure(0.008, None, None)).startswith("+0.008 (too few")


def test_a_gain_is_one_only_where_its_interval_leaves_zero() -> None:
    said = {describe_difference(figure(*row)) for row in ((0.1, 0.05, 0.2), (0.1, -0.05, 0.2), (-0.1, -0.2, -0.05))}
    assert len(said) == 3


@pytest.mark.parametrize("tells", [True, False])
def test_the_warning_stands_where_missingness_tells(tells: bool) -> None:
    balanced = {"value": 0.8, "ci_low": 0.7, "ci_high": 0.9}
    found = missingness_warning(
        {"worth": {"missingness": {"tells": tells, "balanced_accuracy": balanced, "chance": 0.333}}}
    )
    assert bool(found) is tells
    assert not tells or "0.333" in found
