"""The content of metrics.json: complete, free of NaN, and with its warnings."""

import dataclasses
import json
from dataclasses import asdict

import pytest

from covid_xray.evaluation.measure import measure, shown
from covid_xray.evaluation.metrics.conformal import fit_conformal
from covid_xray.evaluation.predictions import predict_manifest
from support.brightness import CLASSES, Brightness, Described, manifest


def measured(root, rows, *, predictor=None, **options):
    study = manifest(root, rows, **options)
    return measure(predict_manifest(predictor or Brightness(), study), study, Described(), rounds=30, seed=0)


def rows(count: int, **columns):
    return [
        {"image": f"{i:03d}.png", "label": CLASSES[i % 3], **{k: f(i) for k, f in columns.items()}}
        for i in range(count)
    ]


def test_confounded_sources_are_said(tmp_path):
    found = measured(tmp_path, rows(30, source=lambda i: f"hospital {i % 3}"))
    assert found["confounding"]["cramers_v"] == pytest.approx(1)
    assert "confounded" in found["confounded"]


def test_balanced_sources_are_not_called_confounded(tmp_path):
    found = measured(tmp_path, rows(60, source=lambda i: f"hospital {i // 30}"))
    assert found["confounding"]["cramers_v"] == pytest.approx(0)
    assert found["confounded"] == ""
    assert found["worst_source"]["mean"] == 1.0


def test_a_perfect_score_is_a_warning(tmp_path):
    found = measured(tmp_path, rows(30, patient_id=lambda i: f"p{i}"))
    assert any("AUROC of 1.000 is a warning" in text for text in found["warnings"])
    assert found["figures"]["accuracy"]["value"] == 1.0
    assert found["figures"]["accuracy"]["ci_low"] < 0.9


def test_patients_are_counted_and_their_lack_is_said(tmp_path):
    found = measured(tmp_path / "a", rows(12, patient_id=lambda i: f"p{i // 2}" if i < 8 else ""))
    assert found["n_patients"] == 4 + 4
    assert any("4 of 12 images name no patient" in text for text in found["warnings"])
    none = measured(tmp_path / "b", rows(12))
    assert none["n_patients"] is None
    assert any("No image names its patient" in text for text in none["warnings"])
    assert none["figures"]["accuracy"]["unit"] == "images"


def test_training_images_and_absent_and_small_classes_are_said(tmp_path):
    some = [row for row in rows(30, split=lambda i: "train" if i < 6 else "test") if row["label"] != "virus"]
    warnings = " ".join(measured(tmp_path, some)["warnings"])
    assert "4 images marked as training images" in warnings
    assert "No image of virus" in warnings
    assert "covid (10)" in warnings


def test_one_class_gives_no_nan_and_valid_json(tmp_path):
    found = measured(tmp_path, [{"image": f"{i}.png", "label": "covid"} for i in range(5)])
    text = json.dumps(found, allow_nan=False)
    assert "auroc_macro" not in found["figures"]
    assert json.loads(text)["confusion_matrix"]["counts"] == [[5, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_every_found_file_is_accounted_for(tmp_path):
    refused = [["broken.png", "truncated", "expected a whole file"]]
    study = manifest(tmp_path, rows(9), quarantine=refused)
    study.path("004.png").write_bytes(b"no image")
    found = measure(predict_manifest(Brightness(), study), study, Described(), rounds=10, seed=0)
    assert found["n_images"] + len(found["failures"]) + len(found["quarantined"]) == study.found == 10
    assert found["quarantined"] == [{"image": "broken.png", "code": "truncated", "reason": "expected a whole file"}]
    assert any("1 image got no score" in text for text in found["warnings"])


def test_answers_withheld_are_counted_and_said(tmp_path):
    class Unsure(Brightness):
        def predict_many(self, sources, *, class_maps=False):
            for number, answer in enumerate(super().predict_many(sources)):
                yield dataclasses.replace(answer, reasons=("not a chest",)) if number < 2 else answer

    found = measured(tmp_path, rows(9), predictor=Unsure())
    assert (found["cannot_say"], found["n_images"]) == (2, 9)
    assert any('2 images would be answered "cannot say"' in text for text in found["warnings"])


def test_shown_makes_any_file_name_writable():
    name = b"a\xff.png".decode("utf-8", errors="surrogateescape")
    assert shown(name).encode("utf-8")
    assert shown("a.png") == "a.png"


def test_calibration_is_told_before_and_after_the_temperature(tmp_path):
    rows = [{"image": f"{i}.png", "label": CLASSES[i % 3]} for i in range(30)]
    data = manifest(tmp_path, rows)
    predictions = predict_manifest(Brightness(), data)
    plain = measure(predictions, data, Described(), rounds=10, seed=0)["calibration"]
    assert (plain["temperature"], plain["before"]) == (1.0, plain["after"])
    scaled = measure(predictions, data, Described(facts={"temperature": 2.0}), rounds=10, seed=0)["calibration"]
    assert scaled["after"] == plain["after"]
    assert scaled["before"]["nll"] < plain["before"]["nll"]  # every answer is right: the surer, the better


def test_the_coverage_of_the_sets_is_told_where_the_bundle_has_them(tmp_path):
    data = manifest(tmp_path, [{**row, "source": "site"} for row in rows(30)])
    predictions = predict_manifest(Brightness(), data)
    assert measure(predictions, data, Described(), rounds=10, seed=0)["conformal"] is None
    stored = asdict(fit_conformal(predictions, part="val"))
    found = measure(predictions, data, Described(facts={"conformal": stored}), rounds=10, seed=0)["conformal"]
    assert (found["method"], found["coverage"], found["images"], found["part"]) == ("lac", 0.9, 30, "val")
    row = next(row for row in found["rows"] if (row["method"], row["coverage"]) == ("lac", 0.9))
    assert row["overall"]["covered"] >= 0.9  # on the images that it was made from
    assert row["by_source"]["site"] == row["overall"]
