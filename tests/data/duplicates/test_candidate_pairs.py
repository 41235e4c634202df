"""Candidates: copies are among them, whoever else is, and their number stays in proportion."""

import contextlib

import numpy as np

from covid_xray.data.duplicates.candidate_pairs import MOST, Candidate, find_candidates
from covid_xray.data.duplicates.fingerprints import Album, fingerprint
from covid_xray.images.radiograph import Radiograph
from support import films


@contextlib.contextmanager
def album_of(pictures):
    album = Album()
    for number, picture in enumerate(pictures):
        album.add(str(number), file=str(number), pixels=str(number), fingerprint=fingerprint(Radiograph(picture)))
    with contextlib.closing(album):
        yield album


def test_copies_are_candidates_and_the_mirrored_one_is_marked():
    film = films.film(1)
    others = [films.film(n, chest=n) for n in range(10, 16)]
    with album_of([film, *others, films.ALTERED["everything"](film), films.mirrored(film)]) as album:
        found = find_candidates(album)
    assert {Candidate(0, 7, False), Candidate(0, 8, True), Candidate(7, 8, True)} <= set(found)
    assert found == sorted(found)
    assert all(a < b for a, b, _ in found)


def test_only_the_pictures_asked_for_take_part():
    film = films.film(1)
    with album_of([film, films.saved_anew(film), films.relit(film, gamma=0.8)]) as album:
        found = find_candidates(album, among=np.array([True, False, True]))
    assert {(a, b) for a, b, _ in found} == {(0, 2)}


def test_the_result_does_not_depend_on_the_number_of_threads():
    film = films.film(2)
    pictures = [film, films.turned(film), *(films.film(n) for n in range(30, 36)), films.resized(film)]
    steps = []
    with album_of(pictures) as album:
        one = find_candidates(album, workers=1, progress=lambda *step: steps.append(step))
        assert one == find_candidates(album, workers=3)
    assert steps[-1][1] == steps[-1][2]


def test_a_picture_has_a_bounded_number_of_candidates():
    film = films.film(4)
    many = [films.saved_anew(film, quality=q) for q in range(40, 40 + MOST + 6)]
    with album_of(many) as album:
        found = find_candidates(album)
    assert len(found) < len(many) * (len(many) - 1) / 2
    assert len(found) <= MOST * len(many)
    # Each still has a neighbour, so that the group holds together.
    assert {n for pair in found for n in pair[:2]} == set(range(len(many)))


def test_no_picture_one_picture_and_blank_pictures_have_no_candidates():
    blank = np.full((50, 50), 9, np.uint8)
    for pictures in ([], [films.film(1)], [blank, blank]):
        with album_of(pictures) as album:
            assert find_candidates(album) == []
