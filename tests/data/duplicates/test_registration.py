"""Registration: every alteration is proven, every other film is not."""

import numpy as np
import pytest

from covid_xray.data.duplicates.fingerprints import fingerprint
from covid_xray.data.duplicates.registration import COPY, NOT_ALIGNED, Registration, register
from covid_xray.images.radiograph import Radiograph
from support import films


def of(picture):
    return fingerprint(Radiograph(picture))


@pytest.mark.parametrize("way", films.ALTERED)
@pytest.mark.parametrize("seed", [1, 2])
def test_an_altered_copy_is_a_copy(way, seed):
    film = films.film(seed)
    found = register(of(film), of(films.ALTERED[way](film)), mirror=way == "mirrored")
    assert found.is_copy
    assert found.correlation > 0.9


def test_the_order_of_the_two_does_not_matter():
    film = films.film(5)
    one, two = of(film), of(films.ALTERED["everything"](film))
    assert register(one, two).agreement == pytest.approx(register(two, one).agreement, abs=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_bones_with_other_lungs_are_another_film(seed):
    assert not register(of(films.film(seed)), of(films.film(seed + 10))).is_copy


@pytest.mark.parametrize("seed", range(3))
def test_the_same_chest_a_breath_later_is_another_film(seed):
    film = films.film(seed)
    assert not register(of(film), of(films.breathed(film))).is_copy


def test_a_mirrored_copy_is_none_unless_it_is_mirrored_back():
    film = films.film(6)
    assert not register(of(film), of(films.mirrored(film))).is_copy


def test_half_of_a_film_is_the_film():
    film = films.film(7)
    assert register(of(film), of(films.cropped(film, share=0.45))).is_copy


def test_two_halves_that_do_not_meet_prove_nothing():
    film = films.film(8)
    assert not register(of(film[:170]), of(film[170:])).is_copy


def test_a_shared_caption_is_no_shared_film():
    one, two = (films.labelled(films.film(seed, chest=seed)) for seed in (1, 2))
    assert not register(of(one), of(two)).is_copy


def test_pictures_without_detail_are_not_aligned():
    blank = of(np.full((64, 64), 50, np.uint8))
    assert register(blank, blank) == NOT_ALIGNED
    assert register(blank, of(films.film(1))) == NOT_ALIGNED


def test_agreement_is_within_0_and_1_and_decides():
    assert Registration(1, 1).agreement == pytest.approx(1)
    assert Registration(-1, 0).agreement == 0
    assert not Registration(1, 0).is_copy
    assert Registration(COPY, COPY).is_copy
