"""The checks of heat maps on networks that are known to look at the lungs, at a corner, or at nothing learnt."""

import json

import numpy as np
import pytest

from covid_xray.bundle.bundle import load_bundle, write_bundle
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.errors import InputRefused
from covid_xray.evaluation.audit import saliency
from covid_xray.evaluation.audit.interventions import prepare_input
from covid_xray.evaluation.audit.lung_masks import choose_masks
from covid_xray.evaluation.audit.masked_images import read_masked_images
from covid_xray.evaluation.audit.network_graph import NetworkGraph
from covid_xray.evaluation.audit.saliency import MapStudy, heatmap_study
from covid_xray.inference.predictor import Predictor
from support.bundles import facts
from support.watching import CLASSES, CORNER, LUNGS, SIZE, draw_chests, make_bundle


@pytest.fixture(scope="module")
def chests(tmp_path_factory):
    return draw_chests(tmp_path_factory.mktemp("chests"), each=6)


def study(chests, folder, region, **options):
    data, masks = chests
    manifest = read_manifest(data)
    bundle = make_bundle(folder, region)
    predictor = Predictor(bundle)
    scenes = read_masked_images(predictor, manifest, choose_masks(manifest.table["image"].tolist(), folder=masks))
    mean = prepare_input(scenes.pixels, scenes.lungs).mean
    return heatmap_study(predictor, load_bundle(bundle).model, MapStudy(scenes, mean, None, rounds=50), **options)


def rows(found):
    return {row["name"]: row for row in found["methods"]}


def test_random_weights_change_the_map(chests, tmp_path):
    found = study(chests, tmp_path / "bundle", LUNGS)
    steps = found["cascade"]["steps"]
    assert [step["layer"] for step in steps] == ["head", "conv"]
    assert steps[-1]["spearman"]["value"] < 0.5
    assert steps[-1]["ssim"]["value"] < 0.9
    assert found["cascade"]["changes"]
    assert "as it should" in found["cascade"]["line"]


def test_weights_that_stay_leave_the_map_alone_and_that_is_said(chests, tmp_path, monkeypatch):
    monkeypatch.setattr(NetworkGraph, "randomised", lambda self, layers, *, seed: dict(self.weights))
    found = study(chests, tmp_path / "bundle", LUNGS)
    for step in found["cascade"]["steps"]:
        assert step["spearman"]["value"] == pytest.approx(1)
        assert step["ssim"]["value"] == pytest.approx(1)
    assert not found["cascade"]["changes"]
    assert "HARDLY CHANGES" in found["cascade"]["line"]


def test_mass_in_the_lungs_tells_the_two_networks_apart(chests, tmp_path):
    lungs = rows(study(chests, tmp_path / "lungs", LUNGS))
    corner = rows(study(chests, tmp_path / "corner", CORNER))
    for name in ("gradcam", "gradcam_plus_plus"):
        assert lungs[name]["lung_share"]["value"] > 0.95
        assert lungs[name]["lung_ratio"]["value"] > 2
        assert corner[name]["lung_share"]["value"] < 0.05
    assert 0.7 < lungs["random"]["lung_ratio"]["value"] < 1.3


def test_the_right_map_beats_a_random_one(chests, tmp_path):
    found = study(chests, tmp_path / "bundle", CORNER)
    assert found["images"] == 12
    assert rows(found)["gradcam"]["deletion_gain"]["value"] != 0
    covid = rows(found)["gradcam"]
    assert covid["insertion"]["value"] >= rows(found)["random"]["insertion"]["value"]
    assert rows(found)["random"]["insertion_gain"]["value"] == 0
    assert "Grad-CAM:" in found["faithful"]
    json.dumps(found, allow_nan=False)


def test_other_seeds_agree_as_far_as_they_look_at_the_same(chests, tmp_path):
    same = load_bundle(make_bundle(tmp_path / "same", LUNGS, seed=1))
    other = load_bundle(make_bundle(tmp_path / "other", CORNER))
    alike = study(chests, tmp_path / "a", LUNGS, others=[same])["seeds"]
    apart = study(chests, tmp_path / "b", LUNGS, others=[other])["seeds"]
    assert alike["networks"] == 2
    assert alike["spearman"]["value"] == pytest.approx(1, abs=1e-3)
    assert apart["spearman"]["value"] < 0.3


def test_a_network_of_other_classes_is_refused(chests, tmp_path):
    write_bundle(tmp_path / "cats", model=load_bundle(make_bundle(tmp_path / "x", CORNER)).model,
                 facts={**facts(size=SIZE), "classes": ["cat", "dog"]})  # fmt: skip
    with pytest.raises(InputRefused, match="cat, dog"):
        study(chests, tmp_path / "bundle", LUNGS, others=[load_bundle(tmp_path / "cats")])


def test_progress_reaches_its_end(chests, tmp_path):
    seen = []
    study(chests, tmp_path / "bundle", CORNER, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == len(seen) == 2 + len(saliency.SHOWN)
    assert CLASSES == ("covid", "normal")
    assert np.isfinite([done for done, _ in seen]).all()
