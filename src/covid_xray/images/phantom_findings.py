"""What a disease adds to a phantom: an anatomy and its lungs in, extra density inside the lungs out."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from covid_xray.images.strokes import Floats, blurred, ellipse, stroke, texture

FINDINGS = ("covid", "normal", "virus")


@dataclass(frozen=True)
class Anatomy:
    """One patient; lengths are shares of the picture's side, angles are in degrees.

    Args:
        child: shorter chest, larger heart, flatter ribs.
        width: half-width of the chest cage.
        apex, dome: height of the lung apices and of the right diaphragm dome, from the top.
        heart: half-width of the heart at its widest.
        ribs: pairs of ribs that show.
        slope: how far a rib falls from spine to chest wall.
        tilt: rotation of the body.
        seed: of the vessels and of everything else that is this patient's own.
    """

    child: bool
    width: float
    apex: float
    dome: float
    heart: float
    ribs: int
    slope: float
    tilt: float
    seed: int


def opacities(
    a: Anatomy, lungs: list[Floats], finding: str, severity: float, size: int, random: np.random.Generator
) -> Floats:
    """What a finding adds to the tissue: size x size, zero outside the lungs (image left first)."""
    if finding == "normal":
        return np.zeros((size, size), np.float32)
    drawn = _ground_glass if finding == "covid" else _interstitial
    return sum((drawn(a, lung, side, severity, size, random) * lung for lung, side in zip(lungs, (-1, 1), strict=True)),
               np.zeros((size, size), np.float32))  # fmt: skip


def _ground_glass(
    a: Anatomy, lung: Floats, side: int, severity: float, size: int, random: np.random.Generator
) -> Floats:
    """Soft-edged opacities, most of them low and near the chest wall."""
    field = np.zeros((size, size), np.float32)
    for _ in range(2 + round(5 * severity * random.uniform(0.6, 1.4))):
        x = 0.5 + side * a.width * random.uniform(0.62, 0.96)
        y = a.apex + (a.dome + 0.06 - a.apex) * random.beta(3.2, 1.7)
        radius = random.uniform(0.035, 0.075) * (0.7 + 0.6 * severity)
        field = np.maximum(field, ellipse(size, x, y, radius, radius * random.uniform(0.8, 1.5)))
    cloud = blurred(field, size * 0.028)
    return cloud * (0.10 + 0.20 * severity) * (1 + 0.45 * texture(random, size, cells=28))


def _interstitial(
    a: Anatomy, lung: Floats, side: int, severity: float, size: int, random: np.random.Generator
) -> Floats:
    """Streaks that radiate from the hilum, cuffs around bronchi, a haze about both."""
    canvas = Image.new("F", (size, size), 0.0)
    hilum = np.array([0.5 + side * 0.085, a.apex + 0.27])
    for _ in range(round(26 + 60 * severity)):
        angle, near = random.uniform(-1.5, 1.5), random.uniform(0.02, 0.20)
        t = np.linspace(near, near + random.uniform(0.03, 0.10), 5)
        bend = angle + np.cumsum(random.normal(0, 0.06, 5))
        line = hilum + np.stack([side * t * np.cos(bend), t * np.sin(bend)], axis=1)
        stroke(canvas, line.astype(np.float32), 0.0035, 0.07 + 0.10 * severity, size)
    pen = ImageDraw.Draw(canvas)
    for _ in range(round(4 + 9 * severity)):
        x, y = (hilum + random.normal(0, 0.06, 2)) * size
        radius = random.uniform(0.006, 0.011) * size
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], outline=0.13 + 0.08 * severity, width=2)
    haze = blurred(ellipse(size, hilum[0] + side * 0.03, hilum[1] + 0.03, 0.09, 0.14), size * 0.04)
    return blurred(np.asarray(canvas), size * 0.0028) + haze * (0.02 + 0.06 * severity)
