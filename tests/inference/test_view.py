"""The one way from a radiograph to the network: the lungs with a margin, or the whole picture when there are none."""

import numpy as np
import pytest

from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.images.pixels import to_input
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.lungs import WHOLE
from covid_xray.inference.view import Viewer
from support.chests import chest, lung_facts, lung_network

NETWORK = LungNetwork(lung_network(), lung_facts())


def test_without_a_lung_network_it_is_the_whole_picture() -> None:
    radiograph = Radiograph(chest())
    seen = Viewer(height=24, width=20).view(radiograph)
    assert (seen.region, seen.lungs) == (WHOLE, None)
    np.testing.assert_array_equal(seen.pixels, to_input(radiograph, height=24, width=20))


@pytest.mark.parametrize("bits", [8, 12])
def test_the_crop_holds_both_lungs_and_little_else(bits: int) -> None:
    pixels = chest(height=200, width=100)
    radiograph = Radiograph(pixels if bits == 8 else pixels.astype(np.uint16) << 4, bits=bits)
    seen = Viewer(height=64, width=64, lungs=NETWORK, crop="lungs").view(radiograph)
    # Lungs from 0.2 to 0.8 down and 0.15 to 0.85 across, and 6 % of their size on each side.
    assert seen.region == pytest.approx((0.164, 0.108, 0.836, 0.892), abs=0.03)
    top, left, bottom, right = seen.region
    rows, columns = slice(round(top * 200), round(bottom * 200)), slice(round(left * 100), round(right * 100))
    cut = Radiograph(np.ascontiguousarray(radiograph.pixels[rows, columns]), bits=bits)
    np.testing.assert_array_equal(seen.pixels, to_input(cut, height=64, width=64))


def test_found_lungs_without_a_crop_leave_the_picture_whole() -> None:
    radiograph = Radiograph(chest())
    seen = Viewer(height=32, width=32, lungs=NETWORK).view(radiograph)
    assert seen.region == WHOLE
    assert seen.lungs is not None
    assert seen.lungs.plausible
    np.testing.assert_array_equal(seen.pixels, to_input(radiograph, height=32, width=32))


def test_implausible_lungs_leave_the_picture_whole() -> None:
    black = Radiograph(np.zeros((50, 60), np.uint8))
    seen = Viewer(height=32, width=32, lungs=NETWORK, crop="lungs").view(black)
    assert seen.region == WHOLE
    assert seen.lungs is not None
    assert not seen.lungs.plausible


def test_the_identity_knows_all_that_the_pixels_depend_on() -> None:
    plain = Viewer(height=32, width=32, lungs=NETWORK).identity
    assert plain == Viewer(height=32, width=32).identity
    crop = Viewer(height=32, width=32, lungs=NETWORK, crop="lungs").identity
    wider = LungNetwork(NETWORK.model, {**NETWORK.facts, "margin": 0.2})
    other = LungNetwork(NETWORK.model, {**NETWORK.facts, "sha256": "0"})
    assert len({str(identity) for identity in (plain, crop)}) == 2
    for network in (wider, other):
        assert Viewer(height=32, width=32, lungs=network, crop="lungs").identity != crop


def test_a_crop_needs_a_network() -> None:
    with pytest.raises(ValueError, match="lung network"):
        Viewer(height=32, width=32, crop="lungs")
