"""Copies of an input are mirrored and shifted by a little; their probabilities are averaged, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from covid_xray.bundle.bundle import load_bundle, record
from covid_xray.errors import UsageError
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.networks.network import calibrate
from covid_xray.inference.networks.tta import COPIES, check_copies, copies_of
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.selftest import check, references
from support.bundles import SIZE, grey, make_bundle, network


def ramp(size: int = 100) -> np.ndarray:
    return np.arange(size * size, dtype=np.float32).reshape(1, size, size, 1)


def test_copies_are_mirrored_and_shifted_by_two_percent() -> None:
    x = ramp()
    plain, mirrored, right, right_mirrored, left, *_ = copies_of(x, count=10)
    np.testing.assert_array_equal(plain, x)
    np.testing.assert_array_equal(mirrored, x[:, :, ::-1])
    np.testing.assert_array_equal(right[:, :, 2:], x[:, :, :-2])
    np.testing.assert_array_equal(right[:, :, :2], np.repeat(x[:, :, :1], 2, axis=2))
    np.testing.assert_array_equal(right_mirrored[:, :, 2:], x[:, :, ::-1][:, :, :-2])
    np.testing.assert_array_equal(left[:, :, :-2], x[:, :, 2:])
    assert len({copy.tobytes() for copy in copies_of(x, count=10)}) == 10


@pytest.mark.parametrize("count", [0, -1, len(COPIES) + 1])
def test_other_numbers_are_refused(count: int) -> None:
    with pytest.raises(UsageError, match="from 1 .none. to 10"):
        check_copies(count)


@pytest.mark.parametrize("count", [3, 5])
def test_the_probabilities_are_the_mean_over_the_copies(tmp_path: Path, count: int) -> None:
    folder = make_bundle(tmp_path / "bundle", model=network(sharpness=0.3), temperature=2.0)
    pixels = np.tile(np.linspace(0, 255, SIZE).astype(np.uint8), (SIZE, 1))[None]
    plain, many = (Predictor(folder, threads=1, tta=n) for n in (1, count))
    copies = [copy[..., 0].astype(np.uint8) for copy in copies_of(pixels[..., None].astype(np.float32), count=count)]
    each = np.mean([plain.run_uncalibrated(copy)["probabilities"] for copy in copies], axis=0)
    found = many.run(pixels, class_maps=True)
    np.testing.assert_allclose(found["probabilities"], calibrate(each, temperature=2.0), atol=1e-6)
    assert np.abs(found["probabilities"] - plain.run(pixels)["probabilities"]).max() > 1e-4
    for name in ("embedding", "class_maps"):  # those of the input itself
        np.testing.assert_array_equal(found[name], plain.run(pixels, class_maps=True)[name])
    assert many.run(pixels)["probabilities"].tobytes() == found["probabilities"].tobytes()


def test_what_the_bundle_was_not_calibrated_for_is_said(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "bundle")
    assert (Predictor(folder, threads=1).caution, Predictor(folder, threads=1).identity.version) == ("", "1")
    many = Predictor(folder, threads=1, tta=4)
    assert "fitted with --tta 1 and are used with --tta 4" in many.caution
    assert many.predict(Radiograph(grey("covid"))).model.version == "1, tta 4"
    record(folder, tta=4)
    own = Predictor(folder, threads=1)
    assert (own.tta, own.caution, own.identity.version) == (4, "", "1")
    assert "fitted with --tta 4 and are used with --tta 1" in Predictor(folder, threads=1, tta=1).caution


def test_the_setting_of_a_bundle_is_part_of_what_its_answers_depend_on(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "bundle")
    before = load_bundle(folder).answers_sha256
    record(folder, tta=4)
    assert load_bundle(folder).answers_sha256 != before


def test_the_self_test_compares_the_bare_network(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "bundle", model=network(sharpness=0.3))
    record(folder, reference=references(Predictor(folder, threads=1)))
    record(folder, tta=4)
    assert not check(Predictor(folder, threads=1)).problems
