"""Change the look of a picture as another detector, archive or journal would, to break a hospital's fingerprint.

The anatomy stays; gamma, window, histogram, sharpness, resolution, compression, noise, borders and burnt-in marks
change. Everything is a function of the random generator that is given.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from covid_xray.config import Appearance

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, Appearance, np.random.Generator], Pixels]
LETTERS = "ABDEILMNOPRSTUX0123456789"


def change(
    pixels: Pixels, appearance: Appearance, random: np.random.Generator, chain: "tuple[Change, ...] | None" = None
) -> Pixels:
    """Apply each change with `appearance.probability`, in the order of a real chain: H x W uint8 -> H x W uint8.

    First what a detector and its software do (window, histogram, sharpness), then what an archive does (resolution,
    compression), last what people do (borders, letters, patches).
    """
    for step in CHAIN if chain is None else chain:
        if random.random() < appearance.probability:
            pixels = step(pixels, appearance, random)
    return pixels


def gamma(pixels: Pixels, a: Appearance, random: np.random.Generator) -> Pixels:
    """Raise the grey values to g with log g in -`gamma`..`gamma`."""
    exponent = np.exp(random.uniform(-a.gamma, a.gamma))
    return _table(pixels, (np.arange(256) / 255) ** exponent * 255)


def window(pixels: Pixels, a: Appearance, random: np.random.Generator) -> Pixels:
    """Stretch between two percentiles, up to `window` cut at either end, or squeeze into part of the range."""
    low, high = np.percentile(pixels, [100 * random.uniform(0, a.window), 100 * (1 - random.uniform(0, a.window))])
    dark, bright = sorted(random.uniform([0, 1 - a.window], [a.window, 1.0]) * 255)
    return _table(pixels, (np.arange(256) - low) / max(high - low, 16) * (bright - dark) + dark)


def equalise(pixels: Pixels, a: Appearance, random: np.random.Generator) -> Pixels:
    """Blend with the equalised picture (globally, or by tiles as CLAHE), up to the share `equalise`."""
    if random.random() < 0.5:
        flat = cv2.equalizeHist(pixels)
    else:
        tiles = int(random.integers(2, 9))
        flat = cv2.createCLAHE(clipLimit=random.uniform(1, 4), tileGridSize=(tiles, tiles)).apply(pixels)
    share = random.uniform(0, a.equalise)
    return np.asarray(cv2.addWeighted(flat, share, pixels, 1 - share, 0), dtype=np.uint8)


def sharpness(pixels: Pixels, a: Appearance, random: np.random.Generator) -> Pixels:
    """Blur, or sharpen by the unsharp mask of post-processing; sigma up to `blur` pixels of a 224-pixel picture."""
    sigma = random.uniform(0.2, max(0.2, a.blur)) * pixels.shape[0] / 224
    soft = cv2.GaussianBlur(pixels, (0, 0), sigma)
    if random.random() < 0.5:
        return np.asarray(soft, dtype=np.uint8)
    return np.asarray(cv2.addWeighted(pixels, 2.0, soft, -1.0, 0), dtype=np.uint8)


def resolution(pixels: Pixels, a: Appearance, random: np.random.Generator) -> Pixels:
    """Shrink by up to the share `resolution` and enlarge again, with filters as software happens to use them."""
    height, width = pixels.shape
    scale = 1 - random.uniform(0, a.resolution)
    filters = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA)
    down, up = random.integers(1, 4), random.integers(0, 3)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=filters[down])
    return np.asarray(cv2.resize(small, (width, height), interpolation=filters[up]), dtype=np.uint8)


def compression(pixels: Pixels, a: Appearance, random: np.random.Generator) -> Pixels:
    """Compress as JPEG at a quality from `jpeg` to 95."""
    quality = int(random.integers(a.jpeg, 96))
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def noise(pixels: Pixels, a: Appearance, random: np.random.Generator) -> Pixels:
    """Add Gaussian noise, standard deviation up to `noise` grey values, fine or in coarse grains."""
    height, width = pixels.shape
    grain = int(random.integers(1, 4))
    field = random.normal(0, random.uniform(0, a.noise), (-(-height // grain), -(-width // grain))).astype(np.float32)
    field = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(pixels + field, 0, 255).astype(np.uint8)


def border(pixels: Pixels, a: Appearance, random: np.random.Generator) -> Pixels:
    """Add a frame in one grey on some sides, up to `border` of the size wide; the chest is squeezed into the rest."""
    height, width = pixels.shape
    sides = random.uniform(0, a.border, 4) * (random.random(4) < 0.5)
    top, bottom = (int(share * height) for share in sides[:2])
    left, right = (int(share * width) for share in sides[2:])
    framed = np.full_like(pixels, random.choice([0, 0, 0, 255, int(random.integers(0, 256))]))
    inner = (width - left - right, height - top - bottom)
    framed[top : height - bottom, left : width - right] = cv2.resize(pixels, inner, interpolation=cv2.INTER_AREA)
    return framed


def marks(pixels: Pixels, a: Appearance, random: np.random.Generator) -> Pixels:
    """Draw one to `marks` side markers, words or panel letters, mostly near the edges, with or without a box behind."""
    height, width = pixels.shape
    changed = pixels.copy()
    for _ in range(int(random.integers(1, a.marks + 1))):
        text = "".join(random.choice(list(LETTERS), int(random.integers(1, 7))))
        scale = random.uniform(0.25, 0.9) * height / 224
        at_edge = random.choice([0.08, 0.92]) + random.uniform(-0.06, 0.06)
        across, down = (random.random(), at_edge) if random.random() < 0.5 else (at_edge, random.random())
        at = (int(across * width * 0.9), int(down * height))
        ink = int(random.choice([255, 255, 0, int(random.integers(100, 256))]))
        if random.random() < 0.3:
            w, h = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0]
            cv2.rectangle(changed, (at[0] - 2, at[1] + 3), (at[0] + w + 2, at[1] - h - 3), 255 - ink, cv2.FILLED)
        cv2.putText(changed, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, int(random.integers(1, 3)), cv2.LINE_AA)
    return changed


def patches(pixels: Pixels, a: Appearance, random: np.random.Generator) -> Pixels:
    """Wipe corners, or one rectangle anywhere (Zhong and others 2017), each side up to `patch` of the size."""
    height, width = pixels.shape
    changed = pixels.copy()
    for corner in range(5):
        if random.random() < 0.4:
            h, w = (random.uniform(0.05, max(0.05, a.patch), 2) * (height, width)).astype(int)
            top = (0, 0, height - h, height - h, int(random.integers(0, height - h)))[corner]
            left = (0, width - w, 0, width - w, int(random.integers(0, width - w)))[corner]
            changed[top : top + h, left : left + w] = random.choice([0, 0, int(pixels.mean()), 255])
    return changed


def smooth_patches(pixels: Pixels, a: Appearance, random: np.random.Generator) -> Pixels:
    """Draw one to three ellipses in one grey of the picture, each axis up to 1.25 times `patch` of the size."""
    height, width = pixels.shape
    changed = pixels.copy()
    lit = pixels[pixels > 4]
    for _ in range(int(random.integers(1, 4))):
        grey = float(np.percentile(lit, random.uniform(30, 95))) if lit.size else 0.0
        axes = (random.uniform(0.02, 0.02 + 0.6 * a.patch, 2) * (width, height)).astype(int) + 1
        centre = (int(random.integers(0, width)), int(random.integers(0, height)))
        ends = (int(axes[0]), int(axes[1]))
        cv2.ellipse(changed, centre, ends, float(random.uniform(0, 180)), 0, 360, grey, cv2.FILLED)
    return changed


def _table(pixels: Pixels, levels: NDArray[np.float64]) -> Pixels:
    return np.asarray(cv2.LUT(pixels, np.clip(np.rint(levels), 0, 255).astype(np.uint8)), dtype=np.uint8)


CHAIN: tuple[Change, ...] = (gamma, window, equalise, sharpness, noise, resolution, compression, patches, marks, border)
# For pictures of lungs alone: they have no borders and letters, and holes, as masks of white lungs have them, are made
# in ill and healthy lungs alike, so that they carry no information.
LUNGS_CHAIN: tuple[Change, ...] = (gamma, window, equalise, sharpness, noise, resolution, compression, smooth_patches)
