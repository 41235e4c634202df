"""`objective=within_source` end to end: it trains, stops, exports two steps, and answers in classes."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow")

from covid_xray.bundle.bundle import load_bundle
from covid_xray.config import Training
from covid_xray.data.manifest.manifest import Manifest, read_manifest
from covid_xray.data.split.split import make_split
from covid_xray.errors import UsageError
from covid_xray.inference.finding import CANNOT_SAY
from covid_xray.inference.predictor import Predictor
from covid_xray.training.train import train
from covid_xray.training.within_source.answering import answers
from support.chests import chest, write_lung_run

SETTINGS = Training(
    model="efficientnet_lite0", image_size=64, objective="within_source", unanswered=("other",), epochs=2,
    samples_per_epoch=32, batch_size=8, learning_rate=1e-3, schedule="cosine", warmup=1, average_decay=0.5,
    precision="float32", calibration_fraction=0.2, val_fraction=0.2, test_fraction=0.0,
)  # fmt: skip
EXACT = {"deterministic": True}  # so that two runs can be compared


def draw_hospitals(root: Path) -> Manifest:
    """Chests of two hospitals of different brightness; the ill have a bright spot in the right lung."""
    rows = ["image,label,source,patient_id"]
    for hospital, body in (("east", 170), ("west", 215)):
        for label in ("normal", "covid", "virus", "other"):
            for number in range(24 if label == "normal" else 16):
                random = np.random.default_rng((body, len(label), number))
                pixels = chest(body=body, lung=int(random.integers(20, 60)))
                if label != "normal":
                    row, column = random.integers(40, 80), random.integers(22, 44)
                    pixels[row : row + 14, column : column + 10] = {"covid": 120, "virus": 140, "other": 160}[label]
                name = f"{hospital}-{label}-{number}.png"
                noisy = np.clip(pixels + random.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)
                Image.fromarray(noisy).save(root / name)
                rows.append(f"{name},{label},{hospital},{name}")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return read_manifest(root / "manifest.csv")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return draw_hospitals(tmp_path_factory.mktemp("hospitals"))


@pytest.fixture(scope="module")
def run(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    settings = SETTINGS.model_copy(update={"crop": "lungs-only", "lungs": write_lung_run(folder / "lungs"), **EXACT})
    split = make_split(manifest, val_fraction=0.2, test_fraction=0.0, calibration_fraction=0.2)
    train(manifest, split, settings=settings, out=folder / "run")
    return folder / "run"


@pytest.mark.slow
def test_the_bundle_answers_in_classes_and_says_how_ill(run: Path, manifest: Manifest) -> None:
    bundle = load_bundle(run / "bundle")
    assert bundle.classes == ("covid", "normal", "virus")
    assert bundle.facts["unanswered"] == ["other"]
    assert bundle.crop == "lungs-only"
    finding = Predictor(run / "bundle").predict(manifest.path("east-covid-0.png"), class_maps=True)
    assert sum(finding.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert finding.ill == pytest.approx(1 - finding.probabilities["normal"], abs=1e-6)
    assert finding.class_maps is not None
    assert finding.class_maps.shape[0] == 3
    history = (run / "history.csv").read_text().splitlines()
    assert "val_worst_auroc" in history[0]
    assert len(history) == 3


@pytest.mark.slow
def test_without_lungs_it_cannot_say(run: Path) -> None:
    flat = np.random.default_rng(0).integers(150, 255, (128, 128)).astype(np.uint8)
    from covid_xray.images.radiograph import Radiograph

    finding = Predictor(run / "bundle").predict(Radiograph(flat))
    assert finding.label == CANNOT_SAY
    assert any("lungs were not found" in reason for reason in finding.reasons)


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_as_an_undisturbed_one(run: Path, manifest: Manifest, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"crop": "lungs-only", "lungs": run / "lungs", **EXACT})
    split = make_split(manifest, val_fraction=0.2, test_fraction=0.0, calibration_fraction=0.2)
    stopped = tmp_path / "stopped"

    def stop(row: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(manifest, split, settings=settings, out=stopped, each_epoch=stop)
    train(manifest, split, settings=settings, out=stopped, resume=True)
    hashes = [json.loads((out / "bundle" / "bundle.json").read_text())["model"]["sha256"] for out in (run, stopped)]
    assert hashes[0] == hashes[1]


def test_the_healthy_label_must_be_there() -> None:
    settings = Training(objective="within_source", well="healthy", model="efficientnet_lite0")
    with pytest.raises(UsageError, match="well=healthy"):
        answers(("covid", "normal"), settings)
    assert answers(("covid", "normal", "other"), SETTINGS) == ("covid", "normal")
