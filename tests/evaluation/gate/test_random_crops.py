"""Parts of chests are cut at random and told from whole ones, with lungs and without."""

from pathlib import Path

import numpy as np
import pytest

from covid_xray.bundle.bundle import write_bundle
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.evaluation.gate.fit import fit_gate, objections, values_of
from covid_xray.evaluation.gate.random_crops import (
    AREA,
    SIDE,
    crop_features,
    crop_images,
    fit_crop_classifier,
    random_crop,
)
from covid_xray.evaluation.gate.sample import Sample, measure_sample
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.crop_detector import EXTENT, extent, features
from covid_xray.inference.gate import PART, open_gate, reasons, unpacked
from covid_xray.inference.gate_features import LAYOUT, look
from covid_xray.inference.predictor import Predictor
from support import drawing
from support.bundles import facts, network
from support.chests import chest as boxes
from support.chests import lung_facts, lung_network
from support.gate_samples import chest, embedding, sample


def cut(seeds: range) -> Sample:
    random = np.random.default_rng(7)
    films = [random_crop(chest(seed), random) for seed in seeds]
    members = np.array([f"p{seed:04}" for seed in seeds])
    return Sample([look(film) for film in films], np.empty((len(films), 0)), members, members)


def test_pieces_are_parts_of_the_picture_and_small_enough() -> None:
    random = np.random.default_rng(0)
    pixels = np.arange(100 * 80, dtype=np.uint16).reshape(100, 80)
    shapes = []
    for _ in range(300):
        part = random_crop(Radiograph(pixels, bits=14), random)
        top, left = divmod(int(part.pixels[0, 0]), 80)
        rows, columns = part.pixels.shape
        np.testing.assert_array_equal(part.pixels, pixels[top : top + rows, left : left + columns])
        assert rows * columns <= AREA * pixels.size
        assert part.bits == 14
        shapes.append((rows / 100, columns / 80))
    kept = np.array(shapes)
    assert kept.min() >= SIDE[0] - 0.02
    assert 0.1 < (kept == 1).mean() < 0.35  # some keep a whole side, none both
    assert not (kept == 1).all(axis=1).any()


def test_parts_are_told_from_whole_chests_that_the_classifier_never_saw() -> None:
    weights = unpacked(fit_crop_classifier(sample(range(110)), cut(range(110))))
    assert weights.shape == (1, LAYOUT + 1)
    whole, parts = (
        crop_features(one) @ weights[0, :-1] + weights[0, -1] for one in (sample(range(300, 340)), cut(range(300, 340)))
    )
    assert (parts[:, None] > whole).mean() > 0.95  # the AUROC


@pytest.fixture(scope="module")
def gate_facts() -> dict:
    return fit_gate(sample(range(110)), sample(range(300, 330)), cut(range(110)), rate=0.1)


def test_a_gate_with_pieces_keeps_its_rate_and_says_what_it_saw(gate_facts) -> None:
    gate = open_gate(gate_facts)
    new = sample(range(600, 640))
    assert objections(values_of(gate, new), gate_facts["thresholds"]).mean() <= 0.25
    judged = [gate.judge(seen, e) for seen, e in zip(new.looks, new.embeddings, strict=True)]
    found = [not all(verdict["ok"] for verdict in one.values()) for one in judged]
    assert found == list(objections(values_of(gate, new), gate_facts["thresholds"]))
    halves = [
        Radiograph(np.ascontiguousarray(chest(seed).pixels[: len(chest(seed).pixels) // 2])) for seed in range(600, 640)
    ]
    said = [gate.judge(look(film), embedding(chest(600))) for film in halves]  # as if the network saw nothing odd
    assert np.mean([not one[PART]["ok"] or not one["layout"]["ok"] for one in said]) > 0.9
    only = [reasons(one) for one in said if one["layout"]["ok"] and not one[PART]["ok"]]
    assert all("looks like a part of a chest X-ray" in found[0] for found in only)


def test_a_bundle_of_before_has_no_such_check(gate_facts) -> None:
    before = {key: value for key, value in gate_facts.items() if key != PART}
    film = chest(600)
    assert PART not in open_gate(before).judge(look(film), embedding(film))
    assert PART in open_gate(gate_facts).judge(look(film), embedding(film))


def test_with_a_lung_network_the_lungs_are_seen_and_without_them_nothing_is_said(tmp_path: Path) -> None:
    for number in range(24):
        pixels = boxes(body=150 + number, lung=30 + number)
        label = ("covid", "normal", "virus")[number % 3]
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / label / f"{number}.png").write_bytes(drawing.png(pixels))
    about = facts(lungs=lung_facts())
    write_bundle(tmp_path / "bundle", model=network(), facts=about, lungs=lung_network())
    predictor = Predictor(tmp_path / "bundle", threads=1)
    manifest = read_manifest(tmp_path / "data", check=False)
    known, pieces = measure_sample(predictor, manifest), crop_images(predictor, manifest)
    assert known.lungs.shape == pieces.lungs.shape == (24, EXTENT)
    weights = fit_crop_classifier(known, pieces)
    assert weights["shape"] == [1, LAYOUT + EXTENT + 1]
    gate = open_gate({**fit_gate(sample(range(110)), sample(range(300, 330)), cut(range(110))), PART: weights})
    film = random_crop(Radiograph(boxes()), np.random.default_rng(3))
    value = gate.judge(look(film), embedding(film), predictor.view(film).lungs)[PART]["value"]
    row = features(look(film).thumbnail[None], extent(predictor.view(film).lungs)[None])[0]
    stored = unpacked(weights)[0]
    assert value == pytest.approx(row @ stored[:-1] + stored[-1], rel=1e-3)
    assert PART not in gate.judge(look(film), embedding(film))
