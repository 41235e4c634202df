"""Draws synthetic chest radiographs: an anatomy, a finding and an exposure in, a `Radiograph` out.

For the demo, tests and measurements of speed; never for results. What is summed up is path length times density, as
in a real exposure: the picture is bright where much tissue lies in the beam. numpy and Pillow only.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from covid_xray.images.phantom_findings import FINDINGS, Anatomy, opacities
from covid_xray.images.radiograph import ImageSource, Radiograph
from covid_xray.images.strokes import Floats, blurred, box, ellipse, polygon, spline, stroke, texture


@dataclass(frozen=True)
class Exposure:
    """One exposure: shift (shares of the side), rotation (degrees), contrast, and noise (share of white)."""

    shift: tuple[float, float] = (0.0, 0.0)
    rotation: float = 0.0
    contrast: float = 1.0
    noise: float = 0.012


def draw_anatomy(random: np.random.Generator, *, child: bool | None = None) -> Anatomy:
    """A patient at random; `child=None` leaves that to chance as well (one in three)."""
    young = bool(random.random() < 1 / 3) if child is None else child
    return Anatomy(
        child=young,
        width=random.uniform(0.34, 0.38) if young else random.uniform(0.36, 0.41),
        apex=random.uniform(0.15, 0.19) if young else random.uniform(0.10, 0.15),
        dome=random.uniform(0.60, 0.66) if young else random.uniform(0.66, 0.74),
        heart=random.uniform(0.15, 0.18) if young else random.uniform(0.12, 0.17),
        ribs=int(random.integers(8, 10)),
        slope=random.uniform(0.02, 0.06) if young else random.uniform(0.07, 0.12),
        tilt=random.uniform(-2.5, 2.5),
        seed=int(random.integers(2**31)),
    )


def draw_exposure(random: np.random.Generator) -> Exposure:
    """An exposure at random, within what a technician lets pass."""
    shift = (random.uniform(-0.02, 0.02), random.uniform(-0.02, 0.02))
    return Exposure(shift, random.uniform(-2, 2), random.uniform(0.85, 1.15), random.uniform(0.008, 0.02))


def draw(
    anatomy: Anatomy,
    *,
    finding: str = "normal",
    severity: float = 0.7,
    size: int = 512,
    exposure: Exposure | None = None,
    seed: int = 0,
) -> Radiograph:
    """One exposure of a patient, size x size uint8.

    Args:
        anatomy: the patient.
        finding: `normal`; `covid`: soft, peripheral, basal, bilateral opacities; `virus`: interstitial streaks and
            cuffs about the hila.
        severity: 0 (nothing to see) to 1 (severe); without meaning for `normal`.
        size: pixels of a side.
        exposure: as given, or the neutral one.
        seed: of the finding's pattern and of the noise.
    """
    if finding not in FINDINGS:
        raise ValueError(f"expected a finding of {', '.join(FINDINGS)}. Received: {finding!r}")
    shot = exposure or Exposure()
    random = np.random.default_rng((anatomy.seed, seed))
    lungs = [blurred(polygon(points, size), size * 0.004) for points in _lung_outlines(anatomy)]
    tissue = _body(anatomy, lungs, size)
    tissue += opacities(anatomy, lungs, finding, severity, size, np.random.default_rng((anatomy.seed, seed, 1)))
    grey = _to_grey(_placed(tissue, anatomy, shot), shot, random)
    return Radiograph(grey, source=ImageSource(format="array", view="AP" if anatomy.child else "PA"))


def lung_mask(anatomy: Anatomy, *, size: int = 512, exposure: Exposure | None = None) -> NDArray[np.bool_]:
    """size x size: where `draw` draws lungs for the same anatomy and exposure."""
    both = np.maximum(*(polygon(points, size) for points in _lung_outlines(anatomy)))
    return _placed(both, anatomy, exposure or Exposure()) > 0.5


def _body(anatomy: Anatomy, lungs: list[Floats], size: int) -> Floats:
    """Everything but the finding: density times depth, about 0 (air) to 1.6 (bone before the heart)."""
    both = np.maximum(*lungs)
    chest = blurred(polygon(_chest_outline(anatomy), size), size * 0.02)
    # A lung is deepest away from its edges: its air takes most there.
    depth = np.clip(blurred(both, size * 0.035) * 1.5 - 0.35, 0, 1) * both
    tissue = 0.74 * chest - 0.16 * both - 0.27 * depth
    tissue += _heart(anatomy, size) + _spine(anatomy, size)
    tissue += _ribs(anatomy, size) * np.clip(chest * 1.2, 0, 1)
    tissue += _vessels(anatomy, size) * both
    tissue += 0.05 * texture(np.random.default_rng((anatomy.seed, 2)), size, cells=7) * chest
    return tissue


def _lung_outlines(a: Anatomy) -> tuple[Floats, Floats]:
    """Corner points of both lungs (image left first: the patient's right), x and y in 0..1."""
    outlines = []
    for side in (-1, 1):
        left = side > 0
        medial = 0.065 if a.child else 0.06
        # The heart lies in the patient's left chest and takes a bay out of that lung.
        bay = a.heart * (0.98 if left else 0.55)
        dome = a.dome + (0.025 if left else 0.0)
        base = dome + (0.10 if a.child else 0.14)
        points = [
            (medial + 0.015, a.apex + 0.05),
            (0.15 * a.width / 0.38, a.apex),
            (0.68 * a.width, a.apex + 0.08),
            (0.90 * a.width, a.apex + 0.24),
            (0.98 * a.width, 0.5 * (a.apex + base) + 0.05),
            (0.985 * a.width, base - 0.03),
            (0.965 * a.width, base),
            (0.80 * a.width, dome + 0.035),
            (0.55 * a.width, dome),
            (max(bay, medial) + 0.03, dome + 0.03),
            (max(bay, medial), dome - 0.02),
            (max(0.82 * bay, medial), dome - 0.12),
            (medial, a.apex + 0.30),
            (medial - 0.005, a.apex + 0.16),
        ]
        outlines.append(spline(np.array([(0.5 + side * x, y) for x, y in points], dtype=np.float32)))
    return outlines[0], outlines[1]


def _chest_outline(a: Anatomy) -> Floats:
    wall = a.width + (0.045 if a.child else 0.06)
    right = [(0.07, 0.0), (0.09, 0.05), (0.30, 0.09), (0.47, 0.15), (wall + 0.04, 0.30), (wall, 0.55), (wall, 1.05)]
    points = [(0.5 + x, y) for x, y in right] + [(0.5 - x, y) for x, y in reversed(right)]
    return spline(np.array(points, dtype=np.float32))


def _heart(a: Anatomy, size: int) -> Floats:
    """Heart, aortic knob and mediastinum; the apex of the heart points to the patient's left."""
    bottom = a.dome + 0.04
    muscle = ellipse(size, 0.5 + 0.28 * a.heart, bottom - 0.13, a.heart * 0.98, 0.145, angle=-28)
    knob = ellipse(size, 0.5 + 0.055, a.apex + 0.17, 0.034, 0.032)
    middle = polygon(box(0.5 - 0.052, a.apex - 0.1, 0.5 + 0.05, bottom + 0.3), size)
    liver = polygon(box(0.0, bottom + 0.05, 1.0, 1.1), size)
    soft = 0.30 * blurred(muscle, size * 0.012) + 0.12 * blurred(knob, size * 0.008)
    return soft + 0.13 * blurred(middle, size * 0.014) + 0.12 * blurred(liver, size * 0.06)


def _spine(a: Anatomy, size: int) -> Floats:
    """A column of vertebrae with dark discs between, fading behind the heart."""
    canvas = Image.new("F", (size, size), 0.0)
    pen = ImageDraw.Draw(canvas)
    step = 0.052 if a.child else 0.062
    for number in range(int(1 / step) + 1):
        top = number * step
        half = 0.026 + 0.012 * top
        box = [(0.5 - half) * size, (top + 0.008) * size, (0.5 + half) * size, (top + step - 0.006) * size]
        pen.rounded_rectangle(box, radius=0.008 * size, fill=0.12)
        pen.ellipse([0.494 * size, (top + 0.02) * size, 0.506 * size, (top + 0.045) * size], fill=0.17)
    return blurred(np.asarray(canvas), size * 0.004)


def _ribs(a: Anatomy, size: int) -> Floats:
    """Posterior ribs as bands with dense edges, anterior ends as fainter ones, clavicles and the scapulae's rims."""
    canvas = Image.new("F", (size, size), 0.0)
    random = np.random.default_rng((a.seed, 3))
    spacing = (a.dome + 0.10 - a.apex) / a.ribs
    for number in range(a.ribs + 1):
        top = a.apex - 0.015 + number * spacing + random.normal(0, 0.002)
        reach = a.width * min(1.0, 0.50 + 0.17 * number)
        for side in (-1, 1):
            _rib(canvas, side, top, reach, a.slope * (0.6 + 0.1 * number), size, strength=0.085)
            if number > 1:
                _rib(canvas, side, top + 0.05, reach, -1.6 * a.slope, size, strength=0.04, inner=0.55)
    for side in (-1, 1):
        ends = [
            (0.5 + side * 0.045, a.apex + 0.055),
            (0.5 + side * 0.20, a.apex + 0.025),
            (0.5 + side * 0.40, a.apex - 0.02),
        ]
        stroke(canvas, spline(np.array(ends, dtype=np.float32), closed=False), 0.026, 0.13, size)
        blade = [(0.5 + side * (a.width + d), y) for d, y in ((0.05, 0.17), (-0.015, 0.26), (0.0, 0.42), (0.05, 0.46))]
        stroke(canvas, spline(np.array(blade, dtype=np.float32), closed=False), 0.012, 0.07, size)
    return blurred(np.asarray(canvas), size * 0.003)


def _rib(
    canvas: Image.Image,
    side: int,
    top: float,
    reach: float,
    slope: float,
    size: int,
    *,
    strength: float,
    inner: float = 0.0,
) -> None:
    """One rib from the spine (or from `inner`, a share of its reach) out to the chest wall, as an arc."""
    t = np.linspace(inner, 1.0, 24)
    x = 0.5 + side * (0.03 + (reach - 0.03) * np.sin(t * math.pi / 2))
    y = top + slope * t**1.4 + 0.05 * np.clip(t - 0.72, 0, None) ** 1.2 * np.sign(slope)
    line = np.stack([x, y], axis=1).astype(np.float32)
    stroke(canvas, line, 0.021, strength, size)
    for edge in (-0.0095, 0.0095):  # the cortex is denser than the marrow
        stroke(canvas, line + np.array([0, edge], dtype=np.float32), 0.005, strength * 1.45, size)


def _vessels(a: Anatomy, size: int) -> Floats:
    """Pulmonary vessels that branch from both hila and thin out towards the walls."""
    canvas = Image.new("F", (size, size), 0.0)
    random = np.random.default_rng((a.seed, 4))
    for side in (-1, 1):
        hilum = np.array([0.5 + side * 0.085, a.apex + 0.27])
        for heading in np.linspace(-1.25, 1.35, 9):
            _branch(canvas, hilum, heading + random.normal(0, 0.1), 0.013, side, random, size)
    return blurred(np.asarray(canvas), size * 0.0035)


def _branch(
    canvas: Image.Image, start: NDArray[np.float64], heading: float, width: float, side: int,
    random: np.random.Generator, size: int,
) -> None:  # fmt: skip
    if width < 0.0022:
        return
    length = random.uniform(0.05, 0.08)
    end = start + length * np.array([side * math.cos(heading), math.sin(heading)])
    stroke(canvas, np.stack([start, end]).astype(np.float32), width, 0.05 + 4.0 * width, size)
    for turn in random.choice([-0.42, -0.16, 0.18, 0.4], 2, replace=False):
        _branch(canvas, end, heading + turn, width * random.uniform(0.58, 0.72), side, random, size)


def _to_grey(tissue: Floats, shot: Exposure, random: np.random.Generator) -> NDArray[np.uint8]:
    """Density to grey: bright where the beam was weakened; noise is strongest there, where few quanta arrive."""
    grey = 0.5 + shot.contrast * (tissue / 1.15 - 0.5)
    grey += shot.noise * (0.6 + tissue) * random.normal(0, 1, tissue.shape)
    return np.clip(255 * np.clip(grey, 0, 1) ** 0.9, 0, 255).round().astype(np.uint8)


def _placed(field: Floats, anatomy: Anatomy, shot: Exposure) -> Floats:
    """The field turned and shifted as patient and exposure ask."""
    size = field.shape[0]
    picture = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    shift = (shot.shift[0] * size, shot.shift[1] * size)
    turned = picture.rotate(anatomy.tilt + shot.rotation, Image.Resampling.BILINEAR, translate=shift)
    return np.asarray(turned)
