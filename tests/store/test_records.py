"""Names and texts that every database takes; how suspicious a study is; class maps that fit into a row."""

import numpy as np
import pytest

from covid_xray.store.records import clean_name, clean_text, new_id, pack_maps, suspicion, unpack_maps


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("chest.png", "chest.png"),
        ("", "image"),
        ("\0\1", "image"),
        ("a\r\nb\tc", "a  b c"),
        ("\ud800x", "?x"),
        ("\u202egnp.exe", "gnp.exe"),
        ("Ünïcode 胸.png", "Ünïcode 胸.png"),
        ("x" * 999, "x" * 200),
    ],
)
def test_names(name: str, clean: str) -> None:
    assert clean_name(name) == clean


def test_notes_keep_their_lines() -> None:
    assert clean_text(" a\nb\tc\0d ") == "a\nb\tc d"


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ({"covid": 0.7, "normal": 0.2, "virus": 0.1}, 0.8),
        ({"covid": 0.7, "flu": 0.3}, 0.7),
        ({"covid": None, "normal": 0.2}, 1.0),
        ({}, 1.0),
    ],
)
def test_suspicion(probabilities: dict, expected: float) -> None:
    assert suspicion(probabilities) == pytest.approx(expected)


def test_class_maps_keep_256_levels() -> None:
    maps = np.random.default_rng(0).gamma(1, 5, (3, 14, 14)).astype(np.float32)
    maps[1] = 0
    packed = pack_maps(maps)
    again = unpack_maps(packed["class_maps"], packed["class_maps_about"])
    assert again.dtype == np.float32
    assert np.abs(again - maps).max() <= maps.max() / 255 / 2 + 1e-6
    assert not again[1].any()
    assert again.max() == pytest.approx(maps.max())


def test_class_maps_without_numbers_are_no_evidence() -> None:
    maps = np.ones((2, 3, 3), np.float32)
    maps[0, 1, 1] = np.nan
    packed = pack_maps(maps)
    again = unpack_maps(packed["class_maps"], packed["class_maps_about"])
    assert not again[0].any()
    assert (again[1] == 1).all()
    with pytest.raises(ValueError):
        pack_maps(None)


def test_ids_are_long_and_never_the_same() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(identity) for identity in ids} == {32}
