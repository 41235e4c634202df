"""Draw synthetic chest radiographs for the demo, tests and speed measurements, never for results.

As in a real exposure, path length times density is summed: the image is bright where much tissue lies in the beam.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covid_xray.images.phantoms.bones import bones
from covid_xray.images.phantoms.disease import FINDINGS, Anatomy, opacities
from covid_xray.images.phantoms.strokes import Floats, blur, box, cloud, ellipse, polygon, spline, stroke, texture
from covid_xray.images.radiograph import ImageSource, Radiograph


@dataclass(frozen=True)
class Exposure:
    """One exposure: shift (shares of the side), rotation (degrees), contrast, and noise (share of white)."""

    shift: tuple[float, float] = (0.0, 0.0)
    rotation: float = 0.0
    contrast: float = 1.0
    noise: float = 0.012


def draw_anatomy(random: np.random.Generator, *, child: bool | None = None) -> Anatomy:
    """Draw a random patient; with `child=None` one in three is a child."""
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
    """Draw a random exposure of acceptable quality."""
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
    """Draw one exposure of a patient, size x size uint8.

    Args:
        anatomy: the patient.
        finding: `normal`; `covid`: soft, peripheral, basal, bilateral opacities; `virus`: interstitial streaks and
            cuffs around the hila.
        severity: 0 (invisible) to 1 (severe); ignored for `normal`.
        size: side in pixels.
        exposure: default: neutral.
        seed: of the finding's pattern and the noise.
    """
    if finding not in FINDINGS:
        raise ValueError(f"Unknown finding {finding!r}. Choose one of {', '.join(FINDINGS)}.")
    shot = exposure or Exposure()
    random = np.random.default_rng((anatomy.seed, seed))
    lungs = blur(_lungs(anatomy, size), size * 0.003)
    tissue = _body(anatomy, lungs, size)
    tissue += opacities(anatomy, lungs, finding, severity, size, np.random.default_rng((anatomy.seed, seed, 1)))
    grey = _to_grey(_place(tissue, anatomy, shot), shot, random)
    return Radiograph(grey, source=ImageSource(format="array", view="AP" if anatomy.child else "PA"))


def lung_mask(anatomy: Anatomy, *, size: int = 512, exposure: Exposure | None = None) -> NDArray[np.bool_]:
    """Return the lung mask, size x size, of `draw` for the same anatomy and exposure."""
    return _place(_lungs(anatomy, size), anatomy, exposure or Exposure()) > 0.5


def _body(anatomy: Anatomy, lungs: Floats, size: int) -> Floats:
    """Draw the body without a finding: density times depth, about 0 (air) to 1.2 (bone before the heart)."""
    own = np.random.default_rng((anatomy.seed, 5))
    chest = cloud([_chest_outline(anatomy)], size, 0.012)
    # A lung is deepest away from its edges, where its air removes most density.
    depth = np.clip(blur(lungs, size * 0.035) * 1.5 - 0.35, 0, 1) * lungs
    tissue = 0.70 * chest - 0.15 * lungs - 0.28 * depth
    tissue += _middle(anatomy, size) + _abdomen(anatomy, size, gas=own.uniform(0, 0.16))
    tissue += bones(anatomy, size) * np.clip(chest * 1.2, 0, 1) * (1 + 0.5 * lungs)
    # Full vessels of healthy patients resemble a mild interstitial pattern.
    tissue += own.uniform(0.8, 1.35) * _vessels(anatomy, size) * lungs
    if not anatomy.child:
        tissue += _breasts(anatomy, size, own.uniform(0, 0.10)) * chest
    tissue += 0.06 * texture(np.random.default_rng((anatomy.seed, 2)), size, cells=7) * chest
    return tissue


def _lungs(a: Anatomy, size: int) -> Floats:
    """Draw the visible lungs, size x size, 0 or 1; heart and mediastinum cover parts of them."""
    picture = np.maximum(*(polygon(points, size) for points in _lung_outlines(a)))
    return picture * (1 - polygon(_silhouette(a), size))


def _lung_outlines(a: Anatomy) -> list[Floats]:
    """Return the outlines of both lungs (the patient's right first) with the parts behind the heart, in 0..1."""
    outlines = []
    for side in (-1, 1):
        dome = a.dome + (0.025 if side > 0 else 0.0)
        base = dome + (0.09 if a.child else 0.12)
        points = [
            (0.035, a.apex + 0.07),
            (0.30 * a.width, a.apex),
            (0.70 * a.width, a.apex + 0.09),
            (0.91 * a.width, a.apex + 0.24),
            (0.985 * a.width, 0.5 * (a.apex + base) + 0.06),
            (0.99 * a.width, base - 0.04),
            (0.965 * a.width, base),
            (0.82 * a.width, dome + 0.035),
            (0.55 * a.width, dome),
            (0.28 * a.width, dome + 0.012),
            (0.04, dome + 0.05),
            (0.035, 0.5 * (a.apex + dome)),
        ]
        outlines.append(spline(np.array([(0.5 + side * x, y) for x, y in points], dtype=np.float32)))
    return outlines


def _silhouette(a: Anatomy) -> Floats:
    """Return the outline of mediastinum and heart, aortic knob and apex on the patient's left (image right)."""
    top, bottom, h = a.apex, a.dome, a.heart
    knob = 0.060 if a.child else 0.072
    right = [(-0.045, top - 0.2), (-0.05, top + 0.12), (-0.052, 0.5 * (top + bottom)),
             (-0.30 * h - 0.045, bottom - 0.16), (-0.42 * h - 0.045, bottom - 0.08),
             (-0.36 * h - 0.045, bottom + 0.03)]  # fmt: skip
    waist = top + 0.27
    left = [(1.10 * h, bottom + 0.06), (1.22 * h, bottom - 0.01), (1.10 * h, waist + 0.72 * (bottom - waist)),
            (0.78 * h, waist + 0.36 * (bottom - waist)), (0.062, waist), (0.052, top + 0.235), (knob, top + 0.19),
            (knob - 0.004, top + 0.15), (0.045, top + 0.11), (0.045, top - 0.2)]  # fmt: skip
    return spline(np.array([(0.5 + x, y) for x, y in right + left], dtype=np.float32))


def _chest_outline(a: Anatomy) -> Floats:
    wall = a.width + (0.045 if a.child else 0.06)
    right = [(0.07, -0.05), (0.085, 0.04), (0.28, a.apex - 0.04), (0.49, a.apex + 0.03), (0.55, 0.35),
             (wall + 0.05, 0.40), (wall, 0.52), (wall - 0.01, 0.75), (wall, 1.05)]  # fmt: skip
    points = [(0.5 + x, y) for x, y in right] + [(0.5 - x, y) for x, y in reversed(right)]
    return spline(np.array(points, dtype=np.float32))


def _middle(a: Anatomy, size: int) -> Floats:
    """Draw the heart and great vessels, thickest in the middle, with the trachea and main bronchi in them."""
    edge = blur(polygon(_silhouette(a), size), size * 0.005)
    bulk = cloud([ellipse(0.5 + 0.3 * a.heart, a.dome - 0.08, 0.9 * a.heart, 0.11, angle=30)], size, 0.03)
    fork = a.apex + 0.22
    air = Image.new("F", (size, size), 0.0)
    for points in (
        ((0.5, 0.0), (0.5, fork)),
        ((0.5, fork), (0.455, fork + 0.05)),
        ((0.5, fork), (0.555, fork + 0.045)),
    ):
        stroke(air, np.array(points, dtype=np.float32), 0.036 if points[0][1] == 0 else 0.022, 1.0, size)
    return 0.07 * edge + 0.11 * bulk - 0.10 * blur(np.asarray(air), size * 0.005)


def _abdomen(a: Anatomy, size: int, *, gas: float) -> Floats:
    """Draw the organs below the diaphragm, with stomach gas under the left dome."""
    organs = cloud([box(-0.2, a.dome + 0.09, 1.2, 1.2)], size, 0.05)
    x, y = 0.5 + 0.5 * a.width, a.dome + 0.095
    bubble = cloud([ellipse(x, y, 0.055, 0.028, angle=8)], size, 0.007)
    return 0.14 * organs - gas * bubble


def _breasts(a: Anatomy, size: int, strength: float) -> Floats:
    pair = [ellipse(0.5 + side * 0.56 * a.width, a.dome - 0.07, 0.40 * a.width, 0.13) for side in (-1, 1)]
    return strength * cloud(pair, size, 0.012)


def _vessels(a: Anatomy, size: int) -> Floats:
    """Draw pulmonary vessels that branch from both hila and become thinner towards the chest wall."""
    canvas = Image.new("F", (size, size), 0.0)
    random = np.random.default_rng((a.seed, 4))
    for side in (-1, 1):
        hilum = np.array([0.5 + side * 0.07, a.apex + (0.25 if side > 0 else 0.27)])
        for heading in np.linspace(-1.2, 1.45, 8):
            _branch(canvas, hilum, heading + random.normal(0, 0.14), 0.017, side, random, size)
    return blur(np.asarray(canvas), size * 0.003)


def _branch(
    canvas: Image.Image, start: NDArray[np.float64], heading: float, width: float, side: int,
    random: np.random.Generator, size: int,
) -> None:  # fmt: skip
    if width < 0.0034:
        return
    length = random.uniform(0.035, 0.075)
    end = start + length * np.array([side * math.cos(heading), math.sin(heading)])
    stroke(canvas, np.stack([start, end]).astype(np.float32), width, 0.035 + 5.0 * width, size)
    bend = random.uniform(0.15, 0.45)
    for turn in (bend - 0.45, bend + 0.05):
        _branch(canvas, end, heading + turn, width * random.uniform(0.58, 0.78), side, random, size)


def _to_grey(tissue: Floats, shot: Exposure, random: np.random.Generator) -> NDArray[np.uint8]:
    """Convert density to grey: bright where the beam is weakened, with most noise there, where few quanta arrive."""
    noise = random.standard_normal(tissue.shape, dtype=np.float32)
    grey = 0.5 + shot.contrast * (tissue / 1.05 - 0.5) + (shot.noise * (0.6 + tissue)) * noise
    # The shoulder of a film's curve: the densest parts come close to white and keep detail.
    over = np.maximum(grey - 0.62, 0)
    grey = np.minimum(grey, 0.62) + 0.36 * (1 - np.exp(over * (-1 / 0.36)))
    return (255 * np.clip(grey, 0, 1) + 0.5).astype(np.uint8)


def _place(field: Floats, anatomy: Anatomy, shot: Exposure) -> Floats:
    """Rotate and shift the field by the patient's tilt and the exposure."""
    size = field.shape[0]
    picture = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    shift = (shot.shift[0] * size, shot.shift[1] * size)
    turned = picture.rotate(anatomy.tilt + shot.rotation, Image.Resampling.BILINEAR, translate=shift)
    return np.asarray(turned)
