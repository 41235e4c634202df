"""Write altered copies of radiographs, with the nine changes that copies in public collections have gone through."""

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

Copies = dict[str, tuple[str, str]]  # name of the copy -> (original, way)

WAYS = {
    "jpeg": "saved again, JPEG quality 40",
    "half": "half size",
    "crop3": "cropped by 3 % of each side",
    "crop20": "cropped by 20 % of each side",
    "dark": "gamma 1.4",
    "bright": "gamma 0.7",
    "mirror": "mirrored",
    "label": "burnt-in label",
    "turn": "rotated by 3 degrees",
}


def write_altered(
    originals: Mapping[str, Path], folder: Path, *, count: int, seed: int = 0
) -> dict[str, tuple[str, str]]:
    """Write `count` altered copies of as many originals; returns name of the copy -> (original, way).

    The ways take turns. Copies are JPEG of quality 92; the originals are chosen at random, each once.
    """
    rng = np.random.default_rng(seed)
    names = sorted(originals)
    chosen = [names[i] for i in rng.permutation(len(names))[:count]]
    folder.mkdir(parents=True, exist_ok=True)
    copies = {}
    for number, original in enumerate(chosen):
        way = list(WAYS)[number % len(WAYS)]
        name = f"{number:04d}-{way}.jpg"
        with Image.open(originals[original]) as image:
            picture = np.asarray(image.convert("L"))
        quality = 40 if way == "jpeg" else 92
        Image.fromarray(alter(picture, way, rng=rng)).save(folder / name, quality=quality)
        copies[name] = (original, way)
    (folder / "copies.json").write_text(json.dumps(copies))
    return copies


def alter(picture: np.ndarray, way: str, *, rng: np.random.Generator) -> np.ndarray:
    """Alter a picture in one of `WAYS`; `rng` chooses place, direction and text where there is a choice."""
    change = {
        "jpeg": lambda: picture,  # the saving does it
        "half": lambda: cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        "crop3": lambda: crop(picture, 0.03, rng=rng),
        "crop20": lambda: crop(picture, 0.2, rng=rng),
        "dark": lambda: relight(picture, 1.4),
        "bright": lambda: relight(picture, 0.7),
        "mirror": lambda: np.ascontiguousarray(picture[:, ::-1]),
        "label": lambda: label(picture, rng=rng),
        "turn": lambda: turn(picture, float(rng.choice([-3, 3]))),
    }
    return change[way]()


def relight(picture: np.ndarray, gamma: float) -> np.ndarray:
    """Apply a gamma: brighter below 1, darker above."""
    return (255 * (picture / 255.0) ** gamma + 0.5).astype(np.uint8)


def turn(picture: np.ndarray, degrees: float) -> np.ndarray:
    """Rotate about the middle; the size stays, the corners become black."""
    height, width = picture.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR)


def crop(picture: np.ndarray, share: float, *, rng: np.random.Generator) -> np.ndarray:
    """Cut `share` of each side off, at a random place."""
    height, width = (round(side * (1 - share)) for side in picture.shape)
    top = int(rng.integers(0, picture.shape[0] - height + 1))
    left = int(rng.integers(0, picture.shape[1] - width + 1))
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def label(picture: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Draw a line of text, a side mark and an arrow into the lung."""
    marked = picture.copy()
    height, width = marked.shape
    text = str(rng.choice(["PORTABLE 12:30", "DAY 4", "AP SUPINE", "2020/03/11"]))
    cv2.putText(marked, text, (width // 20, height // 12), cv2.FONT_HERSHEY_SIMPLEX, width / 500, 255, 2)
    cv2.putText(marked, "L", (int(width * 0.88), height // 5), cv2.FONT_HERSHEY_SIMPLEX, width / 350, 255, 3)
    tip = (int(width * rng.uniform(0.2, 0.8)), int(height * rng.uniform(0.4, 0.7)))
    cv2.arrowedLine(marked, (tip[0] + 40, tip[1] - 30), tip, 255, 3)
    return marked
