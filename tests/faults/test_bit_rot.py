"""Fifty flipped bits in a thousand images are all named before the first epoch."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.errors import BadManifest
from covid_xray.training.cache import build_cache


def test_every_rotten_image_is_named(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    for number in range(1000):
        path = tmp_path / "data" / ("covid" if number % 2 else "normal") / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (16, 16), np.uint8)).save(path, quality=90)
    manifest = read_manifest(tmp_path / "data")
    rotten = draw.choice(manifest.table["image"], 50, replace=False)
    for image in rotten:
        data = bytearray(manifest.path(image).read_bytes())
        data[draw.integers(len(data))] ^= 1 << draw.integers(8)
        manifest.path(image).write_bytes(data)
    with pytest.raises(BadManifest) as error:
        build_cache(manifest, folder=tmp_path / "cache", height=16, width=16)
    named = {line.split(":")[0] for line in error.value.message.splitlines()[1:]}
    assert named == set(rotten)
    assert len((tmp_path / "cache" / "refused.txt").read_text().splitlines()) == 50
    with pytest.raises(BadManifest):  # and again, for the torn cache is not taken for a good one
        build_cache(manifest, folder=tmp_path / "cache", height=16, width=16)


def test_rot_in_the_cache_is_decoded_anew(tmp_path: Path) -> None:
    path = tmp_path / "data" / "covid" / "a.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(np.full((16, 16), 200, np.uint8)).save(path)
    manifest = read_manifest(tmp_path / "data")
    build_cache(manifest, folder=tmp_path / "cache", height=16, width=16)
    stored = tmp_path / "cache" / "pixels.npy"
    data = bytearray(stored.read_bytes())
    data[-1] ^= 64
    stored.write_bytes(data)
    assert set(np.unique(build_cache(manifest, folder=tmp_path / "cache", height=16, width=16).pixels)) == {200}
