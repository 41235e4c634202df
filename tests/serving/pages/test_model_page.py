"""The model card as a page: what the bundle says, and that it says nothing where the bundle does."""

from pathlib import Path
from typing import Any

import pytest

from covid_xray.serving.pages.model_page import by_class, figures, points
from support.servers import client

FIGURE = {"value": 0.912, "ci_low": 0.874, "ci_high": 0.941, "n": 561}
METRICS: dict[str, Any] = {
    "part": "test",
    "accuracy": FIGURE,
    "auroc/covid": FIGURE,
    "auroc/virus": {"value": None, "ci_low": None, "ci_high": None, "n": 0},
    "sensitivity/covid": FIGURE,
    "confusion": [[1, 0], [0, 1]],
}
POINTS = {
    "covid": {
        "sha256": "0" * 64,
        "points": {
            "rule-in": {"threshold": None, "reason": "no threshold reaches it"},
            "rule-out": {"threshold": 0.26, "sensitivity": FIGURE, "specificity": FIGURE},
        },
    }
}


def test_figures_of_the_whole_and_by_class() -> None:
    assert [(it.name, it.value, it.low, it.high) for it in figures(METRICS)] == [("Accuracy", 0.912, 0.874, 0.941)]
    table = by_class(METRICS, ("covid", "normal", "virus"))
    assert list(table) == ["Sensitivity", "AUROC"]
    assert [it and it.value for it in table["AUROC"]] == [0.912, None, None]
    assert table["AUROC"][1] is None  # not recorded, which is not the same as not defined


def test_points_in_their_order_with_the_reason_where_there_is_none() -> None:
    out, rule_in = points(POINTS)
    assert (out.name, out.threshold, out.sensitivity and out.sensitivity.low) == ("rule-out", 0.26, 0.874)
    assert (rule_in.name, rule_in.threshold, rule_in.reason) == ("rule-in", None, "no threshold reaches it")


def test_a_bundle_that_says_nothing_gets_a_page_that_says_so(tmp_path: Path) -> None:
    with client(tmp_path) as inside:
        page = inside.get("/model").text
    for words in ("No evaluation recorded.", "Not recorded in this bundle.", "None chosen.", "not fitted"):
        assert words in page


def test_a_bundle_that_says_all_gets_it_shown(tmp_path: Path) -> None:
    trained = {"images": {"train": {"covid": 1033}}, "source": {"kermany": 1219}, "license": {"CC BY 4.0": 1223, "": 9}}
    with client(tmp_path, facts={"metrics": METRICS, "operating_points": POINTS, "training_data": trained}) as inside:
        page = inside.get("/model").text
    for words in (
        "Evaluation (test part)",
        "0.912",
        "0.874 to 0.941",
        "1,033 COVID-19",
        "kermany (1,219)",
        "CC BY 4.0",
    ):
        assert words in page
    assert "not stated" in page
    assert "no threshold reaches it" in page


@pytest.mark.parametrize("metrics", [None, {}, {"part": "test"}])
def test_no_metrics_no_figures(metrics: dict[str, Any] | None) -> None:
    assert (figures(metrics), by_class(metrics, ("covid",))) == ([], {})
