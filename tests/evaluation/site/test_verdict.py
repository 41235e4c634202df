"""The verdict: what keeps the rule, and that answering one thing to everything does not."""

from dataclasses import replace

import numpy as np
import pytest

from covid_xray.evaluation.site.rule import Rule
from covid_xray.evaluation.site.verdict import candidate, choose
from covid_xray.inference.finding import CANNOT_SAY
from covid_xray.inference.site.correction import Correction
from support.sites import reference, site_answers

WELL = np.linspace(-4, -1, 60)
FINDS_MOST = reference(np.linspace(-1, 3, 200))  # three in four above 0


def judged(answers, known=FINDS_MOST, rule=None, correction=None):
    name = "site" if correction else "shipped"
    return candidate(name, correction or Correction(), answers, known, rule or Rule())


def failed(answers, known=FINDS_MOST, **others):
    return [one.name for one in judged(answers, known, **others).criteria if not one.holds]


def test_healthy_alone_can_be_fit_and_says_that_sensitivity_was_not_checked():
    one = judged(site_answers(WELL))
    assert choose([one])[0] == "fit"
    assert "sensitivity not checked here" in one.criteria[-1].found


def test_normal_to_everything_is_not_fit():
    assert failed(site_answers(WELL), reference(np.full(50, -3.0))) == [
        "Ill called ill, hospitals left out of training"
    ]
    assert failed(site_answers(WELL, np.full(30, -2.0))) == ["Ill called ill, at this hospital"]
    assert failed(site_answers(WELL), None) == ["Ill called ill, the bundle's own hospitals"], "nothing is known of it"


def test_cannot_say_to_everything_is_not_fit():
    answers = site_answers(WELL)
    silent = {"contrast": {"value": 0.0, "threshold": 1.0, "ok": False, "words": "looks blank"}}
    answers = replace(answers, findings=tuple(replace(one, gate=silent) for one in answers.findings))
    assert set(answers.labels(Correction())) == {CANNOT_SAY}
    assert failed(answers) == ["Answered cannot say"]


@pytest.mark.parametrize(("images", "wrong", "holds"), [(50, 1, True), (50, 2, False), (28, 0, False), (29, 0, True)])
def test_false_positives_are_held_against_their_exact_bound(images, wrong, holds):
    scores = np.full(images, -1.0)
    scores[:wrong] = 1.0
    assert ("Healthy called ill" not in failed(site_answers(scores))) is holds


def test_ill_of_the_site_count_by_their_lower_bound():
    many, few = np.r_[np.full(30, 1.0), np.full(10, -1.0)], np.r_[np.full(6, 1.0), np.full(2, -1.0)]
    assert failed(site_answers(WELL, many)) == []
    assert failed(site_answers(WELL, few)) == ["Ill called ill, at this hospital"]


def test_a_threshold_may_cost_little_elsewhere():
    healthy = site_answers(np.linspace(-3, 0.1, 60))
    assert choose([judged(healthy, correction=Correction(threshold=0.15))])[0] == "fit-with-site-threshold"
    assert failed(healthy, correction=Correction(threshold=1.0)) == [
        "Sensitivity lost, hospitals left out of training",
        "Ill called ill, hospitals left out of training",
    ]


def test_no_healthy_image_is_no_evidence():
    assert "Healthy called ill" in failed(site_answers([], np.full(30, 1.0)))


def test_numbers_of_the_rule_are_settings():
    answers = site_answers(np.r_[np.full(45, -1.0), np.full(5, 1.0)])
    assert "Healthy called ill" in failed(answers)
    assert failed(answers, rule=Rule(false_positives=0.25)) == []
