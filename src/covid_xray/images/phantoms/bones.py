"""Draw the bones of a phantom: ribs, spine, clavicles, scapulae and arms."""

import math

import numpy as np
from PIL import Image, ImageDraw

from covid_xray.images.phantoms.disease import Anatomy
from covid_xray.images.phantoms.strokes import Floats, blur, spline, stroke


def bones(a: Anatomy, size: int) -> Floats:
    """Draw the density that bones add to the tissue: size x size, 0 to about 0.25."""
    canvas = Image.new("F", (size, size), 0.0)
    for side in (-1, 1):
        _shoulder(canvas, a, side, size)
    _ribs(canvas, a, size)
    _spine(canvas, a, size)
    for side in (-1, 1):
        _clavicle(canvas, a, side, size)
    return blur(np.asarray(canvas), size * 0.0028)


def _curve(points: list[tuple[float, float]]) -> Floats:
    return spline(np.array(points, dtype=np.float32), closed=False)


def _wall(a: Anatomy, y: float) -> float:
    """Return the half-width of the rib cage at height `y`."""
    heights = [a.apex - 0.04, a.apex + 0.02, a.apex + 0.09, a.apex + 0.24, 0.5 * (a.apex + a.dome) + 0.1, 1.0]
    return a.width * float(np.interp(y, heights, [0.22, 0.50, 0.73, 0.93, 1.0, 0.98]))


def _ribs(canvas: Image.Image, a: Anatomy, size: int) -> None:
    """Draw pairs of ribs: faint front arcs first, then the back arcs over them."""
    random = np.random.default_rng((a.seed, 3))
    spacing = (a.dome + 0.10 - a.apex) / a.ribs
    tops = [a.apex - 0.02 + spacing * n + random.normal(0, 0.002) for n in range(a.ribs + 2)]
    for number, top in enumerate(tops):
        for side in (-1, 1):
            back = _back_arc(a, number, top, side)
            # Below the diaphragm bone has far less contrast.
            strength = 0.085 if top < a.dome - 0.02 else 0.03
            if 0 < number < a.ribs - 1:
                _band(canvas, _front_arc(a, back, side), 0.018, 0.45 * strength, size)
            _band(canvas, back, 0.019, strength, size)


def _back_arc(a: Anatomy, number: int, top: float, side: int) -> Floats:
    """Return an arc that is nearly level at the spine and falls at the chest wall."""
    t = np.linspace(0.0, 1.0, 20)
    drop = a.slope * (0.55 + 0.11 * number) + 0.03
    reach = _wall(a, top + drop) * (1.0 if number <= a.ribs else 0.6)
    x = 0.5 + side * (0.03 + (reach - 0.03) * np.sin(t * math.pi / 2))
    y = top - 0.012 * np.sin(np.minimum(t * 2, 1) * math.pi) + drop * t**2.4
    return np.stack([x, y], axis=1).astype(np.float32)


def _front_arc(a: Anatomy, back: Floats, side: int) -> Floats:
    """Continue the back arc down and towards the breastbone, up to the invisible cartilage."""
    x, y = float(back[-1, 0]), float(back[-1, 1])
    inward, fall = 0.45 * abs(x - 0.5), 0.05 + 0.8 * a.slope
    points = [(x, y), (x - side * 0.12 * inward, y + 0.035), (x - side * 0.55 * inward, y + 0.02 + 0.6 * fall)]
    return _curve([*points, (x - side * inward, y + fall)])


def _band(canvas: Image.Image, line: Floats, width: float, strength: float, size: int) -> None:
    """Draw a bone whose cortex along both edges is denser than the marrow between."""
    stroke(canvas, line, width, strength, size)
    for edge in (-0.45 * width, 0.45 * width):
        stroke(canvas, line + np.array([0, edge], dtype=np.float32), 0.004, strength * 1.5, size)


def _spine(canvas: Image.Image, a: Anatomy, size: int) -> None:
    """Draw vertebrae with end plates, discs and spinous processes."""
    pen = ImageDraw.Draw(canvas)
    step = 0.050 if a.child else 0.058
    for number in range(int(1 / step) + 1):
        top = number * step
        half = 0.026 + 0.012 * top
        left, right = (0.5 - half) * size, (0.5 + half) * size
        pen.rounded_rectangle([left, top * size, right, (top + step) * size], radius=0.006 * size, fill=0.055)
        pen.rounded_rectangle([left, (top + 0.008) * size, right, (top + step - 0.004) * size],
                              radius=0.008 * size, fill=0.085, outline=0.12)  # fmt: skip
        pen.ellipse([0.495 * size, (top + 0.018) * size, 0.505 * size, (top + 0.040) * size], fill=0.13)
        for side in (-1, 1):
            x = 0.5 + side * (half - 0.009)
            box = [(x - 0.005) * size, (top + 0.016) * size, (x + 0.005) * size, (top + 0.030) * size]
            pen.ellipse(box, fill=0.125)


def _clavicle(canvas: Image.Image, a: Anatomy, side: int, size: int) -> None:
    ends = [(0.045, a.apex + 0.055), (0.12, a.apex + 0.035), (0.24, a.apex + 0.01), (a.width + 0.05, a.apex - 0.015)]
    _band(canvas, _curve([(0.5 + side * x, y) for x, y in ends]), 0.024, 0.10, size)


def _shoulder(canvas: Image.Image, a: Anatomy, side: int, size: int) -> None:
    """Draw the scapula's blade and spine over the outer lung, and the head of the humerus."""
    outer = a.width + 0.06
    blade = [(outer, a.apex + 0.02), (a.width - 0.06, a.apex + 0.05), (a.width - 0.035, a.apex + 0.19),
             (a.width + 0.005, a.apex + 0.31), (a.width + 0.03, a.apex + 0.22)]  # fmt: skip
    points = [(float((0.5 + side * x) * size), float(y * size)) for x, y in blade]
    ImageDraw.Draw(canvas).polygon(points, fill=0.035)
    rim = _curve([(0.5 + side * x, y) for x, y in blade[1:]])
    stroke(canvas, rim, 0.007, 0.075, size)
    spine = _curve([(0.5 + side * (a.width - 0.05), a.apex + 0.09), (0.5 + side * outer, a.apex + 0.005)])
    stroke(canvas, spine, 0.014, 0.075, size)
    x, y, radius = (0.5 + side * (outer + 0.035)) * size, (a.apex + 0.055) * size, 0.042 * size
    pen = ImageDraw.Draw(canvas)
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=0.09, outline=0.14, width=max(1, size // 200))
    shaft = _curve([(x / size, y / size + 0.02), (0.5 + side * (outer + 0.09), a.apex + 0.36)])
    _band(canvas, shaft, 0.042, 0.08, size)
