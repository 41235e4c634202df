"""Every image is decoded once, and only the image that was indexed."""

from pathlib import Path

import numpy as np
import pytest

from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.errors import BadManifest
from covid_xray.images.pixels import load_input
from covid_xray.training import cache
from covid_xray.training.cache import build_cache
from support.datasets import draw_folders


def test_pixels_are_those_of_the_shared_function(tmp_path: Path) -> None:
    manifest = read_manifest(draw_folders(tmp_path / "data", each=4))
    calls: list[tuple[int, int]] = []
    built = build_cache(manifest, folder=tmp_path / "c", height=32, width=24, progress=lambda *a: calls.append(a))
    assert built.pixels.shape == (12, 32, 24)
    assert built.pixels.dtype == np.uint8
    for image in manifest.table["image"]:
        expected = load_input(manifest.path(image), height=32, width=24)
        np.testing.assert_array_equal(built.pixels[built.row[image]], expected)
    assert calls[-1] == (12, 12)


def test_a_second_run_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest(draw_folders(tmp_path / "data", each=2))
    first = build_cache(manifest, folder=tmp_path / "c", height=16, width=16)
    monkeypatch.setattr(cache, "decode", lambda *_: pytest.fail("decoded again"))
    second = build_cache(manifest, folder=tmp_path / "c", height=16, width=16)
    np.testing.assert_array_equal(first.pixels, second.pixels)


def test_another_size_or_other_images_decode_anew(tmp_path: Path) -> None:
    manifest = read_manifest(draw_folders(tmp_path / "data", each=2))
    build_cache(manifest, folder=tmp_path / "c", height=16, width=16)
    assert build_cache(manifest, folder=tmp_path / "c", height=8, width=16).pixels.shape == (6, 8, 16)
    assert build_cache(
        manifest.take(manifest.table["image"][:2].tolist()), folder=tmp_path / "c", height=8, width=16
    ).pixels.shape == (2, 8, 16)


def test_every_changed_file_is_named_before_training(tmp_path: Path) -> None:
    manifest = read_manifest(draw_folders(tmp_path / "data", each=6))
    changed = list(manifest.table["image"])[::5]
    for image in changed:
        data = bytearray(manifest.path(image).read_bytes())
        data[-20] ^= 1
        manifest.path(image).write_bytes(bytes(data))
    gone = manifest.table["image"].iloc[1]
    manifest.path(gone).unlink()
    with pytest.raises(BadManifest) as error:
        build_cache(manifest, folder=tmp_path / "c", height=16, width=16)
    assert all(image in error.value.message for image in [*changed, gone])
    assert error.value.message.startswith(f"{len(changed) + 1} of ")
    with pytest.raises(BadManifest):  # the torn cache is not taken for a good one
        build_cache(manifest, folder=tmp_path / "c", height=16, width=16)
