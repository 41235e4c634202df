"""Compute a short fingerprint of a radiograph that survives resizing, another format and lossy recompression.

The fingerprint holds the signs of 132 low frequencies of the picture (as in pHash, Zauner 2010), dealt into three words
of 44 bits. The bits of each word that lie nearest to zero are named: they may be of either sign in a copy, and
`variants` gives all of these words. A copy has two words in common with its original; different people may share one.
"""

import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covid_xray.images.radiograph import Radiograph

FINGERPRINT_VERSION = 1  # stored in every bundle; increment it when any fingerprint changes
WORDS, BITS, DOUBTFUL = 3, 44, 8
ENOUGH_WORDS = 2  # equal words that make two pictures the same
SIDE = 64  # the picture is resized to a square of this side first
LOWEST, HIGHEST = 4, 12  # frequencies u, v below 12 with u + v of 4 or more: below that all chests look alike
PLAIN = 1.0  # standard deviation in grey levels below which a picture shows nothing to recognise


def fingerprint(radiograph: Radiograph) -> str:
    """Return three words as `word-doubtful.word-doubtful.word-doubtful`, in hexadecimal; "" for an empty picture.

    A linear change of brightness or contrast does not alter it. A crop, a rotation or a mirrored copy has another one:
    `data.duplicates` finds those.
    """
    grey = radiograph.pixels.astype(np.float32) * np.float32(255 / (2**radiograph.bits - 1))
    small = np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    if small.std() < PLAIN:
        return ""
    cosines, chosen = _cosines(), _chosen()
    values = (cosines @ small @ cosines.T).ravel()[chosen].reshape(WORDS, BITS)
    return ".".join(_format(word) for word in values)


def variants(text: str) -> list[list[int]]:
    """Return for each word of a fingerprint itself and then all words that its doubtful bits allow; none for ""."""
    return [list(_variants(word)) for word in text.split(".")] if text else []


def _variants(text: str) -> Iterator[int]:
    head, _, tail = text.partition("-")
    word, doubtful = int(head, 16), [int(tail[i : i + 2], 16) for i in range(0, len(tail), 2)]
    for flipped in itertools.product((0, 1), repeat=len(doubtful)):
        yield word ^ sum(flip << bit for flip, bit in zip(flipped, doubtful, strict=True))


def _format(values: NDArray[np.float32]) -> str:
    word = sum(int(value > 0) << bit for bit, value in enumerate(values))
    doubtful = np.argsort(np.abs(values), kind="stable")[:DOUBTFUL]
    return f"{word:011x}-" + "".join(f"{bit:02x}" for bit in sorted(doubtful.tolist()))


@cache
def _cosines() -> NDArray[np.float32]:
    """Return the first `HIGHEST` rows of the discrete cosine transform of `SIDE` values."""
    place = np.arange(SIDE) + 0.5
    return np.cos(np.pi / SIDE * np.outer(np.arange(HIGHEST), place)).astype(np.float32)


@cache
def _chosen() -> NDArray[np.int64]:
    """Return the places of the frequencies, WORDS x BITS in a row: neighbours are dealt to different words."""
    pairs = sorted((u + v, u, v) for u in range(HIGHEST) for v in range(HIGHEST) if u + v >= LOWEST)
    places = [u * HIGHEST + v for _, u, v in pairs[: WORDS * BITS]]
    return np.array([places[start::WORDS] for start in range(WORDS)]).ravel()
