"""The manifest: whatever a user points at becomes a table and a quarantine that together hold every file found."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covid_xray.data.manifest.manifest import (
    Manifest,
    counts,
    fingerprint,
    quarantine_table,
    read_manifest,
    reasons,
    require_classes,
    select,
    summary,
    write_manifest,
    write_quarantine,
)
from covid_xray.data.manifest.readers import Refusal
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


def test_every_file_found_is_indexed_or_quarantined(tmp_path):
    draw(tmp_path / "covid" / "good.png")
    draw(tmp_path / "normal" / "good.png")
    whole = draw(tmp_path / "normal" / "cut.jpg").read_bytes()
    (tmp_path / "normal" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    table(tmp_path / "covid" / "page.png", "<html><body>404</body></html>")
    table(tmp_path / "covid" / "notes.txt", "hello")
    (tmp_path / "covid" / "empty.png").write_bytes(b"")
    draw(tmp_path / "loose.png")
    table(tmp_path / ".hidden", "not counted")
    manifest = read_manifest(tmp_path)
    assert manifest.found == 7
    assert manifest.table["image"].tolist() == ["covid/good.png", "normal/good.png"]
    codes = dict(zip(manifest.quarantine["image"], manifest.quarantine["code"], strict=True))
    assert set(codes) == {"covid/empty.png", "covid/notes.txt", "covid/page.png", "loose.png", "normal/cut.jpg"}
    assert codes["covid/notes.txt"] == "not-an-image"
    assert codes["covid/page.png"] == "not-an-image"
    assert codes["loose.png"] == "no-label"
    assert all(manifest.quarantine["reason"].str.endswith("."))
    text = summary(manifest)
    assert "found 7 = 2 indexed + 5 quarantined" in text
    assert "covid/empty.png" in text


def test_one_class_is_an_error_only_when_training_asks(tmp_path):
    draw(tmp_path / "covid" / "a.png")
    manifest = read_manifest(tmp_path)
    with pytest.raises(BadManifest, match=r"Too few classes: covid\. At least 2"):
        require_classes(manifest)


def test_unknown_columns_are_kept_and_reported(tmp_path):
    draw(tmp_path / "a.png")
    manifest = read_manifest(table(tmp_path / "t.csv", "Image,Label,Shoe Size,age\na.png,covid,44,NA\n"))
    assert manifest.table.loc[0, "shoe_size"] == "44"
    assert manifest.table.loc[0, "age"] == "NA"
    assert any("shoe_size" in note and "age" not in note for note in manifest.notes)


def test_written_manifest_reads_back_the_same_from_another_folder(kaggle, tmp_path):
    manifest = read_manifest(kaggle)
    path = tmp_path / "elsewhere" / "deep" / "manifest.csv"
    write_manifest(manifest, path)
    write_quarantine(manifest, path.with_name("quarantine.csv"))
    again = read_manifest(path)
    pd.testing.assert_frame_equal(again.table, manifest.table)
    assert fingerprint(again) == fingerprint(manifest)
    assert path.with_name("quarantine.csv").read_text() == "image,code,reason\n"


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
    with pytest.raises(BadManifest, match=r"no image x\.png"):
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
    with pytest.raises(BadManifest, match="leave no image"):
        select(manifest, where=["source=a", "label=normal"])


def test_real_metadata_is_a_manifest(real_data):
    manifest = read_manifest(real_data, check=False)
    assert len(manifest.table) == manifest.found == 5317
    assert counts(manifest, by="source").loc["covid", "all"] == 1601


TABLE = pd.DataFrame(
    [("a", "covid", "x", "train"), ("b", "covid", "y", ""), ("c", "normal", "x", "test")],
    columns=["image", "label", "source", "split"],
)
REFUSED = [Refusal("d", "truncated", "Cut off."), Refusal("e", "truncated", "Cut off early.")]
MANIFEST = Manifest(TABLE, Path(), quarantine_table(REFUSED), ("a note",))


def test_counts():
    by_source = counts(MANIFEST, by="source")
    assert by_source.loc["covid"].to_dict() == {"x": 1, "y": 1, "all": 2}
    assert counts(MANIFEST, by="split").loc["covid", "(none)"] == 1
    assert counts(MANIFEST)["images"].to_dict() == {"covid": 2, "normal": 1}
    assert counts(MANIFEST, by="nowhere")["images"].sum() == 3


def test_reasons_are_grouped_by_code():
    assert reasons(MANIFEST).to_numpy().tolist() == [["truncated", 2, "Cut off.", "d"]]
    assert reasons(Manifest(TABLE, Path(), quarantine_table([]))).empty


def test_summary_is_complete():
    text = summary(MANIFEST)
    for part in ("found 5 = 3 indexed + 2 quarantined", "covid", "quarantined 2 truncated", "a note"):
        assert part in text
