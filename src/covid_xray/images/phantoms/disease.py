"""Draw the lung opacities of a disease into a phantom."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from covid_xray.images.phantoms.strokes import Floats, blur, cloud, ellipse, stroke, texture

FINDINGS = ("covid", "normal", "virus")


@dataclass(frozen=True)
class Anatomy:
    """Anatomy of one patient; lengths are shares of the image side, angles are in degrees.

    Args:
        child: shorter chest, larger heart, flatter ribs.
        width: half-width of the chest cage.
        apex, dome: height of the lung apices and of the right diaphragm dome, from the top.
        heart: half-width of the heart at its widest.
        ribs: visible pairs of ribs.
        slope: fall of a rib from spine to chest wall.
        tilt: rotation of the body.
        seed: of the vessels and other individual details.
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
    a: Anatomy, lungs: Floats, finding: str, severity: float, size: int, random: np.random.Generator
) -> Floats:
    """Draw the density that a finding adds to the tissue: size x size, zero outside the lungs."""
    if finding == "normal":
        return np.zeros((size, size), np.float32)
    drawn = _ground_glass if finding == "covid" else _interstitial
    return drawn(a, severity, size, random) * lungs


def _ground_glass(a: Anatomy, severity: float, size: int, random: np.random.Generator) -> Floats:
    """Draw soft-edged opacities in both lungs, most of them basal and peripheral."""
    spots = []
    for side in (-1, 1):
        for _ in range(2 + round(5 * severity * random.uniform(0.6, 1.4))):
            x = 0.5 + side * a.width * random.uniform(0.62, 0.96)
            y = a.apex + (a.dome + 0.06 - a.apex) * random.beta(3.2, 1.7)
            radius = random.uniform(0.035, 0.075) * (0.7 + 0.6 * severity)
            spots.append(ellipse(x, y, radius, radius * random.uniform(0.8, 1.5)))
    return cloud(spots, size, 0.028) * (0.05 + 0.25 * severity) * (1 + 0.45 * texture(random, size, cells=28))


def _interstitial(a: Anatomy, severity: float, size: int, random: np.random.Generator) -> Floats:
    """Draw streaks that radiate from both hila, cuffs around bronchi, and a haze around both."""
    canvas = Image.new("F", (size, size), 0.0)
    for side in (-1, 1):
        _streaks(canvas, a, side, severity, size, random)
    haze = [ellipse(0.5 + side * 0.115, a.apex + 0.30, 0.09, 0.14) for side in (-1, 1)]
    return blur(np.asarray(canvas), size * 0.0028) + cloud(haze, size, 0.04) * 0.07 * severity


def _streaks(
    canvas: Image.Image, a: Anatomy, side: int, severity: float, size: int, random: np.random.Generator
) -> None:
    hilum = np.array([0.5 + side * 0.085, a.apex + 0.27])
    for _ in range(round(18 + 70 * severity)):
        angle, near = random.uniform(-1.5, 1.5), random.uniform(0.02, 0.20)
        t = np.linspace(near, near + random.uniform(0.03, 0.10), 5)
        bend = angle + np.cumsum(random.normal(0, 0.06, 5))
        line = hilum + np.stack([side * t * np.cos(bend), t * np.sin(bend)], axis=1)
        stroke(canvas, line.astype(np.float32), 0.0035, 0.06 + 0.12 * severity, size)
    pen = ImageDraw.Draw(canvas)
    for _ in range(round(4 + 9 * severity)):
        x, y = (hilum + random.normal(0, 0.06, 2)) * size
        radius = random.uniform(0.006, 0.011) * size
        ring = [x - radius, y - radius, x + radius, y + radius]
        pen.ellipse(ring, outline=0.13 + 0.08 * severity, width=max(1, size // 256))
