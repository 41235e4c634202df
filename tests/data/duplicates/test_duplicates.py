"""Duplicates from files to groups: kinds, alterations, refused files, tables, and the real radiographs."""

from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from covid_xray.data.duplicates.duplicates import (
    Pair,
    find_duplicates,
    find_pairs,
    group_pairs,
    read_duplicates,
    write_duplicates,
)
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.data.split.groups import with_duplicates
from covid_xray.errors import BadManifest
from support import drawing, films


def write(folder: Path, **pictures) -> dict[str, Path]:
    for name, content in pictures.items():
        path = folder / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            cv2.imwrite(str(path.with_suffix(".png")), content)
            path.with_suffix(".png").rename(path)
    return {name: folder / name for name in pictures}


@pytest.fixture(scope="module")
def clinic(tmp_path_factory) -> dict[str, Path]:
    """A film with every alteration, six others of whom two show the same bones, and a file that is no image."""
    film = films.film(1)
    copies = {way: change(film) for way, change in films.ALTERED.items()}
    others = {f"other {n}": films.film(50 + n, chest=n // 2) for n in range(6)}
    return write(tmp_path_factory.mktemp("clinic"), film=film, notes=b"no picture", **copies, **others)


@pytest.fixture(scope="module")
def clinic_pairs(clinic) -> list[Pair]:
    return find_pairs(clinic)


def test_every_alteration_is_paired_with_the_film(clinic_pairs):
    partners = {pair.second if pair.first == "film" else pair.first for pair in clinic_pairs if "film" in pair_of(pair)}
    assert partners == set(films.ALTERED)


def test_the_alterations_are_paired_with_each_other(clinic_pairs):
    expected = {frozenset(names) for names in combinations(("film", *films.ALTERED), 2)}
    assert {frozenset(pair_of(pair)) for pair in clinic_pairs} == expected


def test_pairs_are_sorted_named_in_order_and_measured(clinic_pairs):
    assert clinic_pairs == sorted(clinic_pairs)
    assert all(pair.first < pair.second for pair in clinic_pairs)
    assert all(pair.kind == "near" and 0 <= pair.distance < 0.2 for pair in clinic_pairs)


def test_an_unreadable_file_is_reported_and_the_others_are_compared(clinic):
    refused = []
    paths = {name: clinic[name] for name in ("notes", "film", "gamma 1.4")}
    assert [pair_of(pair) for pair in find_pairs(paths, on_refused=refused.append)] == [("film", "gamma 1.4")]
    assert [(r.image, r.code) for r in refused] == [("notes", "not-an-image")]


def test_one_thread_or_three_the_result_is_the_same(clinic, clinic_pairs):
    some = dict(list(clinic.items())[:6])
    assert find_pairs(some, workers=1) == find_pairs(some, workers=3)
    assert set(find_pairs(some)) <= set(clinic_pairs)


def test_the_same_bytes_are_a_file_and_the_same_pixels_in_another_format_are_pixels(tmp_path):
    film = films.film(2)
    dicom = drawing.dicom(film, bits=8)
    paths = write(tmp_path, a=film, b=drawing.png(film), c=drawing.png(film), d=dicom, e=films.relit(film, gamma=0.8))
    kinds = {pair_of(pair): (pair.kind, pair.distance > 0) for pair in find_pairs(paths)}
    assert kinds.pop(("b", "c")) == ("file", False)
    for pair in (("a", "b"), ("a", "c"), ("a", "d"), ("b", "d"), ("c", "d")):
        assert kinds.pop(pair) == ("pixels", False)
    # What is near one of them is near all of them.
    assert kinds == {(name, "e"): ("near", True) for name in "abcd"}


def test_blank_pictures_of_the_same_pixels_are_found_too(tmp_path):
    blank = np.full((60, 60), 8, np.uint8)
    paths = write(tmp_path, a=blank, b=drawing.png(blank, optimize=True, compress_level=9), c=blank[:50])
    assert [(pair_of(pair), pair.kind) for pair in find_pairs(paths)] == [(("a", "b"), "pixels")]


def test_nothing_or_one_image_has_no_duplicates(tmp_path):
    assert find_pairs({}) == []
    one = write(tmp_path, a=films.film(1))
    assert find_pairs(one) == []
    table = find_duplicates(one)
    assert table.empty
    assert list(table.columns) == ["group", "image", "kind", "distance"]


def test_groups_are_connected_components_with_each_images_best_pair():
    pairs = [Pair("a", "b", "near", 0.1), Pair("b", "c", "pixels", 0.0), Pair("x", "y", "file", 0.0)]
    table = group_pairs([*pairs, Pair("c", "d", "near", 0.2)])
    assert table.to_dict("list") == {
        "group": ["d0001"] * 4 + ["d0002"] * 2,
        "image": ["a", "b", "c", "d", "x", "y"],
        "kind": ["near", "pixels", "pixels", "near", "file", "file"],
        "distance": [0.1, 0.0, 0.0, 0.2, 0.0, 0.0],
    }


def test_the_table_is_read_as_it_was_written_and_joins_the_manifest(tmp_path):
    table = group_pairs([Pair("1.png", "2.png", "near", 0.0317), Pair("4.png", "5.png", "file", 0.0)])
    write_duplicates(table, tmp_path / "duplicates.csv")
    again = read_duplicates(tmp_path / "duplicates.csv")
    pd.testing.assert_frame_equal(again, table, check_dtype=False)
    images = pd.DataFrame({"image": ["2.png", "3.png", "1.png"], "label": "normal"})
    manifest = Manifest(images, tmp_path, pd.DataFrame())
    assert with_duplicates(manifest, again).table["group"].tolist() == ["d0001", "", "d0001"]
    assert with_duplicates(manifest, group_pairs([])).table["group"].tolist() == ["", "", ""]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image,label\na,b\n", "column 'group'"),
        ("group,image,kind,distance\nd1,a,near,far\n", "Line 2"),
        ("group,image,kind,distance\nd1,a,near,0.1\nd2,a,near,0.1\n", "Line 3"),
        ("group,image,kind,distance\nd1,a,similar,0.1\n", "Line 2"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, text, says):
    path = tmp_path / "duplicates.csv"
    path.write_text(text)
    with pytest.raises(BadManifest, match=says):
        read_duplicates(path)
    with pytest.raises(BadManifest):
        read_duplicates(tmp_path / "gone.csv")


@pytest.mark.realdata
def test_the_darkcovidnet_copies_of_ieee8023_and_no_two_children(real_data):
    """Files of one name in both sets are copies; a random sample of children are different children."""
    table = pd.read_csv(real_data / "metadata.csv", dtype=str).fillna("")
    by_source = {source: rows.set_index("original_name")["image"] for source, rows in table.groupby("source")}
    shared = sorted(set(by_source["darkcovidnet"].index) & set(by_source["ieee8023"].index))[:25]
    copies = [(by_source["darkcovidnet"][name], by_source["ieee8023"][name]) for name in shared]
    children = table[table["source"] == "kermany"].sample(60, random_state=0)["image"].tolist()
    images = [*children, *(image for pair in copies for image in pair)]
    found = {pair_of(pair) for pair in find_pairs({image: real_data / image for image in images})}
    assert {tuple(sorted(pair)) for pair in copies} <= found
    assert not [pair for pair in found if "kermany" in pair[0]]


def pair_of(pair: Pair) -> tuple[str, str]:
    return pair.first, pair.second
