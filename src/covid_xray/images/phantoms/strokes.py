"""Draw polygons, lines, curves, blur and smooth noise on float images with numpy and Pillow."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Floats = NDArray[np.float32]


def polygon(points: Floats, size: int) -> Floats:
    """Draw a filled polygon of `points` (N x 2, shares of the side): size x size, 1 inside, 0 outside."""
    canvas = Image.new("F", (size, size), 0.0)
    ImageDraw.Draw(canvas).polygon((points * size).ravel().tolist(), fill=1.0)
    return np.asarray(canvas)


def ellipse(x: float, y: float, rx: float, ry: float, *, angle: float = 0.0) -> Floats:
    """Return 48 points of the ellipse around (x, y) with half axes rx, ry, rotated by `angle` degrees, in shares."""
    t = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    turn = math.radians(angle)
    across, down = rx * np.cos(t), ry * np.sin(t)
    points = [x + across * math.cos(turn) - down * math.sin(turn), y + across * math.sin(turn) + down * math.cos(turn)]
    return np.stack(points, axis=1).astype(np.float32)


def box(left: float, top: float, right: float, bottom: float) -> Floats:
    """Return the corner points of a rectangle."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.float32)


def stroke(canvas: Image.Image, line: Floats, width: float, strength: float, size: int) -> None:
    """Draw a line of density `strength`; `width` in shares of the side, at least one pixel."""
    pixels = max(1, round(width * size))
    ImageDraw.Draw(canvas).line((line * size).ravel().tolist(), fill=strength, width=pixels)


def spline(points: Floats, *, closed: bool = True, steps: int = 8) -> Floats:
    """Return a Catmull-Rom curve through the points."""
    before, after = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
    p = np.concatenate([before, points, after])
    t = np.linspace(0, 1, steps, endpoint=False, dtype=np.float32)[:, None]
    curve = [
        0.5 * (2 * p[i] + (p[i + 1] - p[i - 1]) * t + (2 * p[i - 1] - 5 * p[i] + 4 * p[i + 1] - p[i + 2]) * t**2
               + (3 * p[i] - p[i - 1] - 3 * p[i + 1] + p[i + 2]) * t**3)
        for i in range(1, len(p) - 2)
    ]  # fmt: skip
    return np.concatenate(curve)


def blur(field: Floats, radius: float) -> Floats:
    """Blur by a Gaussian of `radius` pixels, in 8 bits of the field's range (Pillow has no blur for floats).

    Wide blurs work on a smaller copy, which costs a tenth and loses no detail.
    """
    top, size = float(field.max(initial=0.0)), field.shape[0]
    if top <= 0:
        return np.array(field, dtype=np.float32)
    eight = Image.fromarray((field * (255 / top) + 0.5).astype(np.uint8))
    factor = int(radius / 1.5)
    if factor < 2:
        return np.asarray(eight.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) * np.float32(top / 255)
    small = eight.reduce(factor).filter(ImageFilter.GaussianBlur(radius / factor))
    floats = Image.fromarray(np.asarray(small, dtype=np.float32) * np.float32(top / 255))
    # The small copy's last cell may exceed the edge: only the part that the field covers is enlarged.
    return np.asarray(floats.resize((size, size), Image.Resampling.BILINEAR, box=(0, 0, size / factor, size / factor)))


def cloud(shapes: list[Floats], size: int, radius: float) -> Floats:
    """Draw the union of polygons, blurred by `radius` (share of the side), on a small copy that is enlarged."""
    small = min(size, math.ceil(3 / radius))
    canvas = Image.new("L", (small, small), 0)
    for points in shapes:
        ImageDraw.Draw(canvas).polygon((points * small).ravel().tolist(), fill=255)
    soft = np.asarray(canvas.filter(ImageFilter.GaussianBlur(radius * small)), dtype=np.float32) / 255
    return np.asarray(Image.fromarray(soft).resize((size, size), Image.Resampling.BILINEAR))


def texture(random: np.random.Generator, size: int, *, cells: int) -> Floats:
    """Draw smooth noise, mean 0, about -1..1, with `cells` bumps across."""
    coarse = Image.fromarray(random.normal(0, 0.5, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
