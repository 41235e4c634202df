"""Fingerprints: what they survive, the mirror trick, the album on disk, files that are refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from covid_xray.data.duplicates.fingerprints import POINTS, SIDE, fingerprint, mirrored, one_thread_each, open_album
from covid_xray.images.radiograph import Radiograph
from support import films


def test_the_small_picture_keeps_its_shape_and_uses_the_whole_range():
    dim = (films.film(1, height=500, width=300) // 4 + 90).astype(np.uint8)
    found = fingerprint(Radiograph(dim))
    assert found.picture.shape == (SIDE, round(SIDE * 300 / 500))
    assert found.picture.min() == 0
    assert found.picture.max() == 255
    assert 100 < len(found.points) <= POINTS
    assert found.descriptors.shape == (len(found.points), 128)


def test_twelve_bits_look_like_eight():
    film = films.film(1)
    eight, twelve = fingerprint(Radiograph(film)), fingerprint(Radiograph(film.astype(np.uint16) * 16, bits=12))
    assert np.abs(eight.picture.astype(int) - twelve.picture).max() <= 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 7), (40, 40)])
def test_pictures_without_detail_have_no_keypoints(shape):
    found = fingerprint(Radiograph(np.full(shape, 77, np.uint8)))
    assert found.points.shape == (0, 2)
    assert found.descriptors.shape == (0, 128)


def test_mirrored_descriptors_are_those_of_the_mirrored_picture():
    film = films.film(3)
    guessed, drawn = mirrored(fingerprint(Radiograph(film))), fingerprint(Radiograph(films.mirrored(film)))
    cosine = (guessed.descriptors.astype(float) @ drawn.descriptors.T.astype(float)) / 512**2
    same_place = np.hypot(*(guessed.points[:, None] - drawn.points[cosine.argmax(axis=1)][:, None]).T).ravel() < 2
    assert same_place.mean() > 0.6
    assert np.median(cosine.max(axis=1)[same_place]) > 0.95


def test_an_album_gives_back_what_was_put_in(tmp_path: Path):
    made = {f"{n}.png": films.film(n, height=200 + 10 * n) for n in range(3)}
    for name, picture in made.items():
        cv2.imwrite(str(tmp_path / name), picture)
    with open_album({name: tmp_path / name for name in reversed(made)}) as album:
        assert album.names == sorted(made)
        assert len(set(album.files)) == len(set(album.pixels)) == 3
        for number, picture in enumerate(made.values()):
            expected = fingerprint(Radiograph(picture))
            assert np.array_equal(album[number].picture, expected.picture)
            assert np.array_equal(album[number].points, expected.points)
            assert np.array_equal(album[number].descriptors, expected.descriptors)
        assert album.starts()[-1] == len(album.all_descriptors())


def test_files_that_cannot_be_read_are_handed_over_with_their_reason(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "good.png"), films.film(1))
    (tmp_path / "text.png").write_text("no picture")
    paths = {name: tmp_path / name for name in ("good.png", "text.png", "gone.png")}
    refused, steps = [], []
    with open_album(paths, on_refused=refused.append, progress=lambda *step: steps.append(step)) as album:
        assert album.names == ["good.png"]
    assert {(r.image, r.code) for r in refused} == {("text.png", "not-an-image"), ("gone.png", "unreadable-file")}
    assert steps == [("reading", n, 3) for n in (1, 2, 3)]


def test_opencv_gets_its_threads_back():
    before = cv2.getNumThreads()
    with one_thread_each():
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == before
