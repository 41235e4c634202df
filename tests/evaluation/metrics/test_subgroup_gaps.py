"""Subgroups: their figures are those of their images alone, small ones are hidden, the largest gap is found."""

import json

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame
from sklearn.metrics import recall_score, roc_auc_score

from covid_xray.evaluation.metrics.intervals import bootstrap
from covid_xray.evaluation.metrics.subgroup_gaps import measure_subgroups, metric_frame
from covid_xray.evaluation.predictions import Predictions
from support.brightness import CLASSES
from support.scored import predictions, worse


def study(count: int = 300, *, seed: int = 0, **columns) -> Predictions:
    codes = [i % 3 for i in range(count)]
    found = predictions(codes, seed=seed)
    return Predictions(found.table.assign(**columns), CLASSES, found.failures)


def test_values_are_those_of_scikit_learn_on_the_images_of_the_group():
    sex = np.array(["M", "F"] * 150)
    found = worse(study(sex=sex), np.arange(0, 60))
    women = measure_subgroups(found, groups=None, rounds=20)["attributes"]["sex"]["groups"]["female"]
    mask = sex == "F"
    labels, p = found.labels[mask], found.probabilities[mask]
    right = recall_score(labels, found.predicted[mask], average=None)
    assert women["n_images"] == 150
    assert women["labels"] == {"covid": 50, "normal": 50, "virus": 50}
    for code, name in enumerate(CLASSES):
        figures = women["figures"]
        assert figures[f"sensitivity/{name}"]["value"] == pytest.approx(right[code])
        assert figures[f"auroc/{name}"]["value"] == pytest.approx(roc_auc_score(labels == code, p[:, code]))
    assert women["figures"]["auroc_macro"]["value"] == pytest.approx(
        roc_auc_score(labels, p, multi_class="ovr", average="macro")
    )


def test_the_gap_is_that_of_fairlearn_between_the_groups_that_differ_most():
    view = np.array(["PA", "AP", "AP supine"])[np.random.default_rng(3).integers(0, 3, 300)]
    found = worse(study(view=view), np.flatnonzero(view == "AP")[:60])
    gap = measure_subgroups(found, groups=None, rounds=50)["attributes"]["view"]["gap"]
    recall = MetricFrame(
        metrics=recall_score, y_true=found.labels == 0, y_pred=found.predicted == 0, sensitive_features=view
    )
    assert gap["figures"]["sensitivity/covid"] == pytest.approx(recall.difference(method="between_groups"))
    assert gap["value"] == max(gap["figures"].values())
    assert gap["lowest"]["group"] == "AP"
    assert gap["value"] == pytest.approx(gap["highest"]["value"] - gap["lowest"]["value"])
    assert 0 < gap["ci_low"] < gap["value"] < gap["ci_high"] < 1
    assert metric_frame(found, view.astype(object)).by_group.loc["AP", gap["figure"]] == gap["lowest"]["value"]


def test_groups_alike_have_a_gap_whose_interval_holds_zero():
    """The largest of ten figures' gaps: its interval holds for all of them at once, so chance seldom looks real."""
    holds = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        sex = np.array(["M", "F"])[random.integers(0, 2, 300)]
        found = worse(study(seed=seed, sex=sex), np.flatnonzero(random.random(300) < 0.3))
        gap = measure_subgroups(found, groups=None, rounds=200)["attributes"]["sex"]["gap"]
        assert gap["figures"]["auroc_macro"] < 0.2
        holds += gap["ci_low"] < 0
    assert holds >= 17  # 19 of 20 on average


def test_a_group_under_20_images_says_nothing_but_that_and_takes_no_part_in_the_gap():
    sex = ["M"] * 150 + ["F"] * 131 + ["O"] * 19
    found = measure_subgroups(worse(study(sex=sex), np.arange(281, 300)), groups=None, rounds=20)["attributes"]["sex"]
    assert found["groups"]["other"] == {"hidden": "n < 20, hidden"}
    assert "other" not in (found["gap"]["lowest"]["group"], found["gap"]["highest"]["group"])


def test_a_rare_class_inside_a_group_has_no_figure_and_no_part_in_the_gap():
    codes = np.array([i % 3 for i in range(300)])
    sex = np.where(codes == 0, "M", np.array(["M", "F"])[np.arange(300) % 2])
    sex[np.flatnonzero(codes == 0)[:5]] = "F"
    found = measure_subgroups(study(sex=sex), groups=None, rounds=20)["attributes"]["sex"]
    women = found["groups"]["female"]
    assert women["labels"]["covid"] == 5
    assert {"sensitivity/covid", "auroc/covid", "auroc_macro"}.isdisjoint(women["figures"])
    assert "sensitivity/covid" not in found["gap"]["figures"]
    assert "sensitivity/normal" in found["gap"]["figures"]


def test_rows_without_the_attribute_are_counted():
    found = measure_subgroups(study(sex=["M", "", "F"] * 100), groups=None, rounds=10)["attributes"]
    assert found["sex"]["not_stated"] == 100
    assert found["vendor"] == {"title": "vendor", "not_stated": 300, "groups": {}, "gap": None}


def test_patients_are_drawn_and_counted():
    people = np.array([f"p{i // 3}" for i in range(300)])
    found = measure_subgroups(study(sex=["M", "M", "F"] * 100), groups=people, rounds=50)["attributes"]["sex"]["groups"]
    assert (found["male"]["n_images"], found["male"]["n_patients"]) == (200, 100)
    auroc = found["male"]["figures"]["auroc_macro"]
    assert (auroc["n"], auroc["unit"]) == (100, "patients")


def test_intervals_agree_with_a_bootstrap_of_the_group_alone():
    found = worse(study(900, sex=["M", "F"] * 450), np.arange(0, 300))
    shared = measure_subgroups(found, groups=None, rounds=2000)["attributes"]["sex"]["groups"]["male"]["figures"]
    mask = np.arange(900) % 2 == 0
    alone = bootstrap(found.labels[mask], found.probabilities[mask], CLASSES, rounds=2000, seed=1)
    for name, figure in shared.items():
        assert figure["ci_low"] == pytest.approx(alone[name].low, abs=0.015), name
        assert figure["ci_high"] == pytest.approx(alone[name].high, abs=0.015), name


def test_the_result_is_valid_json_and_repeats():
    once, twice = (measure_subgroups(study(sex=["M", "F"] * 150), groups=None, rounds=20, seed=4) for _ in range(2))
    assert json.dumps(once, allow_nan=False) == json.dumps(twice, allow_nan=False)
