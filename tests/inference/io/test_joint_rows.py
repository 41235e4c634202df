"""Joint answers as plain data, cells and words."""

import json

import pytest

from covid_xray.inference.finding import Joint
from covid_xray.inference.io.joint_rows import describe_joint, joint_as_dict, joint_cells, joint_columns

CLASSES = ("covid", "normal")
JOINT = Joint(
    probabilities={"covid": 0.91234567, "normal": 0.08765433}, label="covid", reasons=(), prediction_set=("covid",),
    known={"age": 63.0, "sex": 0.0, "fever": 1.0, "spo2": 61.0}, unused={"fever": "nobody states it"},
    contributions={"sex": {"covid": -0.02, "normal": 0.02}, "age": {"covid": 0.051, "normal": -0.051}},
    remarks=("is it mmHg?",),
)  # fmt: skip


def test_values_come_out_as_they_would_be_given() -> None:
    facts = joint_as_dict(JOINT)
    assert facts["known"] == {"age": 63.0, "sex": "F", "fever": True, "spo2": 61.0}
    assert facts["probabilities"]["covid"] == 0.912346
    assert json.loads(json.dumps(facts)) == facts


def test_cells_have_a_column_each_filled_or_not() -> None:
    cells = joint_cells(joint_as_dict(JOINT), CLASSES)
    assert len(cells) == len(joint_columns(CLASSES)) == len(joint_cells(None, CLASSES))
    row = dict(zip(joint_columns(CLASSES), cells, strict=True))
    assert (row["joint_label"], row["joint_p_covid"], row["joint_prediction_set"]) == ("covid", "0.912346", "covid")
    assert json.loads(row["contributions"])["age"]["covid"] == 0.051
    assert set(joint_cells(None, CLASSES)) == {""}


def test_people_are_told_what_moved_the_answer_most_first() -> None:
    assert describe_joint(JOINT) == ("covid moved by age +5.1, sex -2.0 points", "not used: fever", "is it mmHg?")


@pytest.mark.parametrize("moved", [0.0, 0.0004])
def test_what_moved_nothing_is_not_told(moved: float) -> None:
    silent = Joint(**{**JOINT.__dict__, "contributions": {"age": {"covid": moved, "normal": -moved}}, "unused": {}})
    assert describe_joint(silent) == ("is it mmHg?",)
