"""Sets of classes from stored quantiles, by hand."""

from dataclasses import replace

import pytest

from covid_xray.bundle.contents import Conformal
from covid_xray.inference.prediction_sets import nonconformity, prediction_set, prediction_sets

P = [[0.2, 0.7, 0.1], [0.45, 0.05, 0.5]]


def test_scores_by_hand():
    assert nonconformity(P)[0] == pytest.approx([0.8, 0.3, 0.9])
    assert nonconformity(P, method="aps")[0] == pytest.approx([0.9, 0.7, 1.0])
    assert nonconformity(P, method="raps")[1] == pytest.approx([0.95 + 0.05, 1.0 + 0.1, 0.5])
    with pytest.raises(ValueError, match="lac, aps, raps"):
        nonconformity(P, method="naive")


def test_sets_by_hand_and_the_top_class_is_always_kept():
    assert prediction_sets(P, quantile=0.6).tolist() == [[False, True, False], [True, False, True]]
    assert prediction_sets(P, quantile=0.1).tolist() == [[False, True, False], [False, False, True]]
    assert prediction_sets(P, quantile=0.96, method="aps").tolist() == [[True, True, False], [True, False, True]]


def test_one_image_by_what_the_bundle_has_in_use():
    facts = Conformal("aps", 0.95, {"aps": {"0.9": 0.1, "0.95": 0.91}, "lac": {"0.95": 1.0}})
    probabilities = dict(zip(("covid", "normal", "virus"), P[0], strict=True))
    assert prediction_set(probabilities, facts) == ("covid", "normal")
    assert prediction_set(probabilities, replace(facts, coverage=0.9)) == ("normal",)
    assert prediction_set(probabilities, None) is None
