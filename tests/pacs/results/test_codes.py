"""Concepts: standard ones where there are, own ones that fit their places elsewhere."""

import pytest

from covid_xray.pacs.results import codes


@pytest.mark.parametrize(
    ("label", "value"),
    [("covid", "840539006"), ("virus", "75570004"), ("normal", "17621005"), ("cannot say", "82334004")],
)
def test_known_classes_are_concepts_of_snomed(label: str, value: str) -> None:
    assert (codes.finding_code(label).value, codes.finding_code(label).scheme_designator) == (value, "SCT")


@pytest.mark.parametrize("label", ["tuberculosis", "ä b/c", "x" * 100, ""])
def test_other_classes_are_concepts_of_our_own_that_fit_their_places(label: str) -> None:
    for code in (codes.finding_code(label), codes.probability_code(label)):
        assert code.scheme_designator == "99COVIDXRAY"
        assert 0 < len(code.value) <= 16
        assert len(code.meaning) <= 64
        assert code.value.isascii()
