"""The pens: areas, blur that keeps mass and place whichever way it is done, noise about zero."""

import numpy as np
import pytest
from PIL import Image

from covid_xray.images.phantoms.strokes import blur, box, cloud, ellipse, polygon, spline, stroke, texture

SIZE = 200


def centre(field: np.ndarray) -> tuple[float, float]:
    rows, columns = np.mgrid[: field.shape[0], : field.shape[1]] + 0.5
    return float((rows * field).sum() / field.sum()), float((columns * field).sum() / field.sum())


def test_a_polygon_covers_its_area() -> None:
    """Within the one pixel of border that Pillow counts in."""
    assert polygon(box(0.25, 0.25, 0.75, 0.5), SIZE).mean() == pytest.approx(0.125, rel=0.05)
    assert polygon(ellipse(0.5, 0.5, 0.3, 0.2, angle=30), SIZE).mean() == pytest.approx(np.pi * 0.06, rel=0.05)


@pytest.mark.parametrize("radius", [1.0, 2.9, 3.1, 10.0])
def test_a_blur_keeps_mass_and_place(radius: float) -> None:
    """Also where it is done on a smaller copy whose side does not divide the picture's."""
    field = polygon(ellipse(0.45, 0.55, 0.2, 0.15), 203) * np.float32(0.3)
    soft = blur(field, radius)
    assert soft.shape == field.shape
    assert soft.sum() == pytest.approx(field.sum(), rel=0.03)
    np.testing.assert_allclose(centre(soft), centre(field), atol=1.0)
    assert np.abs(np.diff(soft, axis=1)).max() < 0.3 / radius


def test_nothing_blurs_to_nothing() -> None:
    assert not blur(np.zeros((20, 20), np.float32), 3.0).any()


def test_a_cloud_is_the_blurred_union() -> None:
    shapes = [ellipse(0.4, 0.5, 0.2, 0.15), ellipse(0.6, 0.5, 0.2, 0.15)]
    union = np.maximum(*(polygon(shape, SIZE) for shape in shapes))
    np.testing.assert_allclose(cloud(shapes, SIZE, 0.03), blur(union, 0.03 * SIZE), atol=0.12)


def test_a_stroke_has_its_width_and_a_thin_one_still_shows() -> None:
    for width, pixels in ((0.05, 10), (0.0001, 1)):
        canvas = Image.new("F", (SIZE, SIZE), 0.0)
        stroke(canvas, np.array([[0.1, 0.5], [0.9, 0.5]], np.float32), width, 0.7, SIZE)
        column = np.asarray(canvas)[:, SIZE // 2]
        assert abs(int((column > 0).sum()) - pixels) <= 1
        assert column.max() == pytest.approx(0.7)


def test_a_spline_goes_through_its_points() -> None:
    points = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    for closed in (True, False):
        curve = spline(points, closed=closed)
        inner = points if closed else points[:-1]
        assert all(np.abs(curve - point).max(axis=1).min() < 1e-6 for point in inner)


def test_texture_is_noise_about_zero() -> None:
    field = texture(np.random.default_rng(0), 128, cells=20)
    assert abs(field.mean()) < 0.1
    assert 0.2 < field.std() < 0.6
