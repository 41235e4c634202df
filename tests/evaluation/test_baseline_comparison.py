"""Baselines that see no lung are read from their own file's content, and only those of the same classes count."""

import pytest

from covid_xray.data.baselines.baselines import Baseline, Baselines, as_json
from covid_xray.data.baselines.grouped_scores import Score
from covid_xray.errors import BadManifest
from covid_xray.evaluation.baseline_comparison import check_baselines
from support.brightness import CLASSES, baselines


def test_the_best_is_the_highest_macro_f1_that_saw_no_lung():
    found = check_baselines(baselines(CLASSES), CLASSES)
    assert found["best"]["name"] == "frame"
    assert found["best"]["figures"]["macro_f1"] == pytest.approx(
        {"value": 0.42, "ci_low": 0.32, "ci_high": 0.52, "n": 900}
    )
    assert [row["name"] for row in found["rows"]] == ["file-facts", "frame", "thumbnail"]
    assert found["images"] == 900


def test_what_the_command_writes_is_understood():
    scores = {name: Score(0.6, 0.5, 0.7, 90) for name in ("accuracy", "balanced_accuracy", "macro_f1")}
    row = Baseline("frame", "the outer pixels", True, scores, 1 / 3)
    written = as_json(Baselines(CLASSES, 90, 50, 5, "a box", (row,), {}, {}, "ab"))
    assert check_baselines(written, CLASSES)["best"]["figures"]["macro_f1"]["value"] == 0.6


def test_the_order_of_the_classes_does_not_matter_but_their_names_do():
    assert check_baselines(baselines(("virus", "covid", "normal")), CLASSES)
    with pytest.raises(BadManifest, match="covid, normal, the network of covid, normal, virus"):
        check_baselines(baselines(("covid", "normal")), CLASSES)


def test_none_measured():
    assert check_baselines(None, CLASSES) is None


@pytest.mark.parametrize("content", [[], {}, {"rows": []}, {"rows": [1]}, {"rows": [{"name": "x"}]}, "text"])
def test_another_content_is_refused(content):
    with pytest.raises(BadManifest, match=r"baselines\.json"):
        check_baselines(content, CLASSES)
