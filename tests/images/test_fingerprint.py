"""A fingerprint names the picture, not the file."""

import io

import numpy as np
import pytest
from PIL import Image

from covid_xray.images.decode import decode
from covid_xray.images.fingerprint import BITS, DOUBTFUL, ENOUGH_WORDS, WORDS, fingerprint, variants
from covid_xray.images.phantoms.phantom import draw, draw_anatomy, draw_exposure
from covid_xray.images.radiograph import Radiograph


def film(seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    return Image.fromarray(draw(draw_anatomy(random), size=400, exposure=draw_exposure(random)).pixels)


def words_of(data: bytes) -> str:
    return fingerprint(decode(data))


def saved(picture: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def same(stored: str, seen: str) -> bool:
    """Whether enough words of the stored fingerprint are variants of those of the picture seen."""
    pairs = zip(variants(stored), variants(seen), strict=True)
    return sum(word[0] in allowed for word, allowed in pairs) >= ENOUGH_WORDS


@pytest.mark.parametrize("seed", range(4))
def test_a_copy_saved_again_or_resized_has_it_too(seed: int) -> None:
    picture = film(seed)
    half = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BICUBIC)
    stored = words_of(saved(picture))
    for copy in (saved(picture, "JPEG", quality=75), saved(half), saved(half, "JPEG", quality=75),
                 saved(picture.resize((200, 230)))):  # fmt: skip
        assert same(stored, words_of(copy))


def test_another_film_has_another() -> None:
    films = [words_of(saved(film(seed))) for seed in range(40)]
    assert not any(same(a, b) for i, a in enumerate(films) for b in films[:i])


def test_bits_brightness_and_contrast_do_not_matter() -> None:
    pixels = np.asarray(film(0))
    twelve = Radiograph(pixels.astype(np.uint16) * 16, bits=12)
    dimmed = Radiograph((pixels // 2 + 40).astype(np.uint8))
    stored = fingerprint(Radiograph(pixels))
    assert same(stored, fingerprint(twelve))
    assert same(stored, fingerprint(dimmed))


def test_an_empty_picture_has_none() -> None:
    assert fingerprint(Radiograph(np.full((50, 50), 9, np.uint8))) == ""
    assert variants("") == []


def test_variants_are_the_word_and_what_its_doubtful_bits_allow() -> None:
    found = variants(fingerprint(Radiograph(np.asarray(film(1)))))
    assert [len(set(words)) for words in found] == [2**DOUBTFUL] * WORDS
    for words in found:
        assert max(words) < 2**BITS
        assert len({bit for word in words for bit in range(BITS) if (word ^ words[0]) >> bit & 1}) == DOUBTFUL
