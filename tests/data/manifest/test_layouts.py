"""Folders as people have them: split folders of other names, one level too deep, masks beside images, links."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_xray.data.manifest.layouts import Layout, guess_layout, mask_folders
from covid_xray.data.manifest.manifest import Manifest, read_manifest


def draw(root: Path, *names: str) -> Path:
    for seed, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 20), dtype=np.uint8)).save(path)
    return root


def rows(found: Manifest) -> list[tuple[str, ...]]:
    names = [name for name in ("image", "label", "split") if name in found.table]
    return sorted(found.table[names].itertuples(index=False, name=None))


def test_split_folders_of_other_names(tmp_path: Path) -> None:
    draw(tmp_path, "Training/A/1.png", "validation/A/2.png", "Testing/B/3.png")
    assert rows(read_manifest(tmp_path)) == [
        ("Testing/B/3.png", "B", "test"),
        ("Training/A/1.png", "A", "train"),
        ("validation/A/2.png", "A", "val"),
    ]


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (["x/A/1.png", "x/B/2.png"], Layout("x/")),
        (["x/y/train/A/1.png", "x/y/test/B/2.png", "x/readme.txt"], Layout("x/y/", parts=True)),
        (["covid/p1/1.png", "covid/p2/2.png"], Layout()),  # patients of the only class
        (["x/images/1.png", "x/masks/1.png"], Layout()),
        (["x/1.png"], Layout()),
        (["A/1.png", "B/2.png"], Layout()),
        (["x/A/1.png", "loose.png"], Layout()),
        (["train/A/1.png"], Layout(parts=True)),
    ],
)
def test_guesses(names: list[str], layout: Layout) -> None:
    assert guess_layout(names) == layout


def test_one_level_too_deep_is_read_and_said(tmp_path: Path) -> None:
    draw(tmp_path, "archive/set/A/1.png", "archive/set/B/2.png")
    found = read_manifest(tmp_path)
    assert rows(found) == [("A/1.png", "A"), ("B/2.png", "B")]
    assert found.root == tmp_path / "archive" / "set"
    assert "read as archive/set/class/name" in found.notes


def test_masks_beside_images_are_left_out_and_counted(tmp_path: Path) -> None:
    draw(tmp_path, *(f"{name}/{kind}/{name}-1.png" for name in "AB" for kind in ("images", "masks")))
    found = read_manifest(tmp_path)
    assert rows(found) == [("A/images/A-1.png", "A"), ("B/images/B-1.png", "B")]
    assert found.quarantine["code"].tolist() == ["mask", "mask"]
    assert found.found == 4
    assert mask_folders(["A/masks/1.png", "B/lung masks/1.png", "B/images/1.png"]) == {"B/lung masks"}


def test_equal_names_in_train_and_test_are_told_apart_by_the_name_of_the_table(tmp_path: Path) -> None:
    draw(tmp_path, "train/a.png", "test/a.png", "train/b.png", "test/b.png")
    (tmp_path / "train.csv").write_text("Image,Label\na.png,x\nb,y\n")
    assert rows(read_manifest(tmp_path)) == [("train/a.png", "x"), ("train/b.png", "y")]
    (tmp_path / "all.csv").write_text("image,label,split\na.png,x,test\nb.png,y,train\n")
    assert [row[0] for row in rows(read_manifest(tmp_path / "all.csv"))] == ["test/a.png", "train/b.png"]


def test_links_to_folders_are_followed_wherever_they_lead(tmp_path: Path) -> None:
    draw(tmp_path / "elsewhere", "1.png")
    (tmp_path / "set" / "A").mkdir(parents=True)
    for name in ("B", "A/more"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "A" / "loop").symlink_to(tmp_path / "set")
    assert rows(read_manifest(tmp_path / "set")) == [("A/more/1.png", "A"), ("B/1.png", "B")]


def test_dicom_by_other_names(tmp_path: Path) -> None:
    from support.drawing import dicom, picture

    for name in ("A/1.ima", "A/IM0001", "B/1.2.840.1", "B/x.dcm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(dicom(picture(bits=12)))
    (tmp_path / "A" / "DICOMDIR").write_bytes(b"")
    found = read_manifest(tmp_path)
    assert len(found.table) == 4
    assert found.quarantine["image"].tolist() == ["A/DICOMDIR"]
