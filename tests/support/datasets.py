"""Small drawn data sets for tests: each class has a look that a small network can learn in seconds."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("covid", "normal", "virus")


def picture(label: str, seed: int, *, size: int = 40) -> np.ndarray:
    """size x size uint8: bright blob low (covid), dark (normal), stripes (virus), each with noise of its own."""
    random = np.random.default_rng((CLASSES.index(label), seed))
    grey = np.full((size, size), 90.0)
    rows, columns = np.mgrid[:size, :size]
    if label == "covid":
        centre = random.uniform(0.35, 0.65, 2) * size
        grey += 110 * np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / (0.03 * size**2))
    if label == "virus":
        grey += 50 * np.sign(np.sin(columns * 1.1 + random.uniform(0, 6)))
    return np.clip(grey + random.normal(0, 12, grey.shape), 0, 255).astype(np.uint8)


def draw_folders(root: Path, *, each: int = 12, size: int = 40, classes: tuple[str, ...] = CLASSES) -> Path:
    """root/{class}/{class}-NN.png"""
    for label in classes:
        (root / label).mkdir(parents=True, exist_ok=True)
        for seed in range(each):
            Image.fromarray(picture(label, seed, size=size)).save(root / label / f"{label}-{seed:02}.png")
    return root
