"""A class that its own thresholds or prediction set contradict is withheld."""

import dataclasses

import pytest

from covid_xray.inference.finding import CANNOT_SAY, Finding, Joint, ModelIdentity
from covid_xray.inference.site.close_call import close_calls, settle

FINDING = Finding(
    image="a.png",
    probabilities={"covid": 0.3, "normal": 0.7},
    label="normal",
    reasons=(),
    prediction_set=("normal",),
    gate=None,
    model=ModelIdentity("small", "1", "a" * 64),
    operating_points={"covid": {"rule-out": True, "balanced": False, "rule-in": False}},
)


@pytest.mark.parametrize(
    ("label", "kept", "covid", "contradicted"),
    [
        ("covid", ["covid"], {"rule-out": True, "balanced": True, "rule-in": True}, False),
        ("covid", ["covid"], {"rule-out": True, "balanced": True, "rule-in": False}, True),
        ("covid", ["covid"], {"balanced": True}, False),
        ("covid", ["covid"], {"balanced": False}, True),
        ("normal", ["normal"], {"rule-out": False, "balanced": False, "rule-in": False}, False),
        ("normal", ["normal"], {"rule-out": True, "balanced": False, "rule-in": False}, True),
        ("normal", [], {}, True),
        ("normal", None, {}, False),
        (CANNOT_SAY, ["covid", "normal"], {"rule-out": True}, False),
    ],
)
def test_what_speaks_against_a_label(label: str, kept: list[str] | None, covid: dict, contradicted: bool) -> None:
    assert bool(close_calls(label, kept=kept, points={"covid": covid})) == contradicted


def test_a_settled_finding_says_why_and_keeps_its_numbers() -> None:
    settled = settle(FINDING)
    assert settled.label == CANNOT_SAY
    assert settled.reasons == ("close call: normal is the most probable class, but covid is not ruled out",)
    assert settled.probabilities == FINDING.probabilities
    assert settle(settled) == settled
    plain = dataclasses.replace(FINDING, operating_points=None)
    assert settle(plain) is plain


def test_the_joint_answer_is_settled_by_its_own_set() -> None:
    joint = Joint({"covid": 0.5, "normal": 0.5}, "covid", (), (), {}, {}, {})
    settled = settle(dataclasses.replace(FINDING, operating_points=None, joint=joint))
    assert (settled.label, settled.joint.label) == ("normal", CANNOT_SAY)
