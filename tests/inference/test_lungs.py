"""Where the lungs are: mask, verdict and crop, and the network that finds them."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.errors import BadBundle
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.lungs import WHOLE, LungFinder, box_pixels, cropped, dilated, lungs_of
from covid_xray.inference.view import open_lungs
from support.chests import SIDE, chest, lung_facts, lung_network


def pair(height: int = 40, width: int = 40, *, sure: float = 1.0) -> np.ndarray:
    """A network's output: two upright rectangles, probability `sure` inside and 1 - `sure` outside."""
    probability = np.full((height, width), 1 - sure, np.float32)
    probability[10:30, 6:16] = probability[10:30, 24:34] = sure
    return probability


def kept(mask: np.ndarray) -> np.ndarray:
    """The parts of a mask that count as lungs."""
    return lungs_of(mask.astype(np.float32)).mask


def test_two_lungs_are_found_with_their_box() -> None:
    lungs = lungs_of(pair(), margin=0.1)
    assert lungs.plausible
    assert lungs.area == 400 / 1600
    top, left, bottom, right = lungs.box
    assert (top, bottom) == pytest.approx(((10 - 2) / 40, (30 + 2) / 40))
    assert (left, right) == pytest.approx(((6 - 2.8) / 40, (34 + 2.8) / 40))
    assert lungs_of(pair(), margin=5).box == WHOLE, "never beyond the picture"


def test_stray_pixels_move_no_box() -> None:
    noisy = pair()
    noisy[2, 2] = noisy[38, 37] = 1
    assert lungs_of(noisy, margin=0).box == lungs_of(pair(), margin=0).box
    assert not lungs_of(noisy).mask[2, 2]


def boxes(*places: tuple[int, int, int, int]) -> np.ndarray:
    """40 x 40: certain lungs at each (top, bottom, left, right)."""
    probability = np.zeros((40, 40), np.float32)
    for top, bottom, left, right in places:
        probability[top:bottom, left:right] = 1
    return probability


@pytest.mark.parametrize(
    "probability",
    [
        boxes(),
        boxes((0, 40, 0, 40)),
        boxes((10, 12, 10, 12), (20, 22, 30, 32)),
        boxes((5, 35, 6, 15)),
        boxes((18, 23, 3, 20), (18, 23, 21, 38)),
        pair(sure=0.7),
    ],
    ids=["nothing", "everything", "specks", "one tall lung", "lying", "unsure"],
)
def test_what_cannot_be_a_pair_of_lungs_is_not_cropped(probability: np.ndarray) -> None:
    lungs = lungs_of(probability)
    assert not lungs.plausible
    assert lungs.box == WHOLE


def test_the_two_largest_parts_stay_whatever_their_shape() -> None:
    mask = np.zeros((30, 30), bool)
    mask[2:28, 3] = mask[2, 3:12] = mask[27, 3:12] = mask[14:28, 11] = True  # a long bent one
    mask[5:15, 20:25] = True
    mask[0, 28:] = True
    parts = kept(mask)
    assert not parts[0].any()
    assert parts.sum() == mask.sum() - 2
    assert kept(np.zeros((4, 4), bool)).sum() == 0
    small = np.zeros((20, 20), bool)
    small[2:12, 2:12] = small[18, 18] = True
    assert kept(small).sum() == 100, "a second part under a tenth of the first is dirt"


def test_parts_are_those_of_scikit_image() -> None:
    from skimage.measure import label

    for seed in range(20):
        mask = np.random.default_rng(seed).random((24, 31)) < 0.55
        parts = label(mask, connectivity=1)
        sizes = np.bincount(parts.ravel())[1:]
        wanted = sorted(sizes, reverse=True)[:2]
        wanted = sum(size for size in wanted if size > 0.1 * wanted[0])
        assert kept(mask).sum() == wanted


@pytest.mark.parametrize("reach", [1, 2])
def test_dilation_is_that_of_pillow_up_to_the_edge(reach: int) -> None:
    mask = np.random.default_rng(0).random((40, 31)) < 0.1
    picture = Image.fromarray(mask.astype(np.uint8))
    for found, filtered in (
        (dilated(mask, reach), picture.filter(ImageFilter.MaxFilter(2 * reach + 1))),
        (~dilated(~mask, reach), picture.filter(ImageFilter.MinFilter(2 * reach + 1))),
    ):
        np.testing.assert_array_equal(found, np.asarray(filtered) > 0)


def test_the_crop_has_a_pixel_at_least_and_stays_inside() -> None:
    radiograph = Radiograph(np.arange(200, dtype=np.uint8).reshape(10, 20))
    assert np.array_equal(cropped(radiograph, (0.2, 0.1, 0.5, 0.6)).pixels, radiograph.pixels[2:5, 2:12])
    assert np.array_equal(cropped(radiograph, WHOLE).pixels, radiograph.pixels)
    assert cropped(radiograph, (1.0, 1.0, 1.0, 1.0)).pixels.shape == (1, 1)
    assert box_pixels((0.0, 0.0, 0.0, 0.0), 1, 1) == (slice(0, 1), slice(0, 1))
    deep = Radiograph(np.full((10, 10), 4000, np.uint16), bits=12)
    assert cropped(deep, (0, 0, 0.5, 0.5)).bits == 12


def test_masks_at_other_sizes_cover_the_same_share() -> None:
    lungs = lungs_of(pair())
    for height, width in ((40, 40), (80, 120), (333, 211)):
        assert lungs.at_size(height, width).mean() == pytest.approx(lungs.area, abs=0.02)
    grid = lungs.share(4, 4)
    assert grid.mean() == pytest.approx(lungs.area, abs=0.01)
    assert grid[0].max() == 0


def test_dark_rectangles_are_found_in_any_size_and_depth() -> None:
    finder = open_lungs(LungNetwork(lung_network(), lung_facts(margin=0.0)))
    for height, width in ((128, 128), (300, 200)):
        found = finder.find(Radiograph(chest(height=height, width=width)))
        assert found.plausible
        assert found.box == pytest.approx((0.2, 0.15, 0.8, 0.85), abs=0.03)
    deep = Radiograph(chest().astype(np.uint16) * 257, bits=16)
    assert finder.find(deep).box == finder.find(Radiograph(chest())).box
    assert not finder.find(Radiograph(np.full((50, 50), 255, np.uint8))).plausible


@pytest.mark.parametrize("model", [b"", b"no network", lung_network(output="liver"), lung_network(size=32)])
def test_other_networks_are_refused(model: bytes) -> None:
    with pytest.raises(BadBundle, match=r"lungs\.onnx"):
        LungFinder(model, size=SIDE)
