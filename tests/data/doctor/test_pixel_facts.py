"""Pixel facts: borders and marks that are drawn are found, and those that are not are not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from covid_xray.data.doctor.pixel_facts import border_share, grey8, mark_boxes, measure
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.images.radiograph import Radiograph


def chest(seed: int = 0, *, size: tuple[int, int] = (400, 480)) -> np.ndarray:
    """A smooth frontal look-alike: bright middle and shoulders, two dark lungs, noise."""
    rows, columns = size
    y, x = np.mgrid[0:rows, 0:columns]
    x, y = x / columns - 0.5, y / rows - 0.5
    lungs = sum(np.exp(-((((x - side) / 0.13) ** 2 + (y / 0.3) ** 2) ** 2)) for side in (-0.2, 0.2))
    noise = np.random.default_rng(seed).normal(0, 3, size)
    return np.clip(150 + 40 * y - 90 * lungs + noise, 0, 205).astype(np.uint8)


def test_bars_are_measured_by_their_area():
    pixels = np.pad(chest(), ((0, 0), (60, 0)))
    assert border_share(pixels) == pytest.approx(60 / 540, abs=0.003)
    assert border_share(np.pad(chest(), 40, constant_values=255)) == pytest.approx(
        1 - 400 * 480 / (480 * 560), abs=0.003
    )
    assert border_share(chest()) == 0
    assert border_share(np.zeros((30, 30), np.uint8)) == 0


@pytest.mark.parametrize("scale", [1, 3])
def test_burnt_in_letters_are_found_where_they_are(scale):
    image = Image.fromarray(chest()).resize((480 * scale, 400 * scale))
    assert len(mark_boxes(np.asarray(image))) == 0
    ImageDraw.Draw(image).text((430 * scale, 20 * scale), "R", fill=255, font=ImageFont.load_default(24 * scale))
    (box,) = mark_boxes(np.asarray(image))
    assert 425 * scale < box[0] < 450 * scale
    assert 15 * scale < box[1] < 45 * scale


def test_sixteen_bits_become_eight():
    radiograph = Radiograph(np.array([[0, 4095]], dtype=np.uint16), bits=12)
    assert grey8(radiograph).tolist() == [[0, 255]]


def test_measure_keeps_the_order_of_the_manifest(tmp_path):
    for name, pixels in (("b", chest()), ("a", np.pad(chest(), 50))):
        (tmp_path / "covid").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "covid" / f"{name}.png")
    manifest = read_manifest(tmp_path).take(["covid/b.png", "covid/a.png"])
    seen = []
    facts = measure(manifest, progress=lambda done, total: seen.append((done, total)))
    assert facts.table.index.tolist() == ["covid/b.png", "covid/a.png"]
    assert facts.thumbnails.shape == (2, 32, 32)
    assert facts.table["border"].tolist() == [0, pytest.approx(1 - 192000 / (500 * 580), abs=0.003)]
    assert seen == [(1, 2), (2, 2)]
