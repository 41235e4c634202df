"""`covid-xray calibrate` as a user runs it, on a small real bundle that is far too sure of itself."""

import hashlib
import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from covid_xray.bundle.bundle import load_bundle, networks, read_facts, record, write_bundle
from covid_xray.bundle.trained import Trained
from covid_xray.cli import app
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.errors import InputRefused, UsageError
from covid_xray.evaluation.trained_images import list_split
from covid_xray.inference.finding import CANNOT_SAY
from covid_xray.inference.predictor import Predictor
from support.bundles import CLASSES, grey, make_bundle, network
from support.drawing import png

EACH = 20


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose val part has one image in ten in the wrong folder."""
    rows = []
    for number, label in enumerate(CLASSES * EACH):
        shown = CLASSES[(CLASSES.index(label) + 1) % 3] if number % 10 == 0 else label
        path = tmp_path / "data" / label / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(grey(shown, seed=number)))
        part = "val" if number < 45 else "test"
        rows.append({"image": f"{label}/{path.name}", "label": label, "split": part})
    make_bundle(tmp_path / "run" / "bundle", model=network(sharpness=1.5))
    pd.DataFrame(rows).to_csv(tmp_path / "run" / "split.csv", index=False)
    return tmp_path / "run"


def call(run: Path, *words: str):
    return CliRunner().invoke(app, ["calibrate", str(run), "--data", str(run.parent / "data"), *words])


def test_the_temperature_is_stored_applied_and_the_network_untouched(run):
    before = hashlib.sha256((run / "bundle" / "model.onnx").read_bytes()).hexdigest()
    pixels = grey("normal", height=24, width=24)[None]
    sure = Predictor(run / "bundle").run(pixels)["probabilities"].max()
    result = call(run)
    assert result.exit_code == 0, result.output
    bundle = load_bundle(run / "bundle")
    facts = bundle.facts["calibration"]
    assert bundle.temperature == facts["temperature"] > 1.5
    assert (facts["part"], facts["images"], facts["failed"]) == ("val", 45, 0)
    assert facts["after"]["nll"] < facts["before"]["nll"]
    assert f"{facts['after']['nll']:.4f} after" in result.output
    assert Predictor(bundle).run(pixels)["probabilities"].max() < sure
    assert bundle.sha256 == before == hashlib.sha256((run / "bundle" / "model.onnx").read_bytes()).hexdigest()


def test_calibrating_twice_gives_the_same_temperature(run):
    first, second = (json.loads(call(run, "--json").stdout) for _ in range(2))
    assert first == second


def test_test_images_do_not_move_it(run):
    first = json.loads(call(run, "--json").stdout)
    for path in (run.parent / "data" / "covid").glob("*.png"):
        if int(path.stem) >= 45:
            path.write_bytes(png(np.full((40, 30), 30, np.uint8)))
    assert json.loads(call(run, "--json").stdout) == first


@pytest.mark.parametrize("part", ["test", "train", "all"])
def test_no_other_part_is_taken(run, part):
    result = call(run, "--part", part)
    assert result.exit_code == 2
    assert load_bundle(run / "bundle").temperature == 1.0


def test_a_run_without_such_a_part_is_refused(run):
    split = pd.read_csv(run / "split.csv").assign(split="test")
    split.to_csv(run / "split.csv", index=False)
    assert isinstance(call(run).exception, InputRefused)
    (run / "split.csv").unlink()
    assert isinstance(call(run).exception, InputRefused)


def test_sets_are_stored_given_by_the_predictor_and_unsure_images_get_no_label(run):
    result = call(run, "--coverage", "0.95")
    assert result.exit_code == 0, result.output
    facts = load_bundle(run / "bundle").facts["conformal"]
    assert (facts["part"], facts["images"], facts["coverage"]) == ("val", 45, 0.95)
    assert facts["quantiles"]["lac"]["0.95"] >= facts["quantiles"]["lac"]["0.9"]
    predictor = Predictor(run / "bundle")
    findings = [predictor.predict(path) for path in sorted((run.parent / "data").glob("*/*.png"))]
    for finding in findings:
        kept = [name for name, p in finding.probabilities.items() if 1 - p <= facts["quantiles"]["lac"]["0.95"]]
        assert finding.prediction_set == tuple(kept)  # none of these sets is empty
        assert (finding.label == CANNOT_SAY) == (len(kept) > 1) == bool(finding.reasons)
    # One image in ten lies in the wrong folder, so that 95 % can only be kept by sets of more than one class.
    assert any(finding.label == CANNOT_SAY for finding in findings)
    unsure = next(finding for finding in findings if finding.reasons)
    assert unsure.reasons == (f"the probabilities do not tell {' from '.join(unsure.prediction_set)}",)


def test_a_coverage_that_the_part_is_too_small_for_changes_nothing(run):
    before = (run / "bundle" / "bundle.json").read_bytes()
    result = call(run, "--coverage", "0.99")
    assert isinstance(result.exception, InputRefused)
    assert "Give at least 99" in result.exception.message
    assert call(run, "--method", "naive").exit_code == 2
    assert (run / "bundle" / "bundle.json").read_bytes() == before


def test_operating_points_are_stored_with_the_network_they_belong_to_and_answers_tell_them(run):
    result = call(run, "--positive", "covid", "--positive", "normal")
    assert result.exit_code == 0, result.output
    assert "it takes 20 of each" in result.output.replace("\n", " ")  # 15 of 45
    rewrite = pd.read_csv(run / "split.csv").assign(split="calibration")
    rewrite.to_csv(run / "split.csv", index=False)
    result = call(run, "--positive", "covid")
    bundle = load_bundle(run / "bundle")
    stored = bundle.facts["operating_points"]["covid"]
    assert (stored["part"], stored["images"], stored["sha256"]) == ("calibration", 60, bundle.sha256)
    assert stored["temperature"] == bundle.temperature
    assert f"covid, balanced  at {stored['points']['balanced']['threshold']:.4f}: sensitivity" in result.output
    bright, dark = (Predictor(bundle).predict(png(grey(name, seed=500))) for name in ("covid", "normal"))
    assert bright.operating_points["covid"]["balanced"] is True
    assert dark.operating_points["covid"]["balanced"] is False


def test_a_class_that_is_none_is_refused_before_any_image_is_read(run, monkeypatch):
    monkeypatch.setattr(Predictor, "predict_many", lambda *_, **__: pytest.fail("an image was read"))
    assert isinstance(call(run, "--positive", "flu").exception, UsageError)
    assert call(run, "--method", "naive").exit_code == 2


def test_files_of_other_parts_are_not_even_opened(run):
    """Calibrating on a tenth of a data set costs a tenth of reading it."""
    split = pd.read_csv(run / "split.csv")
    first = json.loads(call(run, "--json").stdout)
    for image in split["image"][split["split"] == "test"]:
        (run.parent / "data" / image).write_bytes(b"")
    result = call(run, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == first


def test_patients_and_copies_that_the_split_kept_together_are_drawn_together(run):
    """The groups of split.csv serve the intervals, so that copies found by `duplicates` count once here as well."""
    split = pd.read_csv(run / "split.csv").assign(split="val", patient_id="")
    rows = split.assign(
        label=[name.split("/")[0] for name in split["image"]], patient_id=lambda t: t["image"].str[-7:-5]
    )
    rows[["image", "label", "patient_id"]].to_csv(run.parent / "data" / "manifest.csv", index=False)
    split.assign(group=[f"g{i // 2}" for i in range(len(split))]).to_csv(run / "split.csv", index=False)
    facts = json.loads(call(run, "--json").stdout)["operating_points"]["covid"]
    assert facts["patients"] is not None
    assert facts["patients"] <= 6  # images 000 to 059 of six patients, some of them joined


def test_the_study_tells_what_the_points_achieve_and_what_holds_elsewhere(run, tmp_path):
    pd.read_csv(run / "split.csv").assign(split=["calibration", "test"] * 30).to_csv(run / "split.csv", index=False)
    split = pd.read_csv(run / "split.csv")
    split.loc[split["image"].str.startswith("covid"), "split"] = ["calibration"] * 10 + ["test"] * 10
    split.to_csv(run / "split.csv", index=False)
    evaluate = [
        "evaluate",
        str(run),
        "--data",
        str(run.parent / "data"),
        "--rounds",
        "20",
        "-o",
        str(tmp_path / "study"),
    ]
    wrong = CliRunner().invoke(app, [*evaluate, "--prevalence", "flu=0.1"])
    assert isinstance(wrong.exception, UsageError)
    assert not (tmp_path / "study").exists()  # told before the long part
    assert call(run).exit_code == 0
    result = CliRunner().invoke(app, [*evaluate, "--prevalence", "covid=0.05"])
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "study" / "metrics.json").read_text())
    assert metrics["prevalence"]["stated"]["covid"] == 0.05
    assert metrics["operating_points"]["covid"]["chosen_on"]["part"] == "calibration"
    assert metrics["decision_curve"]["covid"]["stated"]["prevalence"] == 0.05
    assert (tmp_path / "study" / "figures" / "decision_curve_stated.png").stat().st_size > 1000


def test_where_figures_are_stored_the_command_that_renews_them_is_printed_whole(run):
    record(run / "bundle", metrics={"part": "test"})
    images = run.parent / "data"
    table = run.parent / "its table.csv"
    pd.read_csv(run / "split.csv")[["image", "label"]].to_csv(table, index=False)
    result = CliRunner().invoke(
        app, ["calibrate", str(run), "--data", str(table), "--images", str(images), "--gate-rate", "0"]
    )
    assert result.exit_code == 0, result.output
    command = shlex.split(result.stderr.splitlines()[-1].removeprefix("next: covid-xray "))
    assert command == ["evaluate", str(run), "--data", str(table), "--images", str(images), "--part", "test"]


def test_copies_of_training_images_do_not_calibrate(run):
    manifest = read_manifest(run.parent / "data")
    names = manifest.table["image"]
    parts = np.where(names.str.contains("/00[0-8]"), "train", "val")
    listed = Trained((list_split(manifest, pd.Series(parts, index=names)),))
    facts = {**read_facts(run / "bundle"), "trained": listed.about}
    write_bundle(run / "bundle", **{**networks(run / "bundle"), "trained": listed.to_bytes()}, facts=facts)
    result = call(run, "--gate-rate", "0")
    assert "9 of 45 images are copies of training images, left out" in result.stderr
    assert load_bundle(run / "bundle").facts["calibration"]["images"] == 36
    result = call(run, "--gate-rate", "0", "--with-trained")
    assert "too sure" in result.stderr
    assert load_bundle(run / "bundle").facts["calibration"]["images"] == 45
