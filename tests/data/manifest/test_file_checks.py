"""Checking: every file is decoded and hashed once, and a file that changed since is noticed."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_xray.data.manifest.manifest import read_manifest, write_manifest
from covid_xray.errors import BadManifest


def draw(path: Path, *, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 20), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def table(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    for seed, name in enumerate(("covid/a.png", "normal/b.jpg", "virus/c.jpeg")):
        draw(tmp_path / "train" / name, seed=seed)
    return table(tmp_path / "train.csv", "Image,Label\na.png,covid\nb.jpg,normal\nc.jpeg,virus\n")


def test_same_picture_in_two_lossless_formats_has_one_pixel_hash(tmp_path):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for name in ("covid/a.png", "normal/b.png"):
        (tmp_path / name).parent.mkdir()
    Image.fromarray(pixels).save(tmp_path / "covid/a.png", compress_level=0)
    Image.fromarray(pixels).convert("RGB").save(tmp_path / "normal/b.png", compress_level=9)
    found = read_manifest(tmp_path).table
    assert found["sha256"].nunique() == 2
    assert found["pixels_sha256"].nunique() == 1


def test_class_folders_hashes_and_facts(tmp_path):
    path = draw(tmp_path / "covid" / "deeper" / "x.png")
    draw(tmp_path / "normal" / "y.jpg", seed=1)
    row = read_manifest(tmp_path).table.iloc[0]
    assert row["image"] == "covid/deeper/x.png"
    assert row["label"] == "covid"
    assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (row["file_format"], row["file_width"], row["file_height"]) == ("PNG", "20", "24")
    assert row["file_bytes"] == str(path.stat().st_size)


def test_progress_counts_every_file(kaggle):
    seen: list[tuple[int, int]] = []
    read_manifest(kaggle, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_byte_changed_after_indexing_is_an_error(kaggle, tmp_path):
    path = tmp_path / "manifest.csv"
    write_manifest(read_manifest(kaggle), path)
    draw(tmp_path / "train" / "covid" / "a.png", seed=99)
    with pytest.raises(BadManifest, match=r"1 files changed since .*, first train/covid/a\.png") as caught:
        read_manifest(path)
    assert caught.value.code == "changed"
    (tmp_path / "train" / "covid" / "a.png").write_bytes(b"rot")
    with pytest.raises(BadManifest, match="changed since the table"):
        read_manifest(path)


@pytest.mark.timeout(120)
def test_pipes_and_dead_links_are_quarantined_not_waited_for(tmp_path):
    import os

    draw(tmp_path / "covid" / "a.png")
    os.mkfifo(tmp_path / "covid" / "pipe.png")
    (tmp_path / "covid" / "dead.png").symlink_to(tmp_path / "gone.png")
    manifest = read_manifest(tmp_path)
    assert manifest.table["image"].tolist() == ["covid/a.png"]
    assert set(manifest.quarantine["code"]) == {"unreadable-file"}
    assert manifest.found == 3


def test_the_view_in_the_file_fills_the_gaps_of_the_table(tmp_path):
    from support.drawing import dicom

    for name, view in (("a", "PA"), ("b", "AP")):
        data = dicom(np.full((20, 20), 90, np.uint8), bits=8, ViewPosition=view)
        (tmp_path / f"{name}.dcm").write_bytes(data)
    text = "image,label,view\na.dcm,covid,\nb.dcm,covid,LL\n"
    found = read_manifest(table(tmp_path / "t.csv", text)).table
    assert found["view"].tolist() == ["PA", "LL"]
    assert found["file_format"].tolist() == ["DICOM", "DICOM"]
