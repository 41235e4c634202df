"""Thresholds found by trying all of them, targets that cannot be met, and what scikit-learn says of the same points."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_curve

from covid_xray.errors import UsageError
from covid_xray.evaluation.metrics.operating_points import (
    OneVsRest,
    achieved_rates,
    choose_point,
    fit_operating_points,
    measure_points,
    one_vs_rest,
    positive_classes,
    thresholds,
)
from covid_xray.inference.thresholds import POINTS
from support.scored import CLASSES, answers, drawn


def rates(about: OneVsRest, cut: float) -> tuple[float, float]:
    (tn, fp), (fn, tp) = confusion_matrix(about.positive, about.scores >= cut)
    return tp / (tp + fn), tn / (tn + fp)


@pytest.mark.parametrize("digits", [2, 9])  # with two digits many images share a probability
@pytest.mark.parametrize("seed", range(5))
def test_each_point_is_the_best_of_all_thresholds(seed, digits):
    about = drawn(seed=seed, digits=digits)
    every = [rates(about, cut) for cut in np.unique(about.scores)[1:]]
    out, balanced, into = (rates(about, choose_point(about, name)["threshold"]) for name in POINTS)
    assert out[0] >= 0.95
    assert out[1] == max(specificity for sensitivity, specificity in every if sensitivity >= 0.95)
    assert into[1] >= 0.95
    assert into[0] == max(sensitivity for sensitivity, specificity in every if specificity >= 0.95)
    assert sum(balanced) == pytest.approx(max(map(sum, every)))
    false_alarms, hits, _ = roc_curve(about.positive, about.scores)
    assert sum(balanced) - 1 == pytest.approx((hits - false_alarms).max())


def test_a_last_bit_moves_no_image_across():
    about = drawn(80)
    for name in POINTS:
        cut = choose_point(about, name)["threshold"]
        nearest = np.abs(about.scores - cut).min()
        assert nearest > 1e-7
    assert thresholds([0.5, 0.5]).size == 0
    close = [0.5, math.nextafter(0.5, 1)]
    assert thresholds(close).tolist() == [close[1]]  # between neighbouring floats there is no middle


def test_nineteen_of_twenty_are_a_sensitivity_of_0_95():
    scores = np.concatenate([[0.1], np.full(19, 0.9), np.full(30, 0.4)])
    about = OneVsRest(scores, np.arange(50) < 20)
    found = choose_point(about, "rule-out")
    assert rates(about, found["threshold"]) == (0.95, 1.0)


def test_what_only_calling_everything_reaches_has_no_threshold_and_a_reason():
    positive = np.arange(100) < 50
    lost = np.where(np.arange(100) < 10, 0.0, np.where(positive, 0.9, 0.5))  # a fifth of the positives are lowest
    out = choose_point(OneVsRest(lost, positive), "rule-out")
    assert out["threshold"] is None
    assert "only by calling every image positive" in out["reason"]
    assert choose_point(OneVsRest(1 - lost, ~positive), "rule-in")["threshold"] is None
    worse = choose_point(OneVsRest(1.0 - positive, positive), "balanced")
    assert worse["reason"] == "no threshold is better than chance"
    flat = fit_operating_points(
        OneVsRest(np.full(100, 0.3), positive), sha256="a", temperature=1.0, part="val", rounds=20
    )
    assert [point.threshold for point in flat.points.values()] == [None] * 3


def two_hospitals() -> OneVsRest:
    """In the second hospital positives score lower, and negatives higher."""
    first, second = drawn(400, seed=1, gap=4), drawn(200, seed=2, gap=2)
    names = np.repeat(["a", "b"], [400, 200]).astype(object)
    return OneVsRest(
        np.concatenate([first.scores, second.scores]), np.concatenate([first.positive, second.positive]), names
    )


def test_the_target_is_kept_on_every_source_and_the_stricter_threshold_is_stored():
    about = two_hospitals()
    for name, sign in (("rule-out", -1), ("rule-in", 1)):
        found = choose_point(about, name)
        whole = found["all_images"]["threshold"]
        assert found["basis"] == "every source"
        assert sign * found["threshold"] > sign * whole
        place = 0 if name == "rule-out" else 1
        for source in "ab":
            mask = about.sources == source
            part = OneVsRest(about.scores[mask], about.positive[mask])
            assert rates(part, found["threshold"])[place] == pytest.approx(found["sources"][source]["value"])
            assert found["sources"][source]["value"] >= 0.95
        weak = about.sources == "b"
        assert rates(OneVsRest(about.scores[weak], about.positive[weak]), whole)[place] < 0.95
    assert choose_point(about, "balanced")["basis"] == "all images"


def test_a_source_with_under_20_images_of_the_side_makes_no_demand():
    about = two_hospitals()
    names = about.sources.copy()
    names[np.flatnonzero(about.positive)[:19]] = "small"
    found = choose_point(OneVsRest(about.scores, about.positive, names), "rule-out")
    assert set(found["sources"]) == {"a", "b"}
    assert found["sources"]["b"]["images"] == int((about.positive & (names == "b")).sum())


def test_a_source_that_spoils_the_point_is_said():
    first = drawn(1500, seed=1, gap=6)
    scores = np.concatenate([first.scores, np.zeros(20)])  # the positives of a small hospital are all lowest
    about = OneVsRest(scores, np.append(first.positive, [True] * 20), np.repeat(["a", "b"], [1500, 20]).astype(object))
    found = choose_point(about, "rule-out")
    assert found["threshold"] is None
    assert "on every source (all images together reach it)" in found["reason"]
    assert found["all_images"]["sensitivity"] >= 0.95
    assert found["sources"]["b"] == {"images": 20, "value": None}


def test_facts_of_the_bundle_are_json_and_say_on_what():
    labels = np.arange(240) % 3
    predictions = answers(labels, np.random.default_rng(0).random(240) < 0.85)
    groups = np.arange(240) // 2
    facts = asdict(fit_operating_points(
        one_vs_rest(predictions, "covid", groups=groups), sha256="ab", temperature=1.5, part="calibration", rounds=50
    ))  # fmt: skip
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    told = {key: facts[key] for key in ("part", "images", "positives", "negatives", "patients", "sha256")}
    assert told == {
        "part": "calibration", "images": 240, "positives": 80, "negatives": 160, "patients": 120, "sha256": "ab",
    }  # fmt: skip
    for point in facts["points"].values():
        for which in ("sensitivity", "specificity"):
            assert point[which]["ci_low"] <= point[which]["value"] <= point[which]["ci_high"]
            assert point[which]["unit"] == "patients"


def test_under_20_images_of_the_class_give_no_points():
    about = OneVsRest(np.linspace(0, 1, 100), np.arange(100) >= 81)
    facts = fit_operating_points(about, sha256="ab", temperature=1.0, part="val", rounds=20)
    assert {point.reason for point in facts.points.values()} == {
        "19 images of the class and 81 of the rest are too few; it takes 20 of each"
    }


def test_reached_counts_like_scikit_learn():
    about = drawn(200, seed=4)
    found = achieved_rates(about, 0.5, rounds=50)
    (tn, fp), (fn, tp) = confusion_matrix(about.positive, about.scores >= 0.5)
    assert found["ppv"]["value"] == tp / (tp + fp)
    assert found["npv"]["value"] == tn / (tn + fn)
    assert (found["sensitivity"]["value"], found["specificity"]["value"]) == rates(about, 0.5)
    assert set(achieved_rates(about, 2.0, rounds=50)) == {"sensitivity", "specificity", "npv"}


def test_on_test_images_each_source_is_told_where_20_images_stand_behind_it():
    about = two_hospitals()
    stored = fit_operating_points(about, sha256="ab", temperature=1.0, part="calibration", rounds=20)
    names = about.sources.copy()
    names[np.flatnonzero(about.positive)[:15]] = "small"
    found = measure_points(OneVsRest(about.scores, about.positive, names), stored, rounds=20)
    point = found["points"]["rule-out"]
    assert point["called"] == int((about.scores >= point["threshold"]).sum())
    assert point["sensitivity"]["value"] == stored.points["rule-out"].sensitivity.value
    assert set(point["by_source"]) == {"a", "b", "small"}
    assert point["by_source"]["small"] == {"positives": 15, "negatives": 0}
    assert sum(source["positives"] for source in point["by_source"].values()) == found["positives"]


def test_covid_is_meant_unless_another_class_is_named():
    assert positive_classes(CLASSES) == ("covid",)
    assert positive_classes(("a", "b")) == ()
    assert positive_classes(CLASSES, ["virus", "covid", "virus"]) == ("virus", "covid")
    with pytest.raises(UsageError, match="flu"):
        positive_classes(CLASSES, ["flu"])
