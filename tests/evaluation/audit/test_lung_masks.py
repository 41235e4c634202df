"""Which masks a study uses, and that they fit their images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_xray.errors import InputRefused, UsageError
from covid_xray.evaluation.audit.lung_masks import MaskFiles, choose_masks, dice, mask_files, resized
from covid_xray.images.radiograph import Radiograph

BLANK = Radiograph(np.zeros((40, 30), np.uint8))


@dataclass(frozen=True)
class Drawn:
    """Lungs that a network might have found."""

    plausible: bool = True

    def at_size(self, height: int, width: int) -> np.ndarray:
        mask = np.zeros((height, width), bool)
        mask[height // 4 : height // 2] = True
        return mask


def write(path: Path, size: tuple[int, int] = (30, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(size[::-1], np.uint8)
    mask[: size[1] // 2] = 255
    Image.fromarray(mask).convert("1").save(path)
    return path


def test_folders_keep_images_of_one_name_apart(tmp_path):
    write(tmp_path / "hospital" / "a.v2.png")
    found = mask_files(["images/hospital/a.v2.jpg", "images/other/a.v2.jpg"], tmp_path)
    assert list(found) == ["images/hospital/a.v2.jpg"]
    assert list(mask_files(["images/other/a.v2.jpg"], tmp_path / "hospital")) == ["images/other/a.v2.jpg"]


def test_a_mask_is_brought_to_the_size_of_its_picture_and_one_of_another_shape_is_none(tmp_path):
    masks = MaskFiles({"a": write(tmp_path / "a.png", (60, 80)), "b": write(tmp_path / "b.png", (40, 40))})
    found = masks.mask("a", BLANK)
    assert found.shape == (40, 30)
    assert found[:20].all()
    assert not found[20:].any()
    assert masks.mask("b", BLANK) is None
    assert masks.mask("c", BLANK) is None


def test_a_broken_mask_is_none(tmp_path):
    (tmp_path / "a.png").write_text("<!DOCTYPE html>")
    assert MaskFiles({"a": tmp_path / "a.png"}).mask("a", BLANK) is None


def test_one_study_uses_one_kind_of_mask(tmp_path):
    write(tmp_path / "a.png")
    assert choose_masks(["x/a.jpg"], folder=tmp_path).kind == "files"
    # A file for one image only: outlines for some and boxes for the rest would tell the classes apart.
    assert choose_masks(["x/a.jpg", "x/b.jpg"], folder=tmp_path).kind == "box"
    assert choose_masks(["x/a.jpg", "x/b.jpg"], folder=tmp_path, network=True).kind == "network"
    assert choose_masks(["x/a.jpg", "x/b.jpg"], folder=tmp_path, wish="files").kind == "files"
    assert choose_masks(["x/a.jpg"], folder=tmp_path, network=True, wish="box").kind == "box"


def test_implausible_lungs_are_no_mask():
    masks = choose_masks(["a"], network=True, wish="network")
    assert masks.mask("a", BLANK, Drawn()).sum() == 10 * 30
    assert masks.mask("a", BLANK, Drawn(plausible=False)) is None
    assert masks.mask("a", BLANK, None) is None


def test_the_box_leaves_a_border():
    mask = choose_masks(["a"]).mask("a", BLANK)
    assert mask[20, 15]
    assert not mask[[0, -1]].any()
    assert 0.6 < mask.mean() < 0.9


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"wish": "magic"}, UsageError, "auto, files, network, box"),
        ({"wish": "files"}, UsageError, "--masks"),
        ({"wish": "network"}, InputRefused, "lung network"),
    ],
)
def test_impossible_wishes_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        choose_masks(["a"], **options)


def test_masks_of_other_images_are_refused(tmp_path):
    write(tmp_path / "b.png")
    with pytest.raises(InputRefused, match="No mask in"):
        choose_masks(["a"], folder=tmp_path, wish="files")


def test_overlap_and_size():
    left, right = np.zeros((2, 8, 8), bool)
    left[:, :4], right[:, 2:6] = True, True
    assert dice(left, left) == 1
    assert dice(left, right) == 0.5
    assert dice(left & ~left, right & ~right) == 1
    assert resized(left, height=16, width=4).sum() == 16 * 2
