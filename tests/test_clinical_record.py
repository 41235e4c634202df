"""The pydantic form of the clinical fields says and refuses what `clinical` does."""

import pydantic
import pytest

from covid_xray import clinical
from covid_xray.clinical_record import ClinicalRecord


def test_one_schema_with_units_and_ranges() -> None:
    properties = ClinicalRecord.model_json_schema()["properties"]
    assert list(properties) == list(clinical.BY_NAME)
    spo2 = properties["spo2"]
    assert (spo2["unit"], spo2["minimum"], spo2["maximum"]) == ("percent", 50, 100)


def test_what_is_stated_is_what_a_predictor_takes() -> None:
    assert ClinicalRecord(age="63", sex="F", fever=True).known == {"age": 63.0, "sex": 0.0, "fever": 1.0}
    assert ClinicalRecord().known == {}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"temperature": 98.6}, "Fahrenheit"),
        ({"spo2": 0.91}, "fraction"),
        ({"weight": 70}, "Extra inputs"),
        ({"leukocytes": 4, "neutrophils": 9}, "not in percent"),
    ],
)
def test_what_does_not_fit_is_refused(values: dict, said: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=said):
        ClinicalRecord(**values)


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(pydantic.ValidationError):
        ClinicalRecord(age=63).age = 64
