"""A class map over its radiograph: in its place, honest where there is no evidence, readable without colour vision."""

import numpy as np
import pytest

from covid_xray.inference.heatmap import DISCLAIMER, Caption, annotate, normalise, overlay, ramp


def spot(rows: int, columns: int, row: int, column: int) -> np.ndarray:
    values = np.zeros((rows, columns), np.float32)
    values[row, column] = 0.003  # Grad-CAM has no scale of its own
    return values


def brightest(picture: np.ndarray) -> tuple[float, float]:
    """Centre of what was coloured, as shares of height and width."""
    coloured = np.ptp(picture.astype(int), axis=2)
    rows, columns = np.nonzero(coloured > 0.5 * coloured.max())
    return (rows.mean() + 0.5) / picture.shape[0], (columns.mean() + 0.5) / picture.shape[1]


@pytest.mark.parametrize(("height", "width"), [(200, 200), (120, 300), (300, 120), (97, 211)])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 5), (6, 2), (3, 3)])
def test_a_spot_is_shown_where_it_is(height: int, width: int, row: int, column: int) -> None:
    grey = np.full((height, width), 100, np.uint8)
    picture = overlay(grey, spot(7, 7, row, column))
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8
    expected = ((row + 0.5) / 7, (column + 0.5) / 7)
    assert brightest(picture) == pytest.approx(expected, abs=0.03)


def test_maps_that_are_not_square_keep_their_axes() -> None:
    picture = overlay(np.full((80, 160), 100, np.uint8), spot(4, 8, 0, 7))
    row, column = brightest(picture)
    assert row < 0.3
    assert column > 0.8


@pytest.mark.parametrize(
    "values",
    [np.zeros((7, 7)), np.full((7, 7), np.nan), np.full((7, 7), np.inf), np.full((7, 7), -1.0), spot(7, 7, 2, 2) * 0],
    ids=["zero", "nan", "inf", "negative", "empty"],
)
def test_without_evidence_the_radiograph_is_untouched(values: np.ndarray) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (50, 40)).astype(np.uint8)
    values = values.astype(np.float32)
    assert normalise(values, height=50, width=40) is None
    np.testing.assert_array_equal(overlay(grey, values), np.repeat(grey[..., None], 3, axis=2))


def test_one_bad_value_is_no_evidence() -> None:
    values = spot(7, 7, 1, 1)
    values[5, 5] = np.nan
    assert normalise(values, height=20, width=20) is None


@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0, 1e6])
def test_the_scale_of_a_map_does_not_matter(scale: float) -> None:
    grey = np.full((60, 60), 100, np.uint8)
    values = np.random.default_rng(0).random((7, 7)).astype(np.float32)
    expected = overlay(grey, values)
    received = overlay(grey, (values * scale).astype(np.float32))
    assert np.abs(expected.astype(int) - received).max() <= 1


def test_normalised_maps_lie_in_range_and_reach_the_top() -> None:
    values = np.random.default_rng(0).random((5, 9)).astype(np.float32)
    strength = normalise(values, height=100, width=60)
    assert strength is not None
    assert strength.shape == (100, 60)
    assert strength.min() >= 0
    assert 0.9 < strength.max() <= 1


def test_where_the_map_is_zero_nothing_is_tinted() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (90, 90)).astype(np.uint8)
    picture = overlay(grey, spot(9, 9, 0, 0))
    np.testing.assert_array_equal(picture[60:, 60:], np.repeat(grey[60:, 60:, None], 3, axis=2))


def test_the_image_stays_visible_under_the_hottest_part() -> None:
    grey = np.zeros((80, 80), np.uint8)
    grey[::2] = 255
    picture = overlay(grey, np.ones((4, 4), np.float32)).astype(int)
    assert (picture[1::2] < picture[0::2]).all()
    assert (picture[0::2] - picture[1::2]).mean() > 100


def test_the_ramp_grows_in_lightness_evenly() -> None:
    # Perceptually uniform: CIE lightness rises at every step, about as much each time.
    linear = ((ramp() / 255 + 0.055) / 1.055) ** 2.4
    lightness = 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16
    steps = np.diff(lightness[::15])
    assert (steps > 0).all()
    assert steps.max() < 3 * steps.min()


@pytest.mark.parametrize(("height", "width"), [(60, 500), (500, 60), (300, 300), (1, 1)])
@pytest.mark.parametrize("evidence", [True, False])
def test_the_sheet_holds_picture_and_words(height: int, width: int, evidence: bool) -> None:
    picture = np.full((height, width, 3), 77, np.uint8)
    caption = Caption(shown="covid", probability=0.873, model="vgg 1", note="cannot say: not a chest X-ray")
    sheet = np.asarray(annotate(picture, caption, evidence=evidence))
    np.testing.assert_array_equal(sheet[:height, :width], picture)
    assert sheet.shape[0] > height
    assert (sheet[height:] > 150).any()  # words below


def test_the_words() -> None:
    from covid_xray.inference import heatmap

    lines = heatmap._lines(Caption("covid", 0.873, "vgg 1", "cannot say: x"), evidence=True)
    assert lines == ["covid: 87.3%", "cannot say: x", "vgg 1", DISCLAIMER]
    assert "no evidence" in heatmap._lines(Caption("covid", 0.1, "vgg 1"), evidence=False)[0]
    assert DISCLAIMER == "research use, not for diagnosis"


def test_a_colour_bar_only_where_there_is_evidence() -> None:
    picture = np.zeros((300, 300, 3), np.uint8)
    with_bar = np.asarray(annotate(picture, Caption("covid", 0.5, "m"))).astype(int)
    without = np.asarray(annotate(picture, Caption("covid", 0.5, "m"), evidence=False)).astype(int)
    assert np.ptp(with_bar[:300, 300:], axis=2).max() > 100
    assert np.ptp(without[:300, 300:], axis=2).max() < 10
