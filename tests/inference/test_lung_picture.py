"""The picture of lungs alone: convex, black outside, one histogram for every window and gamma."""

import cv2
import numpy as np
import pytest

from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference import lung_picture
from covid_xray.inference.lung_picture import (
    BLACK,
    GRID,
    convex_hull,
    cut,
    equalise,
    filled,
    hulls_of,
    outlined,
    region_of,
)
from covid_xray.inference.lungs import lungs_of, pair_of
from covid_xray.inference.view import Viewer
from support.chests import chest, lung_facts, lung_network

NETWORK = LungNetwork(lung_network(), lung_facts())


def viewer() -> Viewer:
    return Viewer(height=96, width=80, lungs=NETWORK, crop="lungs-only")


def two_lungs(*, bite: bool = False) -> np.ndarray:
    """A 96 x 96 mask of two ellipses; with `bite`, half of the right one is missing inside."""
    mask = np.zeros((96, 96), np.uint8)
    for x in (28, 68):
        cv2.ellipse(mask, (x, 48), (14, 34), 0, 0, 360, 1, -1)
    if bite:
        mask[40:60, 60:72] = 0
    return mask > 0


@pytest.mark.parametrize("seed", range(20))
def test_the_hull_is_the_one_that_opencv_finds(seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = cv2.GaussianBlur(random.normal(0, 1, (40, 50)).astype(np.float32), (0, 0), 4) > 0.05
    corners = np.argwhere(mask)[:, ::-1]
    corners = np.concatenate([corners + step for step in ((0, 0), (1, 1), (0, 1), (1, 0))]).astype(np.float32)
    expected = cv2.contourArea(cv2.convexHull(corners))
    assert cv2.contourArea(convex_hull(mask).astype(np.float32)) == pytest.approx(expected)


def test_a_white_lung_that_the_mask_leaves_out_is_in_the_picture() -> None:
    whole, bitten = (hulls_of(lungs_of(two_lungs(bite=bite).astype(np.float32))) for bite in (False, True))
    assert (whole & ~bitten).sum() < 0.01 * whole.sum()


def test_outside_is_black_and_inside_is_not() -> None:
    seen = viewer().view(Radiograph(chest(lung=0)))
    assert seen.raw is not None
    assert set(np.unique(seen.raw > BLACK)) == {False, True}
    assert seen.pixels.shape == (96, 80)
    assert seen.region != (0.0, 0.0, 1.0, 1.0)
    assert (seen.pixels[seen.raw <= BLACK] == 0).all()


@pytest.mark.parametrize("change", [lambda x: x * 0.5 + 20, lambda x: 255 * (x / 255) ** 0.7])
def test_window_and_gamma_leave_no_trace(change) -> None:  # type: ignore[no-untyped-def]
    random = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(random.normal(0, 1, (64, 64)).astype(np.float32), (0, 0), 3)
    picture = np.interp(smooth, (smooth.min(), smooth.max()), (15, 250))
    plain, other = (equalise(np.rint(p).astype(np.uint8)) for p in (picture, change(picture)))
    assert np.abs(plain.astype(int) - other.astype(int)).mean() < 4
    assert np.abs(np.rint(picture).astype(int) - np.rint(change(picture)).astype(int)).mean() > 10


def test_equalising_twice_changes_little_and_black_stays() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (50, 50)).astype(np.uint8)
    once = equalise(picture)
    assert (once[picture <= BLACK] == 0).all()
    assert np.abs(equalise(once).astype(int) - once.astype(int)).max() <= 8
    assert (equalise(np.zeros((5, 5), np.uint8)) == 0).all()


def test_one_broad_lung_is_not_plausible() -> None:
    broad = np.zeros((96, 96), np.float32)
    broad[20:80, 15:85] = 1
    assert len(pair_of(broad > 0)) == 1
    assert not lungs_of(broad).plausible
    touching = two_lungs()
    touching[60:66, 38:58] = True
    assert [side.sum() > 800 for side in pair_of(touching)] == [True, True]
    assert lungs_of(touching.astype(np.float32)).plausible


def test_without_plausible_lungs_the_whole_picture_is_equalised() -> None:
    seen = viewer().view(Radiograph(np.full((100, 100), 200, np.uint8)))
    assert seen.lungs is not None
    assert not seen.lungs.plausible
    assert seen.region == (0.0, 0.0, 1.0, 1.0)


def published_lungs(*, hole: bool) -> np.ndarray:
    """A picture as some collections publish them: black outside the lungs, GRID x GRID."""
    mask = cv2.resize(two_lungs().astype(np.uint8), (GRID, GRID), interpolation=cv2.INTER_NEAREST) > 0
    texture = cv2.GaussianBlur(np.random.default_rng(2).integers(60, 200, mask.shape).astype(np.float32), (0, 0), 4)
    picture = np.where(mask, texture, 0).astype(np.uint8)
    if hole:
        picture[90:120, 150:175] = 0
    return picture


def test_a_picture_that_is_black_outside_the_lungs_is_its_own_mask() -> None:
    found = outlined(published_lungs(hole=True))
    assert found is not None
    assert outlined(chest(height=GRID, width=GRID)) is None
    framed = np.zeros((GRID, GRID), np.uint8)
    framed[60:170, 60:170] = 120
    assert outlined(framed) is None, "a collimated picture is no pair of lungs"


def test_a_hole_in_a_published_mask_leaves_no_black_and_no_flat_edge() -> None:
    picture = published_lungs(hole=True)
    lungs = lungs_of((picture > BLACK).astype(np.float32))
    closed = filled(picture, hulls_of(lungs))
    hole = (slice(92, 118), slice(152, 173))
    assert closed[hole].min() > 60
    assert closed[hole].std() > 0.5
    assert (filled(chest(), np.zeros((128, 128), bool)) == chest()).all()


def test_the_cut_fills_the_frame_and_the_region_says_where_it_was() -> None:
    hulls = hulls_of(lungs_of(two_lungs().astype(np.float32)))
    picture = np.full((GRID, GRID), 100, np.uint8)
    out = cut(picture, hulls, height=64, width=64)
    lit = out > BLACK
    assert lit.any(axis=1).all()
    assert lit[:, 0].any()
    assert lit[:, -1].any()
    top, left, bottom, right = region_of(hulls)
    assert 0 < top < bottom < 1
    assert left < 0.2
    assert right > 0.7
    assert lung_picture.box_of(hulls)[0].start == round(top * GRID)
