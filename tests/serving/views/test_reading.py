"""The first words about a study: one headline that nothing below it contradicts, and what to do next."""

import pytest

from covid_xray.inference.site.close_call import close_calls
from covid_xray.serving.views.reading import reading, scope
from serving.views.test_study_view import FINDING, study

POINTS = {"covid": {"rule-out": True, "balanced": True, "rule-in": True}}


def test_a_class_is_said_with_what_supports_it() -> None:
    read = reading(study(operating_points=POINTS))
    assert (read.headline, read.cannot_say, read.steps) == ("COVID-19", False, ())
    assert read.decision == (
        "COVID-19 is ruled in; no other answer is in the prediction set; the picture passed the input check."
    )
    well = reading(study(label="normal", operating_points={"covid": {"rule-out": False}}))
    assert well.decision.startswith("COVID-19 is ruled out;")
    bare = reading(study(operating_points=None, prediction_set=None, gate=None))
    assert bare.decision == "The most probable answer; no threshold or input check supports it."


def test_a_close_call_is_named_so() -> None:
    reasons = close_calls("normal", kept=["normal"], points={"covid": {"rule-out": True}})
    read = reading(study(label="cannot say", reasons=list(reasons)))
    assert read.headline == "Cannot say: close call"
    assert read.reasons == ("Normal is the most probable answer, but COVID-19 is not ruled out.",)
    assert read.steps == (
        "Read this radiograph as if the network had said nothing.",
        "Where COVID-19 is the question, a laboratory test answers it.",
    )


@pytest.mark.parametrize(
    ("finding", "step"),
    [
        ({"gate": {"contrast": {"ok": False, "words": "looks blank"}}}, "Check that it is an upright, frontal"),
        ({"reasons": ["not fit at St. Elsewhere"]}, "Do not use the network here"),
    ],
)
def test_what_to_do_fits_the_reason(finding: dict, step: str) -> None:
    read = reading(study(label="cannot say", **({"reasons": ["looks blank"]} | finding)))
    assert read.headline == "Cannot say"
    assert read.steps[1].startswith(step)


def test_scope_and_site_are_always_said() -> None:
    assert scope(FINDING["probabilities"]) == (
        "This network knows 3 answers: COVID-19, Normal and Viral pneumonia. Other diseases get one of them."
    )
    assert reading(study()).site == "Checked at St. Elsewhere: fit."
    assert reading(study(site=None)).site == "Not checked at this hospital."
