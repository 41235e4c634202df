"""Folders and CSV files: every layout that people have becomes rows, and what contradicts itself an error."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_xray.data.manifest.manifest import read_manifest
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


def test_split_folders_fill_the_split_column(tmp_path):
    for name in ("train/covid/1.png", "train/normal/1.png", "valid/covid/2.png", "test/normal/3.png"):
        draw(tmp_path / name)
    manifest = read_manifest(tmp_path)
    assert dict(zip(manifest.table["image"], manifest.table["split"], strict=True)) == {
        "test/normal/3.png": "test",
        "train/covid/1.png": "train",
        "train/normal/1.png": "train",
        "valid/covid/2.png": "val",
    }
    assert manifest.classes == ("covid", "normal")


def test_kaggle_layout_finds_images_in_class_folders(kaggle):
    manifest = read_manifest(kaggle)
    assert manifest.table["image"].tolist() == ["train/covid/a.png", "train/normal/b.jpg", "train/virus/c.jpeg"]
    assert manifest.table["name_in_csv"].tolist() == ["a.png", "b.jpg", "c.jpeg"]
    assert manifest.path("train/covid/a.png").is_file()
    by_folder = read_manifest(kaggle, images=kaggle.parent / "train")
    assert by_folder.table["image"].tolist() == ["covid/a.png", "normal/b.jpg", "virus/c.jpeg"]


def test_a_folder_with_a_csv_is_read_by_it(kaggle):
    assert len(read_manifest(kaggle.parent).table) == 3


def test_names_without_extension(tmp_path):
    draw(tmp_path / "images" / "p.1.png")
    draw(tmp_path / "images" / "q.jpg")
    manifest = read_manifest(table(tmp_path / "t.csv", "IMAGE,label\np.1,covid\nq,normal\n"))
    assert manifest.table["image"].tolist() == ["images/p.1.png", "images/q.jpg"]


def test_two_files_of_one_name_are_quarantined_unless_the_class_folder_settles_it(tmp_path):
    for name in ("a.png", "a.jpg", "covid/b.png", "normal/b.png", "x/c.png", "y/c.png"):
        draw(tmp_path / name)
    manifest = read_manifest(table(tmp_path / "t.csv", "Image,Label\na,covid\nb.png,covid\nc.png,covid\n"))
    assert manifest.table["image"].tolist() == ["covid/b.png"]
    refused = manifest.quarantine.set_index("image")
    assert refused["code"].to_dict() == {"a": "ambiguous-file", "c.png": "ambiguous-file"}
    assert "x/c.png and y/c.png" in refused.loc["c.png", "reason"]


def test_missing_files_and_labels_are_quarantined(tmp_path):
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.png")
    manifest = read_manifest(table(tmp_path / "t.csv", "Image,Label\na.png,covid\nb.png,\ngone.png,covid\n,covid\n"))
    assert manifest.found == 4
    assert manifest.quarantine["code"].tolist() == ["no-label", "missing-file", "no-image"]


def test_rows_that_agree_are_one_row_and_rows_that_disagree_an_error(tmp_path):
    draw(tmp_path / "a.png")
    twice = read_manifest(table(tmp_path / "t.csv", "Image,Label\na.png,covid\na.png,covid\n"))
    assert len(twice.table) == twice.found == 1
    assert any("repeat an image" in note for note in twice.notes)
    with pytest.raises(BadManifest, match=r"a\.png twice, with label 'covid' and 'normal'"):
        read_manifest(table(tmp_path / "t.csv", "Image,Label\na.png,covid\na.png,normal\n"))
    with pytest.raises(BadManifest, match=r"a and a\.png in t\.csv name one file"):
        read_manifest(table(tmp_path / "t.csv", "Image,Label\na,covid\na.png,normal\n"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/etc/a.png", "absolute"),
        ("C:\\x\\a.png", "absolute"),
        ("\\\\server\\a.png", "absolute"),
        ("../a.png", "leaves"),
        ("x/../../a.png", "leaves"),
        ("..\\a.png", "leaves"),
    ],
)
def test_paths_must_stay_inside(tmp_path, name, said):
    draw(tmp_path / "a.png")
    folder = tmp_path / "sub"
    with pytest.raises(BadManifest, match=said):
        read_manifest(table(folder / "t.csv", f"Image,Label\n{name},covid\n"))


def test_bad_folders_are_refused_with_the_problem(tmp_path):
    with pytest.raises(BadManifest, match="No such file or folder"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(BadManifest, match="holds no file"):
        read_manifest(tmp_path)
    draw(tmp_path / "a.png")
    with pytest.raises(BadManifest, match="None of the 1 files"):
        read_manifest(tmp_path)
    table(tmp_path / "covid" / "b.png", "not an image")
    with pytest.raises(BadManifest, match=r"for example a\.png: no-label"):
        read_manifest(tmp_path)


def test_folder_that_links_to_its_parent_ends(tmp_path):
    draw(tmp_path / "covid" / "a.png")
    (tmp_path / "covid" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert read_manifest(tmp_path).table["image"].tolist() == ["covid/a.png"]


def test_names_in_another_encoding_are_quarantined_and_can_be_written(tmp_path):
    import os

    from covid_xray.data.manifest.manifest import write_quarantine

    draw(tmp_path / "covid" / "a.png")
    odd = os.fsencode(tmp_path / "covid") + b"/caf\xe9.png"
    try:
        (tmp_path / "covid" / "a.png").rename(os.fsdecode(odd))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    draw(tmp_path / "covid" / "b.png")
    manifest = read_manifest(tmp_path)
    assert manifest.found == 2
    assert manifest.quarantine["code"].tolist() == ["bad-name"]
    write_quarantine(manifest, tmp_path / "quarantine.csv")
    assert "caf" in (tmp_path / "quarantine.csv").read_text(encoding="utf-8")


def test_folder_that_cannot_be_listed_is_said(tmp_path, monkeypatch):
    import os

    draw(tmp_path / "covid" / "a.png")
    real = os.scandir

    def closed(folder):
        if str(folder).endswith("covid"):
            raise PermissionError(13, "denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(BadManifest, match="cannot be listed"):
        read_manifest(tmp_path)


def test_images_that_the_table_of_a_folder_does_not_name_are_noted(kaggle):
    assert not [note for note in read_manifest(kaggle.parent).notes if "does not list" in note]
    draw(kaggle.parent / "train" / "covid" / "new.png")
    (note,) = [note for note in read_manifest(kaggle.parent).notes if "does not list" in note]
    assert "train.csv, which does not list 1 of its images" in note
