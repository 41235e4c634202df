"""Clinical values: units and ranges, mix-ups that are caught, and what is said of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covid_xray import clinical
from covid_xray.errors import InputRefused, UsageError


def refusal(**values: object) -> str:
    with pytest.raises(InputRefused) as caught:
        clinical.record(values)
    return caught.value.message


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"age": "63", "sex": "F", "spo2": 91}, {"age": 63.0, "sex": 0.0, "spo2": 91.0}),
        ({"sex": "Male", "fever": True, "cough": "N"}, {"sex": 1.0, "fever": 1.0, "cough": 0.0}),
        ({"age": "45 y", "temperature": "38.5 °C", "spo2": "95%"}, {"age": 45.0, "temperature": 38.5, "spo2": 95.0}),
        ({"leukocytes": "7.4 10^9/L", "lymphocytes": 1.2}, {"leukocytes": 7.4, "lymphocytes": 1.2}),
        ({"age": "", "sex": "unknown", "spo2": None, "temperature": math.nan}, {}),
        ({"days_since_onset": -3}, {"days_since_onset": -3.0}),
    ],
)
def test_values_are_read_in_the_units_of_the_fields(values: dict, expected: dict) -> None:
    assert clinical.record(values) == expected


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("temperature", 98.6, "degrees Fahrenheit (37.0 degrees Celsius)"),
        ("temperature", "101.3 F", "another unit (degrees Fahrenheit)"),
        ("temperature", 311.1, "kelvin (38.0 degrees Celsius)"),
        ("spo2", 0.91, "a fraction (91 percent)"),
        ("spo2", "61 mmHg", "a pressure in mmHg"),
        ("spo2", 120, "oxygen pressure (PaO2) in mmHg or kPa"),
        ("spo2", 8.3, "oxygen pressure (PaO2) in mmHg or kPa"),
        ("age", 1961, "a year of birth"),
        ("age", 300, "months or days"),
        ("leukocytes", 7400, "cells per microlitre (7.4 10^9/L)"),
        ("lymphocytes", 22, "a percentage of the leukocytes"),
        ("lymphocytes", "1,2", "Decimal comma"),
        ("sex", 1, "Accepted: F or M"),
        ("fever", "a bit", "Accepted: no or yes"),
        ("age", True, "Not a number"),
        ("age", "inf", "Not a number"),
        ("temperature", "2021-03-01", "Not a number"),
    ],
)
def test_mixed_up_units_are_refused_with_the_range_and_a_guess(name: str, value: object, said: str) -> None:
    message = refusal(**{name: value})
    field = clinical.BY_NAME[name]
    assert said in message
    assert field.codes or f"{field.low:g} to {field.high:g}" in message


def test_every_problem_is_named_at_once() -> None:
    message = refusal(temperature=98.6, spo2=0.9, age=40)
    assert "Fahrenheit" in message
    assert "fraction" in message
    assert "age" not in message


def test_counts_that_contradict_each_other_are_refused() -> None:
    assert "not in percent" in refusal(leukocytes=5, neutrophils=4, lymphocytes=3)
    assert clinical.record({"leukocytes": 5, "neutrophils": 3.5, "lymphocytes": 1.5})


def test_a_field_that_does_not_exist_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="Known fields: age"):
        clinical.record({"weight": 70})


def test_symptoms_are_yes_no_or_unknown() -> None:
    assert clinical.symptoms("fever, no-cough,loss-of-smell") == {"fever": "yes", "cough": "no", "loss_of_smell": "yes"}
    assert clinical.symptoms("") == {}
    for wrong in ("fewer", "fever,no-fever"):
        with pytest.raises(UsageError, match="--symptoms"):
            clinical.symptoms(wrong)


def test_rare_values_are_accepted_and_asked_about() -> None:
    assert "mmHg" in clinical.remarks(clinical.record({"spo2": 61}))[0]
    assert clinical.remarks(clinical.record({"spo2": 91, "age": 50})) == ()


def test_values_for_people() -> None:
    told = {name: clinical.shown(name, value) for name, value in {"age": 63.0, "sex": 0.0, "fever": 1.0}.items()}
    assert told == {"age": "63 years", "sex": "F", "fever": "yes"}


@given(st.dictionaries(st.sampled_from(list(clinical.BY_NAME)), st.one_of(st.text(), st.floats(), st.integers())))
def test_whatever_comes_is_a_record_within_its_ranges_or_refused(values: dict) -> None:
    try:
        found = clinical.record(values)
    except InputRefused:
        return
    for name, value in found.items():
        assert clinical.BY_NAME[name].low <= value <= clinical.BY_NAME[name].high
