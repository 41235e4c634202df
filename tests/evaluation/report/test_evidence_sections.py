"""Sections that rest on facts of other commands: shown where the run has them, else one line says how to get them."""

import pytest

from covid_xray.evaluation.calibrate import CalibrationSettings, fit_predictions
from covid_xray.evaluation.measure import measure
from covid_xray.evaluation.predictions import predict_manifest
from covid_xray.evaluation.report.evidence_sections import audit, decision, operating_points, prevalence, saliency
from covid_xray.evaluation.report.sections import Bullets, Fold, Table, Text
from support.brightness import CLASSES, Brightness, Described, manifest
from support.reports import BARE

SCORE = {"value": 0.8, "ci_low": 0.7, "ci_high": 0.9}
MEANS = "The score rests on the lungs."
AUDIT = {
    "model": {"sha256": "ab" * 32}, "part": "test", "images": 90, "notes": ["some were left out"],
    "verdict": {"line": "80 % survives.", "means": MEANS},
    "masks": {"says": "a box"}, "chance": {"auroc_macro": 0.5, "macro_f1": 1 / 3},
    "conditions": [{"shows": "only the lungs", "figures": {"auroc_macro": SCORE, "macro_f1": SCORE},
                    "retained": {"auroc_macro": SCORE}}],
    "source_from_embedding": {"classes": {"covid": {"images": 40, "balanced_accuracy": SCORE, "chance": 0.5}}},
    "sources_left_out": {"figures": {"macro_f1": SCORE},
                             "rows": [{"source": "site 0", "images": 9, "accuracy": None}]},
    "heatmaps": {"images": 20, "cascade": {"line": "The map changes.", "steps": [{"layer": "dense", "spearman": SCORE,
                 "ssim": SCORE}], "unrelated": {"spearman": SCORE, "ssim": SCORE}}, "seeds": None, "faithful": "It is.",
                 "methods": [{"shows": "Grad-CAM", "lung_ratio": SCORE, "insertion": SCORE, "deletion": SCORE}]},
}  # fmt: skip


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    rows = [
        {"image": f"{i}.png", "label": CLASSES[i % 3], "source": f"site {i % 2}", "patient_id": f"p{i}",
         "grey": 60 + 60 * (i % 3) + (i * 7) % 50 - 25}
        for i in range(120)
    ]  # fmt: skip
    data = manifest(tmp_path_factory.mktemp("study"), rows)
    predictions = predict_manifest(Brightness(), data)
    facts = fit_predictions(predictions, data, sha256="ab" * 32, part="val", wishes=CalibrationSettings(rounds=20))
    stated = "covid=0.05,virus=0.1"
    found = measure(predictions, data, Described(facts=facts), rounds=20, seed=0, prevalence=stated)
    return {**BARE, "title": "A study", **found}


def tables(section) -> dict[str, Table]:
    folded = [inner for block in section.blocks if isinstance(block, Fold) for inner in block.blocks]
    return {b.caption: b for b in (*section.blocks, *folded) if isinstance(b, Table)}


def words(section) -> str:
    return " ".join(
        part
        for block in section.blocks
        for part in ([block.text] if isinstance(block, Text) else block.items if isinstance(block, Bullets) else [])
    )


def test_operating_points_show_what_they_reach_and_what_an_answer_is_worth(metrics):
    found = tables(operating_points(metrics))
    points = metrics["operating_points"]["covid"]["points"]
    rows = found["Operating points of covid"].rows
    assert [row[0].text for row in rows] == list(points)
    shares = found["Predictive values by prevalence of covid"].rows
    assert "5.0\u00a0%" in [row[0].text for row in shares]
    assert all(len(row) == len(found["Predictive values by prevalence of covid"].head) for row in shares)
    assert "Operating points of covid on each source" in found
    assert "chosen on 120 images of the val part" in words(operating_points(metrics))


def test_a_target_that_is_missed_here_is_marked(metrics):
    points = metrics["operating_points"]["covid"]
    low = {**points["points"]["rule-out"], "threshold": 0.5, "called": 3, "sensitivity": SCORE, "specificity": SCORE}
    changed = {**metrics, "operating_points": {"covid": {**points, "points": {"rule-out": low}}}}
    row = tables(operating_points(changed))["Operating points of covid"].rows[0]
    assert (row[2].mark, row[3].mark) == ("bad", "")


def test_a_point_without_a_threshold_says_why(metrics):
    points = metrics["operating_points"]["covid"]
    none = {"threshold": None, "target": {"sensitivity": 0.95}, "reason": "never reached"}
    changed = {**metrics, "operating_points": {"covid": {**points, "points": {"rule-out": none}}}}
    row = tables(operating_points(changed))["Operating points of covid"].rows[0]
    assert (row[1].text, row[1].small) == ("none", "never reached")


def test_the_stated_population_and_the_decision_curve_are_shown(metrics):
    section = prevalence(metrics, ())
    assert "5.0\u00a0% covid" in words(section)
    assert len(tables(section)["Figures there"].rows) == 6
    assert prevalence({**metrics, "prevalence": None}, ()) is None
    assert "covid (prevalence 33.3\u00a0%)" in words(decision(metrics, ()))
    assert decision({**metrics, "decision_curve": {}}, ()) is None


def test_absent_facts_say_how_to_get_them(metrics):
    assert "covid-xray calibrate" in words(operating_points({**metrics, "operating_points": {}}))
    assert "covid-xray audit" in words(audit(metrics))
    assert saliency(metrics) is None


def test_the_audit_is_shown_when_it_is_of_this_network(metrics):
    section = audit({**metrics, "run": {"audit": AUDIT}})
    assert "80 % survives." in words(section)
    assert MEANS in words(section)
    assert "some were left out" in words(section)
    found = tables(section)
    assert [row[0].text for row in found["What survives when parts are hidden"].rows] == ["only the lungs", "chance"]
    assert found["Sources left out of training"].rows[0][2].text == "too few"
    other = {**AUDIT, "model": {"sha256": "00"}}
    assert "covid-xray audit" in words(audit({**metrics, "run": {"audit": other}}))


def test_the_sanity_of_heat_maps_begins_with_what_they_are_not(metrics):
    section = saliency({**metrics, "run": {"audit": AUDIT}})
    assert section.blocks[0].text.startswith("A heat map is not a localisation")
    assert len(tables(section)["Likeness to the maps of the trained network"].rows) == 2
