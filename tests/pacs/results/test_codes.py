"""Concepts: standard ones where there are, own ones that fit their places elsewhere."""

import pytest

from covid_xray.pacs.results import codes

CLASSES = ("covid", "normal", "virus")


@pytest.mark.parametrize(
    ("label", "value"),
    [("covid", "840539006"), ("virus", "75570004"), ("cannot say", "82334004")],
)
def test_known_classes_are_concepts_of_snomed(label: str, value: str) -> None:
    assert (
        codes.finding_code(label, classes=CLASSES).value,
        codes.finding_code(label, classes=CLASSES).scheme_designator,
    ) == (value, "SCT")


@pytest.mark.parametrize("label", ["tuberculosis", "ä b/c", "x" * 100, ""])
def test_other_classes_are_concepts_of_our_own_that_fit_their_places(label: str) -> None:
    for code in (codes.finding_code(label, classes=[label, "normal"]), codes.probability_code(label)):
        assert code.scheme_designator == "99COVIDXRAY"
        assert 0 < len(code.value) <= 16
        assert len(code.meaning) <= 64
        assert code.value.isascii()


@pytest.mark.parametrize(
    ("classes", "value", "meaning"),
    [
        (CLASSES, "no-covid-virus", "No sign of COVID-19 or viral pneumonia found"),
        (("normal", "tb"), "no-tb", "No sign of tb found"),
        (("a", "b", "c", "normal"), "no-a-b-c", "No sign of a, b or c found"),
    ],
)
def test_normal_says_what_was_not_found(classes: tuple[str, ...], value: str, meaning: str) -> None:
    code = codes.finding_code("normal", classes=classes)
    assert (code.value, code.scheme_designator, code.meaning) == (value, "99COVIDXRAY", meaning)


def test_the_scope_names_the_classes_that_are_looked_for() -> None:
    assert codes.describe_scope(CLASSES) == "looks only for signs of COVID-19 and viral pneumonia"
