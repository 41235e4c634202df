"""The manifest: whatever a user points at becomes a table and a quarantine that together hold every file found."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covid_xray.data.manifest import (
    fingerprint,
    read_manifest,
    require_classes,
    select,
    write_manifest,
    write_quarantine,
)
from covid_xray.data.summary import counts, summary
from covid_xray.errors import BadManifest, UsageError


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


def test_class_folders_hashes_and_facts(tmp_path):
    path = draw(tmp_path / "covid" / "deeper" / "x.png")
    draw(tmp_path / "normal" / "y.jpg", seed=1)
    row = read_manifest(tmp_path).table.iloc[0]
    assert row["image"] == "covid/deeper/x.png"
    assert row["label"] == "covid"
    assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (row["file_format"], row["file_width"], row["file_height"]) == ("PNG", "20", "24")
    assert row["file_bytes"] == str(path.stat().st_size)


def test_classes_do_not_depend_on_the_order_of_the_file_system(tmp_path, monkeypatch):
    for name in ("b", "a", "C", "é"):
        draw(tmp_path / name / "1.png")
    listed = read_manifest(tmp_path, check=False)
    import os

    real = os.scandir

    class Reversed:
        def __init__(self, folder):
            self.entries = sorted(real(folder), key=lambda e: e.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(os, "scandir", Reversed)
    turned = read_manifest(tmp_path, check=False)
    assert listed.classes == turned.classes == ("C", "a", "b", "é")
    assert listed.table.equals(turned.table)


def test_same_picture_in_two_lossless_formats_has_one_pixel_hash(tmp_path):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for name in ("covid/a.png", "normal/b.png"):
        (tmp_path / name).parent.mkdir()
    Image.fromarray(pixels).save(tmp_path / "covid/a.png", compress_level=0)
    Image.fromarray(pixels).convert("RGB").save(tmp_path / "normal/b.png", compress_level=9)
    found = read_manifest(tmp_path).table
    assert found["sha256"].nunique() == 2
    assert found["pixels_sha256"].nunique() == 1


def test_every_file_found_is_indexed_or_quarantined(tmp_path):
    draw(tmp_path / "covid" / "good.png")
    whole = draw(tmp_path / "normal" / "cut.jpg").read_bytes()
    (tmp_path / "normal" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    table(tmp_path / "covid" / "page.png", "<html><body>404</body></html>")
    table(tmp_path / "covid" / "notes.txt", "hello")
    (tmp_path / "covid" / "empty.png").write_bytes(b"")
    draw(tmp_path / "loose.png")
    table(tmp_path / ".hidden", "not counted")
    manifest = read_manifest(tmp_path)
    assert manifest.found == 6
    assert manifest.table["image"].tolist() == ["covid/good.png"]
    codes = dict(zip(manifest.quarantine["image"], manifest.quarantine["code"], strict=True))
    assert set(codes) == {"covid/empty.png", "covid/notes.txt", "covid/page.png", "loose.png", "normal/cut.jpg"}
    assert codes["covid/notes.txt"] == "not-an-image"
    assert codes["covid/page.png"] == "not-an-image"
    assert codes["loose.png"] == "no-label"
    assert all(manifest.quarantine["reason"].str.contains("Received"))
    text = summary(manifest)
    assert "found 6 = 1 indexed + 5 quarantined" in text
    assert "covid/empty.png" in text


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
    manifest = read_manifest(table(tmp_path / "t.csv", "Image,Label\na,covid\nb.png,covid\nc.png,normal\n"))
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
    assert any("repeated" in note for note in twice.notes)
    with pytest.raises(BadManifest, match=r"a\.png with label 'covid' and 'normal'"):
        read_manifest(table(tmp_path / "t.csv", "Image,Label\na.png,covid\na.png,normal\n"))
    with pytest.raises(BadManifest, match=r"a and a\.png, one file"):
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


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "header"),
        (b"\n\n", "header"),
        (b"Image,Label\n", "only a header"),
        (b"a.png,covid\nb.png,normal\n", "header with image and label"),
        (b"Image;Label\na.png;covid\n", "semicolons"),
        (b"Image\tLabel\na.png\tcovid\n", "tabs"),
        ("Image,Label\né.png,covid\n".encode("latin-1"), "UTF-8"),
        ("Image,Label\na.png,covid\n".encode("utf-16"), "UTF-16"),
        (b"Image,Label\na.png\n", "2 fields in line 2"),
        (b"Image,Label\na.png,covid,3\n", "2 fields in line 2"),
        (b'Image,Label\n"a.png,covid\n', "breaks off"),
        (b"Image,image,Label\na.png,b.png,covid\n", "'image' twice"),
        (b"Image,Label,Split\na.png,covid,holdout\n", "'holdout'"),
    ],
)
def test_bad_csv_says_what_was_expected(tmp_path, data, said):
    draw(tmp_path / "a.png")
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(BadManifest, match=said):
        read_manifest(tmp_path / "t.csv")


def test_bad_folders_say_what_was_expected(tmp_path):
    with pytest.raises(BadManifest, match="does not exist"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(BadManifest, match="holds no file"):
        read_manifest(tmp_path)
    draw(tmp_path / "a.png")
    with pytest.raises(BadManifest, match="none of them an image in a class folder"):
        read_manifest(tmp_path)
    table(tmp_path / "covid" / "b.png", "not an image")
    with pytest.raises(BadManifest, match=r"for example a\.png: no-label"):
        read_manifest(tmp_path)


def test_one_class_is_an_error_only_when_training_asks(tmp_path):
    draw(tmp_path / "covid" / "a.png")
    manifest = read_manifest(tmp_path)
    with pytest.raises(BadManifest, match=r"at least 2 classes\. Received: covid"):
        require_classes(manifest)


def test_patient_ids_are_text(tmp_path):
    for name in "abcdef":
        draw(tmp_path / f"{name}.png")
    lines = "Image,Label,Patient ID\na.png,x,007\nb.png,x,12.0\nc.png,y,12\nd.png,y,p.0\ne.png,y,unknown\nf.png,y,\n"
    ids = read_manifest(table(tmp_path / "t.csv", lines)).table["patient_id"].tolist()
    assert ids == ["007", "12", "12", "p.0", "", ""]


def test_unknown_columns_are_kept_and_reported(tmp_path):
    draw(tmp_path / "a.png")
    manifest = read_manifest(table(tmp_path / "t.csv", "Image,Label,Shoe Size,age\na.png,covid,44,NA\n"))
    assert manifest.table.loc[0, "shoe_size"] == "44"
    assert manifest.table.loc[0, "age"] == "NA"
    assert any("shoe_size" in note and "age" not in note for note in manifest.notes)


def test_byte_order_mark_and_windows_lines(tmp_path):
    draw(tmp_path / "a.png")
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfImage,Label\r\na.png,covid\r\n")
    assert read_manifest(tmp_path / "t.csv").table["label"].tolist() == ["covid"]


def test_written_manifest_reads_back_the_same_from_another_folder(kaggle, tmp_path):
    manifest = read_manifest(kaggle)
    path = tmp_path / "elsewhere" / "deep" / "manifest.csv"
    write_manifest(manifest, path)
    write_quarantine(manifest, path.with_name("quarantine.csv"))
    again = read_manifest(path)
    pd.testing.assert_frame_equal(again.table, manifest.table)
    assert fingerprint(again) == fingerprint(manifest)
    assert path.with_name("quarantine.csv").read_text() == "image,code,reason\n"


def test_a_byte_changed_after_indexing_is_an_error(kaggle, tmp_path):
    path = tmp_path / "manifest.csv"
    write_manifest(read_manifest(kaggle), path)
    draw(tmp_path / "train" / "covid" / "a.png", seed=99)
    with pytest.raises(BadManifest, match=r"1 changed since, the first is train/covid/a\.png") as caught:
        read_manifest(path)
    assert caught.value.code == "changed"
    (tmp_path / "train" / "covid" / "a.png").write_bytes(b"rot")
    with pytest.raises(BadManifest, match="changed since"):
        read_manifest(path)


def test_fingerprint_changes_with_label_and_bytes_but_not_with_order(kaggle):
    manifest = read_manifest(kaggle)
    turned = manifest.take(manifest.table["image"].tolist()[::-1])
    assert turned.table["image"].tolist() == manifest.table["image"].tolist()[::-1]
    assert fingerprint(turned) == fingerprint(manifest) == fingerprint(read_manifest(kaggle, check=False))
    relabelled = select(manifest, labels={"covid": "covid", "normal": "virus", "virus": "normal"})
    assert fingerprint(relabelled) != fingerprint(manifest)


def test_take_by_mask_and_by_name(kaggle):
    manifest = read_manifest(kaggle, check=False)
    assert manifest.take(manifest.table["label"] == "covid").table["image"].tolist() == ["train/covid/a.png"]
    assert len(manifest.take(np.array([True, False, True])).table) == 2
    with pytest.raises(BadManifest, match=r"x\.png, which is not in it"):
        manifest.take(["x.png"])


def test_labels_outside_the_asked_classes_are_quarantined(kaggle):
    manifest = read_manifest(kaggle, check=False, classes=("covid", "normal"))
    assert manifest.classes == ("covid", "normal")
    assert manifest.quarantine["code"].tolist() == ["unknown-label"]
    assert manifest.found == 3


def test_select(tmp_path):
    rows = [("covid", "a"), ("covid", "b"), ("virus", "a"), ("virus", "b"), ("normal", "b")]
    for n in range(len(rows)):
        draw(tmp_path / f"{n}.png")
    text = "image,label,source\n" + "".join(f"{n}.png,{la},{so}\n" for n, (la, so) in enumerate(rows))
    manifest = read_manifest(table(tmp_path / "t.csv", text), check=False)

    def kept(**filters):
        found = select(manifest, **filters).table
        return [f"{la}{im[0]}" for la, im in zip(found["label"], found["image"], strict=True)]

    assert kept(sources=["a"]) == ["covid0", "virus2"]
    assert kept(where=["source=a,b", "label!=virus"]) == ["covid0", "covid1", "normal4"]
    assert kept(labels=["covid"]) == ["covid0", "covid1"]
    assert kept(labels={"a:covid": "covid", "b:virus": "pneumonia"}) == ["covid0", "pneumonia3"]
    for bad in ("source", "=x", "colour=red", "source=c"):
        with pytest.raises(UsageError):
            select(manifest, where=[bad])
    with pytest.raises(UsageError, match="'flu'"):
        select(manifest, labels=["flu"])
    with pytest.raises(BadManifest, match="leave some"):
        select(manifest, where=["source=a", "label=normal"])


def test_progress_counts_every_file(kaggle):
    seen: list[tuple[int, int]] = []
    read_manifest(kaggle, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_folder_that_links_to_its_parent_ends(tmp_path):
    draw(tmp_path / "covid" / "a.png")
    (tmp_path / "covid" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert read_manifest(tmp_path).table["image"].tolist() == ["covid/a.png"]


def test_real_metadata_is_a_manifest(real_data):
    manifest = read_manifest(real_data, check=False)
    assert len(manifest.table) == manifest.found == 5317
    assert counts(manifest, by="source").loc["covid", "all"] == 1601
