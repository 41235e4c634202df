"""The contact sheet: its size, its order, what it does with a file that is gone."""

import numpy as np
import pytest
from PIL import Image

from covid_xray.data.duplicates.duplicates import Pair
from covid_xray.data.duplicates.pair_sheet import contact_sheet
from covid_xray.errors import UsageError


@pytest.fixture
def paths(tmp_path):
    for grey in (40, 80, 120, 160, 200):
        Image.fromarray(np.full((50, 100), grey, np.uint8)).save(tmp_path / f"{grey}.png")
    return {name: tmp_path / name for name in ("40.png", "80.png", "120.png", "160.png", "200.png", "gone.png")}


def test_pairs_are_side_by_side_and_the_least_alike_come_first(tmp_path, paths):
    pairs = [Pair("120.png", "160.png", "file", 0.0), Pair("40.png", "80.png", "near", 0.1)]
    assert contact_sheet(pairs, paths, tmp_path / "sheet.png", side=100, columns=1) == 2
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    middle = [np.median(sheet[48:98, columns]) for columns in (slice(0, 100), slice(102, 202))]
    assert middle == [40, 80]
    below = sheet[sheet.shape[0] // 2 :]
    assert [np.median(below[48:98, columns]) for columns in (slice(0, 100), slice(102, 202))] == [120, 160]


def test_no_more_pairs_than_asked_for_and_a_missing_file_is_black(tmp_path, paths):
    pairs = [Pair("40.png", "gone.png", "near", 0.2), *[Pair("80.png", "200.png", "near", 0.1)] * 9]
    assert contact_sheet(pairs, paths, tmp_path / "sheet.png", max_pairs=4, columns=2, side=64) == 4
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (2 * (2 * 64 + 2 + 6), 2 * (64 + 48 + 6))


def test_sixteen_bit_pictures_are_shown_in_eight(tmp_path, paths):
    deep = np.full((60, 60), 40_000, np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    paths["deep.png"] = tmp_path / "deep.png"
    contact_sheet([Pair("40.png", "deep.png", "near", 0.1)], paths, tmp_path / "s.png")
    assert np.asarray(Image.open(tmp_path / "s.png"))[60, 226 + 30] == 40_000 >> 8


def test_a_sheet_needs_pairs_and_a_png(tmp_path, paths):
    with pytest.raises(UsageError, match="no pair"):
        contact_sheet([], paths, tmp_path / "sheet.png")
    with pytest.raises(UsageError, match="sheet.jpg"):
        contact_sheet([Pair("40.png", "80.png", "near", 0.1)], paths, tmp_path / "sheet.jpg")
