"""A threshold for each group: what it repairs on groups that were made to differ, and what it says where it cannot."""

import numpy as np
import pytest

from covid_xray.evaluation.metrics.mitigation import Scores, compare_thresholds


def scores(seed: int, *, shift: float, count: int = 1200, groups: tuple[str, ...] = ("F", "M")) -> Scores:
    """Scores of the second group are lower by `shift`, ill or not, so that one threshold finds fewer of its ill."""
    random = np.random.default_rng(seed)
    positive = random.random(count) < 0.4
    group = np.array(groups, dtype=object)[random.integers(0, len(groups), count)]
    score = random.normal(positive * 2.0 - shift * (group == groups[-1]), 1.0)
    return Scores(positive, score, group, np.array([f"p{k}" for k in range(count)]))


@pytest.fixture(scope="module")
def found() -> dict:
    return compare_thresholds(scores(1, shift=1.0), scores(2, shift=1.0), rounds=200)


def test_one_threshold_treats_the_groups_differently(found: dict) -> None:
    gap = found["one"]["gap"]["sensitivity"]
    assert gap["value"] > 0.2
    assert gap["ci_low"] > 0.1
    assert found["one"]["sensitivity"]["F"]["value"] > found["one"]["sensitivity"]["M"]["value"]


def test_thresholds_of_each_group_close_the_gap_on_other_patients(found: dict) -> None:
    assert found["each"]["gap"]["sensitivity"]["value"] < 0.08
    assert found["difference"]["gap/sensitivity"]["ci_high"] < -0.1
    assert found["difference"]["balanced_accuracy"]["ci_high"] > 0  # here fairness is free


def test_equal_groups_gain_nothing() -> None:
    found = compare_thresholds(scores(1, shift=0.0), scores(2, shift=0.0), rounds=200)
    difference = found["difference"]["balanced_accuracy"]
    assert difference["ci_low"] <= 0.01
    assert abs(difference["value"]) < 0.03


def test_figures_are_those_of_the_groups(found: dict) -> None:
    judged = scores(2, shift=1.0)
    assert found["groups"]["F"]["images"] == int((judged.group == "F").sum())
    whole = found["one"]
    assert whole["balanced_accuracy"]["n"] == 1200
    assert 0 <= whole["specificity"]["M"]["ci_low"] <= whole["specificity"]["M"]["value"] <= 1


def test_groups_that_are_too_small_are_left_out_and_named() -> None:
    small = scores(1, shift=1.0, count=60, groups=("F", "M", "other"))
    assert compare_thresholds(small.take(small.group == "F"), small, rounds=20) is None
    many = scores(1, shift=0.5, groups=("F", "M"))
    rare = Scores(
        np.append(many.positive, True),
        np.append(many.score, 1.0),
        np.append(many.group, "x"),
        np.append(many.people, "q"),
    )
    assert compare_thresholds(rare, many, rounds=20)["left_out"] == ["x"]
