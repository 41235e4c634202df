"""Numbers as the report writes them."""

import pytest

from covid_xray.evaluation.report.sections import decimal, format_interval, percent, span, with_span


def test_numbers_as_words():
    assert percent(0.8434) == "84.3\u00a0%"
    assert percent(None) == decimal(None) == "–"
    assert decimal(0.84349) == "0.843"
    assert span({"ci_low": 0.1, "ci_high": 0.25}) == "0.100 to 0.250"
    assert span({"ci_low": 0.1, "ci_high": 0.25}, as_percent=True) == "10.0 to 25.0\u00a0%"
    assert span({"ci_low": None, "ci_high": None}) == span(None) == ""
    assert with_span({"value": 0.2, "ci_low": 0.1, "ci_high": 0.25}) == "0.200 (0.100 to 0.250)"
    assert with_span(None) == "–"


@pytest.mark.parametrize(("figure", "words"), [(None, ""), ({"value": 0.5, "ci_low": None}, "0.500 (too few)")])
def test_figures_without_an_interval(figure, words):
    assert format_interval(figure) == words
