"""The three parts of metrics.json that say what acting on the answers is worth."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from covid_xray.errors import UsageError
from covid_xray.evaluation.metrics.decisions import evaluate_decisions
from covid_xray.evaluation.metrics.operating_points import fit_operating_points, one_vs_rest
from support.brightness import Described
from support.scored import answers

LABELS = np.arange(300) % 3
CALIBRATION = {"labels": {"covid": 50, "normal": 100, "virus": 50}}


def some(seed: int):
    return answers(LABELS, np.random.default_rng(seed).random(300) < 0.85, seed=seed)


def model(**facts):
    points = fit_operating_points(
        one_vs_rest(some(0), "covid"), sha256="ab" * 32, temperature=1.0, part="val", rounds=20
    )
    return Described(facts={"calibration": CALIBRATION, "operating_points": {"covid": asdict(points)}, **facts})


def test_everything_is_there_and_plain_data():
    found = evaluate_decisions(some(1), model(), stated="covid=0.02", rounds=30)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    points = found["operating_points"]["covid"]["points"]
    assert [row["prevalence"] for row in points["balanced"]["by_prevalence"]] == [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
    stated = found["prevalence"]["stated"]
    assert stated == pytest.approx({"covid": 0.02, "normal": 0.98 * 2 / 3, "virus": 0.98 / 3})
    curve = found["decision_curve"]["covid"]
    assert curve["prevalence"] == pytest.approx(1 / 3)
    assert curve["stated"]["prevalence"] == 0.02


def test_without_a_stated_mix_nothing_is_said_of_one():
    found = evaluate_decisions(some(1), model(), rounds=30)
    assert found["prevalence"] is None
    assert found["decision_curve"]["covid"]["stated"] is None


def test_points_of_another_network_are_left_out_and_the_curve_stays():
    found = evaluate_decisions(some(1), model(model={"sha256": "cd" * 32}), rounds=30)
    assert found["operating_points"] == {}
    assert set(found["decision_curve"]) == {"covid"}


def test_a_mix_that_is_none_is_refused():
    with pytest.raises(UsageError, match="flu"):
        evaluate_decisions(some(1), model(), stated="flu=0.1", rounds=30)
