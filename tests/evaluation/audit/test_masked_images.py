"""What the network sees of each image, and where the lungs are in it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covid_xray.data.manifest.manifest import Manifest, read_manifest
from covid_xray.errors import InputRefused
from covid_xray.evaluation.audit.lung_masks import MaskFiles, choose_masks, mask_files
from covid_xray.evaluation.audit.masked_images import describe_masks, read_masked_images, sample_images
from covid_xray.inference.predictor import Predictor
from support.watching import CORNER, SIZE, draw_chests, make_bundle


@pytest.fixture(scope="module")
def chests(tmp_path_factory):
    return draw_chests(tmp_path_factory.mktemp("chests"), each=6)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    return Predictor(make_bundle(tmp_path_factory.mktemp("scenes") / "bundle", CORNER))


def files(manifest, folder):
    return choose_masks(manifest.table["image"].tolist(), folder=folder, wish="files")


def test_pixels_are_the_networks_input_and_masks_lie_on_them(chests, predictor, tmp_path):
    data, masks = chests
    manifest = read_manifest(data)
    # Pictures of another size and shape than the network's input: the mask must go the same way.
    for folder in (data, masks):
        for path in folder.glob("*.png"):
            (tmp_path / folder.name).mkdir(exist_ok=True)
            Image.open(path).resize((150, 90)).save(tmp_path / folder.name / path.name)
    (tmp_path / "scans" / "manifest.csv").write_text((data / "manifest.csv").read_text())
    wide = read_manifest(tmp_path / "scans")
    scenes = read_masked_images(predictor, wide, files(wide, tmp_path / "masks"))
    square = read_masked_images(predictor, manifest, files(manifest, masks))
    assert scenes.pixels.shape == scenes.lungs.shape == (12, SIZE, SIZE)
    assert np.array_equal(scenes.pixels[3], predictor.read(wide.path(wide.table["image"][3])))
    overlap = (scenes.lungs & square.lungs).sum() / (scenes.lungs | square.lungs).sum()
    assert overlap > 0.93


def test_what_cannot_be_used_is_named_with_its_reason(chests, predictor, tmp_path):
    data, masks = chests
    manifest = read_manifest(data)
    found = mask_files(manifest.table["image"].tolist(), masks)
    Image.fromarray(np.zeros((SIZE, SIZE), np.uint8)).save(tmp_path / "empty.png")
    empty, gone, broken = manifest.table["image"][[0, 1, 2]]
    (tmp_path / "page.png").write_text("<!DOCTYPE html>")
    paths = {image: manifest.path(image) for image in manifest.table["image"]} | {broken: tmp_path / "page.png"}
    use = MaskFiles({**found, empty: tmp_path / "empty.png"} | {gone: tmp_path / "nothing.png"})

    class Elsewhere(Manifest):
        def path(self, image: str):
            return paths[image]

    moved = Elsewhere(manifest.table, manifest.root, manifest.quarantine)
    scenes = read_masked_images(predictor, moved, use)
    assert set(scenes.left_out) == {empty, gone, broken}
    assert "too little" in scenes.left_out[empty]
    assert "not known" in scenes.left_out[gone]
    assert len(scenes.table) == len(scenes.pixels) == 9
    assert list(scenes.table["image"]) == [i for i in manifest.table["image"] if i not in scenes.left_out]


def test_masks_are_held_against_files(chests, predictor):
    data, masks = chests
    manifest = read_manifest(data)
    images = manifest.table["image"].tolist()
    box = choose_masks(images, wish="box")
    scenes = read_masked_images(predictor, manifest, box, files=MaskFiles(mask_files(images, masks)))
    said = describe_masks(scenes, box)
    assert said["dice_with_files"]["images"] == 12
    assert 0.3 < said["dice_with_files"]["median"] < 0.8  # a box is no pair of lungs
    assert said["area"] == pytest.approx(0.765, abs=0.03)


def test_what_a_cropping_network_sees_is_decided_on_the_untouched_radiograph(tmp_path):
    from covid_xray.bundle.bundle import write_bundle
    from covid_xray.evaluation.audit.interventions import INTERVENTIONS, prepare_input
    from covid_xray.inference.lungs import WHOLE
    from support.bundles import facts as about
    from support.chests import chest, lung_facts, lung_network
    from support.watching import network

    known = about(size=SIZE)
    known |= {"classes": ["covid", "normal"], "lungs": lung_facts(), "input": {**known["input"], "crop": "lungs"}}
    write_bundle(tmp_path / "bundle", model=network(CORNER), facts=known, lungs=lung_network())
    predictor = Predictor(tmp_path / "bundle")
    Image.fromarray(chest()).save(tmp_path / "a.png")
    manifest = Manifest(pd.DataFrame({"image": ["a.png"], "label": ["covid"]}), tmp_path, pd.DataFrame())
    seen = predictor.view(tmp_path / "a.png")
    assert seen.region != WHOLE
    scenes = read_masked_images(predictor, manifest, choose_masks(["a.png"], network=True))
    assert np.array_equal(scenes.pixels[0], seen.pixels)
    # Dark is lung in this picture: in the crop the mask lies on the dark pixels, and they fill most of it.
    assert scenes.pixels[0][scenes.lungs[0]].max() < 120 < scenes.pixels[0][~scenes.lungs[0]].max()
    assert scenes.lungs.mean() > 0.5
    black = next(way for way in INTERVENTIONS if way.name == "lungs_black")
    assert black.change(prepare_input(scenes.pixels, scenes.lungs))[0].shape == (SIZE, SIZE)
    assert predictor.view(tmp_path / "a.png").region == seen.region


def test_no_lungs_at_all_is_refused(chests, predictor, tmp_path):
    manifest = read_manifest(chests[0])
    with pytest.raises(InputRefused, match="known lungs"):
        read_masked_images(predictor, manifest, MaskFiles({}))


def table(**counts):
    rows = [
        {"image": f"{name}-{i:04}", "label": name.split("_")[0], "source": name.split("_")[1]}
        for name, count in counts.items()
        for i in range(count)
    ]
    return Manifest(pd.DataFrame(rows), Path(), pd.DataFrame())


def test_a_sample_keeps_the_shares_and_is_the_same_each_time():
    manifest = table(covid_north=400, covid_south=100, normal_north=300, normal_east=200)
    chosen = sample_images(manifest, count=100, seed=3)
    counts = chosen.table.groupby(["label", "source"]).size()
    assert len(chosen.table) == 100
    assert np.abs(counts.to_numpy() - [40, 10, 20, 30]).max() <= 1
    assert chosen.table["image"].is_monotonic_increasing == manifest.table["image"].is_monotonic_increasing
    assert sample_images(manifest, count=100, seed=3).table["image"].tolist() == chosen.table["image"].tolist()
    assert sample_images(manifest, count=100, seed=4).table["image"].tolist() != chosen.table["image"].tolist()
    assert sample_images(manifest, count=1000, seed=3) is manifest
