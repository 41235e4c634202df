"""Pictures of lungs for people to look at: tinted where the mask is, framed where the crop is, red where it is none."""

from pathlib import Path

import numpy as np
from PIL import Image

from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.lung_pictures import ACROSS, BAD, DOWN, GOOD, TILE, Drawn, draw, write_drawn, write_sheets
from covid_xray.inference.lungs import box_pixels
from covid_xray.inference.view import open_lungs
from support.chests import chest, lung_facts, lung_network

FINDER = open_lungs(LungNetwork(lung_network(), lung_facts()))


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_lungs_are_tinted_and_the_crop_is_framed() -> None:
    radiograph = Radiograph(chest(height=120, width=160))
    lungs = FINDER.find(radiograph)
    drawn = draw(radiograph, lungs, longest=160)
    assert drawn.picture.shape == (120, 160, 3)
    red, _, blue = np.moveaxis(drawn.picture.astype(int), -1, 0)
    tinted = blue - red > 20
    mask = lungs.at_size(120, 160)
    assert (tinted & mask).sum() > 0.9 * mask.sum()
    rows, columns = box_pixels(lungs.box, 120, 160)
    assert tuple(drawn.picture[rows.start, columns.start]) == GOOD
    assert tuple(drawn.picture[rows.stop - 1, columns.stop - 1]) == GOOD


def test_what_is_not_plausible_has_a_red_frame_around_all() -> None:
    white = Radiograph(np.full((300, 200), 255, np.uint8))
    drawn = draw(white, FINDER.find(white), longest=150)
    assert drawn.picture.shape == (150, 100, 3)
    assert not drawn.plausible
    assert all(tuple(drawn.picture[at]) == BAD for at in ((0, 0), (0, -1), (-1, 0), (-1, -1)))


def test_pictures_are_pngs(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    write_drawn(Drawn(picture, plausible=True), tmp_path / "a.png")
    assert np.array_equal(opened(tmp_path / "a.png"), picture)


def test_sheets_hold_48_each(tmp_path: Path) -> None:
    tile = Drawn(np.full((TILE, TILE, 3), 90, np.uint8), plausible=True)
    names = [f"{'long ' * 12}{number}" for number in range(ACROSS * DOWN + 1)]
    paths = write_sheets(((name, tile) for name in names), tmp_path)
    assert [path.name for path in paths] == ["sheet-01.png", "sheet-02.png"]
    whole, rest = map(opened, paths)
    assert whole.shape == (DOWN * (TILE + 14), ACROSS * TILE, 3)
    assert rest.shape == (TILE + 14, ACROSS * TILE, 3)
    assert (rest[20:, TILE:] == (12, 12, 14)).all(), "one tile, the rest is background"
    assert write_sheets([], tmp_path / "none") == []
