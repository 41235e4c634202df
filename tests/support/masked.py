"""Phantoms with the masks of their lungs, for the training of a lung network."""

from pathlib import Path

import numpy as np
from PIL import Image

from covid_xray.images.phantoms.phantom import draw, draw_anatomy, lung_mask


def draw_masked(root: Path) -> Path:
    """Twenty phantoms with the masks that they were drawn by, and one without; returns `root`."""
    lines = ["image,label,patient_id,license"]
    (root / "images").mkdir()
    (root / "masks").mkdir()
    for number in range(20):
        anatomy = draw_anatomy(np.random.default_rng(number))
        picture = draw(anatomy, size=96, finding=("normal", "covid")[number % 2], seed=number)
        Image.fromarray(picture.pixels).save(root / "images" / f"{number:02}.png")
        Image.fromarray(lung_mask(anatomy, size=96)).save(root / "masks" / f"{number:02}.png")
        lines.append(f"images/{number:02}.png,normal,p{number},{'CC BY 4.0' if number < 16 else 'CC BY-ND 4.0'}")
    Image.fromarray(picture.pixels).save(root / "images" / "without.png")
    (root / "data.csv").write_text("\n".join([*lines, "images/without.png,normal,p99,CC BY 4.0"]) + "\n")
    return root
