"""A lung network trained small: it learns, repeats itself, and refuses what it cannot be trained on."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.masked import draw_masked


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_masked(tmp_path_factory.mktemp("phantoms"))


@pytest.fixture(scope="module")
def trained(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `train-lungs` by the function behind the command."""
    pytest.importorskip("tensorflow")
    from covid_xray.config import LungTraining
    from covid_xray.data.manifest.manifest import read_manifest
    from covid_xray.data.split.held_out import held_out
    from covid_xray.training.train_lungs import train_lungs

    manifest = read_manifest(phantoms / "data.csv")
    manifest = manifest.take((manifest.table["patient_id"] != "p99").to_numpy())
    masks = {image: phantoms / "masks" / Path(image).name for image in manifest.table["image"]}
    settings = LungTraining(image_size=64, epochs=12, batch_size=8, learning_rate=5e-3)
    out = tmp_path_factory.mktemp("lungs") / "run"
    train_lungs(manifest, masks, held_out(manifest, share=0.3), settings=settings, out=out)
    return out


def test_it_learns_lungs_and_says_how_well(trained: Path) -> None:
    facts = json.loads((trained / "lungs.json").read_text())
    assert facts["images"] == {"train": 14, "test": 6}
    assert facts["test"]["dice_mean"] > 0.8
    assert facts["test"]["dice_least"] <= facts["test"]["dice_mean"] <= 1
    assert len(facts["test"]["images"]) == 6
    rows = list(csv.DictReader((trained / "history.csv").read_text().splitlines()))
    assert [int(row["epoch"]) for row in rows] == [*range(1, 13)]
    assert float(rows[-1]["loss"]) < 0.7 * float(rows[0]["loss"])
    assert (trained / "lungs.onnx").stat().st_size == facts["bytes"] < 1_500_000


def test_the_same_seed_gives_the_same_batches_and_geometry_moves_both(phantoms: Path) -> None:
    pytest.importorskip("tensorflow")
    from covid_xray.config import LungTraining
    from covid_xray.training.train_lungs import _augment, read_mask

    settings = LungTraining(image_size=64)
    mask = read_mask(phantoms / "masks" / "00.png").astype(np.uint8) * 255
    flat = settings.model_copy(update={"appearance": settings.appearance.model_copy(update={"probability": 0.0})})
    for seed in range(5):
        x, y = _augment(mask, mask, flat, np.random.default_rng(seed))
        assert np.array_equal(x, y), "a picture that is its own mask stays it"
        again, _ = _augment(mask, mask, flat, np.random.default_rng(seed))
        assert np.array_equal(x, again)


def test_a_run_is_not_overwritten_and_masks_have_to_fit(trained: Path, phantoms: Path, tmp_path: Path) -> None:
    from covid_xray.config import LungTraining
    from covid_xray.data.manifest.manifest import read_manifest
    from covid_xray.data.split.held_out import held_out
    from covid_xray.errors import BadManifest, UsageError
    from covid_xray.training.train_lungs import train_lungs

    manifest = read_manifest(phantoms / "data.csv")
    split, settings = held_out(manifest, share=0.3), LungTraining(image_size=64, epochs=1)
    with pytest.raises(UsageError, match="already holds"):
        train_lungs(manifest, {}, split, settings=settings, out=trained)
    with pytest.raises(BadManifest, match="No lung mask for"):
        train_lungs(manifest, {}, split, settings=settings, out=tmp_path / "a")
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(tmp_path / "small.png")
    masks = dict.fromkeys(manifest.table["image"], tmp_path / "small.png")
    with pytest.raises(BadManifest, match=r"\(10, 10\).*\(96, 96\)"):
        train_lungs(manifest, masks, split, settings=settings, out=tmp_path / "b")
    assert not (tmp_path / "b" / "lungs.json").exists()
