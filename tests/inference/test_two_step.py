"""Reasons and probability of a network that answers in two steps."""

from types import SimpleNamespace
from typing import Any

import pytest

from covid_xray.inference.two_step import LUNGS_NOT_FOUND, probability_ill, two_step_reasons
from support.contents import SMALL, contents

INPUT = SMALL["input"]
FACTS: dict[str, Any] = {"well": "normal", "input": {**INPUT, "crop": "lungs-only"}}
FOUND: Any = SimpleNamespace(plausible=True)
ILL, WELL = {"covid": 0.7, "normal": 0.2, "virus": 0.1}, {"covid": 0.2, "normal": 0.7, "virus": 0.1}


def test_ill_is_what_is_not_well() -> None:
    assert probability_ill(ILL, contents(**FACTS)) == pytest.approx(0.8)
    assert probability_ill(ILL, contents()) is None, "a network of one step does not say"


def test_an_illness_that_it_does_not_answer_is_named_as_such() -> None:
    (reason,) = two_step_reasons(ILL, 0.3, contents(**FACTS), lungs=FOUND)
    assert "covid or virus" in reason
    assert two_step_reasons(ILL, 0.6, contents(**FACTS), lungs=FOUND) == ()
    assert two_step_reasons(ILL, 0.6, contents(**FACTS, least_known=0.7), lungs=FOUND) != ()
    assert two_step_reasons(WELL, 0.1, contents(**FACTS), lungs=FOUND) == (), "what is well has no illness to know"


@pytest.mark.parametrize("lungs", [None, SimpleNamespace(plausible=False)])
def test_a_network_of_lungs_alone_says_nothing_without_them(lungs: Any) -> None:
    assert two_step_reasons(WELL, 0.9, contents(**FACTS), lungs=lungs) == (LUNGS_NOT_FOUND,)
    assert two_step_reasons(WELL, None, contents(input={**INPUT, "crop": "lungs"}), lungs=lungs) == ()
