"""One call, one folder: every file is there, agrees with the others, and tells of what went wrong."""

import json
from pathlib import Path

import pytest

from covid_xray.errors import BadManifest, InputRefused
from covid_xray.evaluation.evaluate import evaluate
from covid_xray.evaluation.metrics.metrics import compute
from covid_xray.evaluation.predictions import read_predictions
from support.brightness import CLASSES, Brightness, Described, baselines, manifest

FILES = {
    "metrics.json", "predictions.csv", "classification_report.txt", "model_card.md", "checklist.md", "report.html",
    "report.md",
    "figures/confusion_matrix.png", "figures/roc.png", "figures/precision_recall.png", "figures/reliability.png",
    "figures/by_source.png", "figures/cases.png", "figures/decision_curve.png",
}  # fmt: skip


def study(root: Path):
    rows = [
        {"image": f"{CLASSES[i % 3]}/<i>{i}.png", "label": CLASSES[i % 3], "patient_id": f"p{i // 2}", "source": "site"}
        for i in range(48)
    ]
    for i in range(6):
        rows[i]["grey"] = 60 + 60 * ((i + 1) % 3)  # looks like the next class
    return manifest(root, rows, quarantine=[["lost.png", "truncated", "expected a whole file"]])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate")
    data = study(root / "data")
    broken = data.table["image"].iloc[20]
    data.path(broken).write_bytes(b"GIF89a")
    seen = []
    metrics = run(data, root / "out", progress=lambda done, total: seen.append((done, total)))
    return root / "out", metrics, broken, seen, data


def run(data, out, **options):
    return evaluate(
        Brightness(),
        data,
        out=out,
        baselines=baselines(CLASSES),
        banner="Phantoms prove nothing about patients",
        title="Phantoms",
        rounds=50,
        **options,
    )


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_every_file_is_there_and_no_temporary_one(done):
    assert files(done[0]) == FILES


def test_metrics_json_is_what_was_returned(done):
    out, metrics, *_ = done
    stored = json.loads((out / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert stored == metrics
    assert (stored["n_images"], stored["n_patients"]) == (47, 24)
    assert {"value", "ci_low", "ci_high", "n", "unit"} <= stored["figures"]["macro_f1"].keys()
    assert sum(map(sum, stored["confusion_matrix"]["counts"])) == 47


def test_figures_can_be_computed_again_from_the_file_of_predictions(done):
    out, metrics, *_ = done
    again = read_predictions(out / "predictions.csv")
    assert compute(again.labels, again.probabilities, again.classes) == {
        name: figure["value"] for name, figure in metrics["figures"].items()
    }
    assert metrics["figures"]["accuracy"]["value"] == pytest.approx(41 / 47)


def test_the_failed_image_is_named_everywhere_and_in_no_figure(done):
    out, metrics, broken, *_ = done
    assert [failure["image"] for failure in metrics["failures"]] == [broken]
    assert read_predictions(out / "predictions.csv").failures["image"].tolist() == [broken]
    page = (out / "report.html").read_text()
    assert broken.replace("<", "&lt;").replace(">", "&gt;") in page
    assert broken not in page


def test_the_page_shows_banner_baseline_and_quarantine(done):
    page = (done[0] / "report.html").read_text()
    assert "Phantoms prove nothing about patients" in page
    assert "frame" in page
    assert "+0.4" in page  # macro-F1 .87 against .42
    assert "lost.png" in page
    assert page.count("data:image/jpeg") == 12
    assert "0.420 (frame)" in (done[0] / "model_card.md").read_text()


def test_the_classification_report_is_that_of_scikit_learn(done):
    text = (done[0] / "classification_report.txt").read_text()
    assert text.split()[:4] == ["precision", "recall", "f1-score", "support"]
    assert "47" in text.splitlines()[-1]


def test_progress_reaches_the_end(done):
    assert done[3][-1] == (48, 48)


def test_the_same_evaluation_gives_the_same_bytes(done, tmp_path):
    run(done[4], tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (done[0] / name).read_bytes(), name


def test_when_no_image_can_be_scored_the_reasons_are_written_and_the_error_names_one(tmp_path):
    data = study(tmp_path / "data")
    for image in data.table["image"]:
        data.path(image).write_bytes(b"")
    with pytest.raises(InputRefused, match="48 failures"):
        evaluate(Brightness(), data, out=tmp_path / "out", title="Nothing", rounds=5)
    assert files(tmp_path / "out") == {"predictions.csv"}
    assert len(read_predictions(tmp_path / "out" / "predictions.csv").failures) == 48


def test_a_label_outside_the_bundle_is_refused_before_anything_is_written(tmp_path):
    data = study(tmp_path / "data")
    with pytest.raises(BadManifest, match="normal"):
        evaluate(Brightness(classes=("covid", "virus")), data, out=tmp_path / "out", title="x")
    assert not (tmp_path / "out").exists()


def test_the_page_shows_temperature_and_coverage_where_the_bundle_has_them(done, tmp_path):
    data = done[-1]
    levels = {"0.9": 0.3, "0.95": 0.6}
    conformal = {"method": "lac", "coverage": 0.9, "images": 40, "part": "val"}
    conformal["quantiles"] = {"lac": levels, "aps": levels, "raps": levels}
    predictor = Brightness(bundle=Described(facts={"temperature": 1.5, "conformal": conformal}))
    evaluate(predictor, data, out=tmp_path, title="Phantoms", rounds=20)
    page = (tmp_path / "report.html").read_text()
    assert "Sets of classes" in page
    assert "fitted on 40 images of the val part" in page
    assert "A temperature of 1.500 is in use; on which images it was fitted is not recorded" in page
    assert "without the temperature" in page
    assert "The bundle has none: covid-xray calibrate fits them" in (done[0] / "report.html").read_text()
