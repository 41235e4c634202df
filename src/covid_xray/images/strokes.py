"""Pens for the phantoms: polygons, lines, curves, blur and smooth noise on float pictures. numpy and Pillow only."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Floats = NDArray[np.float32]


def polygon(points: Floats, size: int) -> Floats:
    """size x size, 1 inside the closed line of `points` (N x 2, shares of the side), 0 outside."""
    canvas = Image.new("F", (size, size), 0.0)
    ImageDraw.Draw(canvas).polygon([(float(x * size), float(y * size)) for x, y in points], fill=1.0)
    return np.asarray(canvas)


def ellipse(size: int, x: float, y: float, rx: float, ry: float, *, angle: float = 0.0) -> Floats:
    """size x size, 1 inside an ellipse about (x, y) with half axes rx, ry, turned by `angle` degrees."""
    t = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    turn = math.radians(angle)
    across, down = rx * np.cos(t), ry * np.sin(t)
    points = np.stack([x + across * math.cos(turn) - down * math.sin(turn),
                       y + across * math.sin(turn) + down * math.cos(turn)], axis=1)  # fmt: skip
    return polygon(points.astype(np.float32), size)


def box(left: float, top: float, right: float, bottom: float) -> Floats:
    """Corner points of a rectangle."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.float32)


def stroke(canvas: Image.Image, line: Floats, width: float, strength: float, size: int) -> None:
    """Add a line: where two cross, the denser one shows (a maximum, cheaper than a sum and close to it)."""
    points = [(float(x * size), float(y * size)) for x, y in line]
    ImageDraw.Draw(canvas).line(points, fill=strength, width=max(1, round(width * size)), joint="curve")


def spline(points: Floats, *, closed: bool = True, steps: int = 8) -> Floats:
    """A Catmull-Rom curve through the points."""
    p = (
        np.concatenate([points[-1:], points, points[:2]])
        if closed
        else np.concatenate([points[:1], points, points[-1:]])
    )
    t = np.linspace(0, 1, steps, endpoint=False, dtype=np.float32)[:, None]
    curve = [
        0.5 * (2 * p[i] + (p[i + 1] - p[i - 1]) * t + (2 * p[i - 1] - 5 * p[i] + 4 * p[i + 1] - p[i + 2]) * t**2
               + (3 * p[i] - p[i - 1] - 3 * p[i + 1] + p[i + 2]) * t**3)
        for i in range(1, len(p) - 2)
    ]  # fmt: skip
    return np.concatenate(curve)


def blurred(field: Floats, radius: float) -> Floats:
    """Gaussian blur, on 8 bits (Pillow has none for floats) of the field's own range: steps of 1/255 of it."""
    top = float(field.max(initial=0.0))
    if top <= 0:
        return np.array(field, dtype=np.float32)
    eight = Image.fromarray((field / top * 255).round().astype(np.uint8))
    return np.asarray(eight.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) * (top / 255)


def texture(random: np.random.Generator, size: int, *, cells: int) -> Floats:
    """Smooth noise, mean 0, about -1..1, with `cells` bumps across."""
    coarse = Image.fromarray(random.normal(0, 0.5, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
