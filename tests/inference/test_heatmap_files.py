"""Heat maps on disk: one file for each image and class, over the radiograph itself."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_xray.config import Limits
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.heatmap_files import display, picture_name, write_heatmap
from covid_xray.inference.predictor import Predictor
from support.bundles import make_bundle
from support.drawing import png

LIMITS = Limits()


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(make_bundle(tmp_path_factory.mktemp("bundles") / "bundle"), threads=1)


def scene(height: int = 120, width: int = 200) -> np.ndarray:
    """Dark, with a bright square in the upper right: that is where `covid` is for the small network."""
    pixels = np.full((height, width), 10, np.uint8)
    pixels[: height // 4, -width // 4 :] = 250
    return pixels


def test_the_map_lies_over_what_it_shows(predictor: Predictor, tmp_path: Path) -> None:
    source = png(scene())
    finding = predictor.predict(source, class_maps=True)
    path = write_heatmap(finding, source, tmp_path, shown="covid", limits=LIMITS)
    picture = np.asarray(Image.open(path)).astype(int)
    colour = np.ptp(picture[:120, :200], axis=2)
    rows, columns = np.nonzero(colour > 0.5 * colour.max())
    assert rows.mean() / 120 == pytest.approx(1 / 8, abs=0.06)
    assert columns.mean() / 200 == pytest.approx(7 / 8, abs=0.06)


def test_a_class_without_evidence_is_drawn_in_grey(predictor: Predictor, tmp_path: Path) -> None:
    source = png(scene())
    finding = predictor.predict(source, class_maps=True)
    path = write_heatmap(finding, source, tmp_path, shown="normal", limits=LIMITS)
    picture = np.asarray(Image.open(path)).astype(int)
    np.testing.assert_array_equal(picture[:120, :200], np.repeat(scene()[..., None], 3, axis=2))


def test_the_most_probable_class_by_default(predictor: Predictor, tmp_path: Path) -> None:
    finding = predictor.predict(png(scene()), class_maps=True)
    path = write_heatmap(finding, png(scene()), tmp_path / "deep", shown=None, limits=LIMITS)
    assert path.name.endswith(f"-{finding.label}.png")
    assert list((tmp_path / "deep").iterdir()) == [path]


def test_no_maps_no_picture(predictor: Predictor, tmp_path: Path) -> None:
    source = png(scene())
    with pytest.raises(ValueError, match="class_maps=True"):
        write_heatmap(predictor.predict(source), source, tmp_path, shown=None, limits=LIMITS)
    finding = predictor.predict(source, class_maps=True)
    with pytest.raises(ValueError, match="bacterial"):
        write_heatmap(finding, source, tmp_path, shown="bacterial", limits=LIMITS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["a/x.png", "", "x" * 400 + ".png", "a\nb.png", "[b].png", "\udcff.png", "/", "..", "a.zip/../../up.png"]
)
def test_picture_names_can_be_written_and_differ_by_folder(tmp_path: Path, name: str) -> None:
    file = picture_name(name, "covid")
    assert "/" not in file
    (tmp_path / file).write_text("x")
    assert picture_name("other/" + name, "covid") != file
    assert picture_name(name, "virus") != file


def test_display_keeps_the_aspect_and_shrinks_only() -> None:
    assert display(Radiograph(np.zeros((2000, 1000), np.uint8)), longest=800).shape == (800, 400)
    assert display(Radiograph(np.zeros((20, 10), np.uint8)), longest=800).shape == (20, 10)
    assert display(Radiograph(np.zeros((1, 5000), np.uint8)), longest=100).shape == (1, 100)
    wide = Radiograph(np.full((20, 10), 4095, np.uint16), bits=12)
    assert display(wide).dtype == np.uint8
    assert (display(wide) == 255).all()
