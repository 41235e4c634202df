"""Heat maps of a network that is known to look at one place."""

import numpy as np
import pytest

from covid_xray.bundle.bundle import load_bundle
from covid_xray.errors import InputRefused
from covid_xray.evaluation.audit.class_maps import (
    GRID,
    gradcam,
    gradcam_plus_plus,
    occlusion,
    random_maps,
    split_network,
)
from covid_xray.inference.predictor import Predictor
from support.watching import CORNER, LUNGS, chest, make_bundle, network

PICTURES = np.stack([chest("covid", seed)[0] for seed in range(3)])


@pytest.fixture(scope="module", params=[CORNER, LUNGS], ids=["corner", "lungs"])
def watched(request, tmp_path_factory):
    folder = make_bundle(tmp_path_factory.mktemp("maps") / "bundle", request.param)
    return request.param, Predictor(folder), load_bundle(folder).model


def test_grad_cam_is_the_bundles_own_class_map(watched):
    _, predictor, model = watched
    parts, features = split_network(predictor, model, PICTURES)
    codes = np.zeros(3, dtype=np.int64)
    maps = parts.maps(features, codes)
    own = predictor.run(PICTURES, class_maps=True)["class_maps"][:, 0]
    # The bundle of the tests leaves out the factor 1 / (h w) of the mean gradient.
    assert np.allclose(maps * maps.shape[1] * maps.shape[2], own, rtol=1e-4, atol=1e-4 * own.max())
    assert not parts.channels_last


def test_maps_lie_where_the_network_looks(watched):
    region, predictor, model = watched
    parts, features = split_network(predictor, model, PICTURES)
    codes = np.zeros(3, dtype=np.int64)
    for heat in (*parts.maps(features, codes), *parts.maps(features, codes, plus_plus=True)):
        assert heat[region > 0].sum() > 0.999 * heat.sum() > 0


def test_occlusion_finds_the_place_as_well(watched):
    region, predictor, _ = watched
    mean = np.full(PICTURES.shape[1:], 20, np.uint8)  # a patch that is as dark as a normal corner or lung
    heat = occlusion(predictor, PICTURES[0], 0, mean)
    assert heat.shape == (GRID, GRID)
    top = np.unravel_index(heat.argmax(), heat.shape)
    if region is CORNER:
        assert top == (0, 0)
        assert heat[0, 0] > 0.5
        assert (heat[4:, 4:] < 1e-6).all()
    else:
        assert (heat[0] < 1e-6).all()
        assert 2 <= top[0] <= 5


def test_grad_cam_plus_plus_is_the_formula_of_the_paper():
    random = np.random.default_rng(0)
    features, gradient = random.random((2, 3, 4, 5)), random.normal(size=(2, 3, 4, 5))
    expected = np.zeros((2, 4, 5))
    for n in range(2):
        for k in range(3):
            total = features[n, k].sum()
            weight = 0.0
            for i in range(4):
                for j in range(5):
                    g = gradient[n, k, i, j]
                    weight += g**2 / (2 * g**2 + total * g**3) * max(g, 0)
            expected[n] += weight * features[n, k]
    assert np.allclose(gradcam_plus_plus(features, gradient), np.maximum(expected, 0))


def test_grad_cam_weighs_maps_by_their_mean_gradient():
    features = np.stack([np.eye(3), 1 - np.eye(3)])[None]
    gradient = np.stack([np.full((3, 3), 2.0), np.full((3, 3), -1.0)])[None]
    assert np.array_equal(gradcam(features, gradient)[0], 2 * np.eye(3))


def test_random_maps_are_the_same_each_time():
    assert np.array_equal(random_maps(4, seed=1), random_maps(4, seed=1))
    assert random_maps(4, seed=1).std() > 0.2


def test_another_networks_map_is_noticed(tmp_path):
    predictor = Predictor(make_bundle(tmp_path / "bundle", CORNER))
    with pytest.raises(InputRefused, match="cannot be reproduced"):
        split_network(predictor, network(LUNGS), PICTURES)
