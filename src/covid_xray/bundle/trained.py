"""Recognise the images that a network was trained, validated or calibrated on, by content.

`trained.bin` of a bundle holds five keys of 8 bytes for each such image: of its file, of its decoded pixels and of the
three words of its `images.fingerprint`. Keys are BLAKE2b under a salt of the training data, so that the file tells
whether an image is among them and nothing else. Only commands that measure a network open it.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.bundle import TRAINED_FILE, bundle_folder, read_facts, read_verified
from covid_xray.errors import BadBundle
from covid_xray.images.fingerprint import ENOUGH_WORDS, FINGERPRINT_VERSION, WORDS, variants

TRAINED_FORMAT = 1
PARTS = ("train", "val", "calibration")  # the strongest first; test images are not listed
KINDS = ("file", "pixels", *["near"] * WORDS)


class Content(NamedTuple):
    """What identifies an image, as a checked manifest holds it; "" where unknown."""

    sha256: str
    pixels_sha256: str
    fingerprint: str


@dataclass(frozen=True, eq=False)
class Block:
    """The images of one training under one salt; `keys` has for each part an N x 5 array, 0 where a key is unknown."""

    salt: bytes
    keys: Mapping[str, NDArray[np.uint64]]

    @property
    def images(self) -> dict[str, int]:
        """Number of images of each part."""
        return {part: len(rows) for part, rows in self.keys.items()}

    def find(self, contents: Iterable[Content]) -> list[tuple[str, str] | None]:
        """Return for each image its part and how it was recognised (`file`, `pixels`, `near`), or `None`."""
        rows = np.concatenate([np.zeros((0, len(KINDS)), np.uint64), *self.keys.values()])
        part_of = [part for part, keys in self.keys.items() for _ in keys]
        known: list[dict[int, list[int]]] = [{} for _ in KINDS]
        for place, column in zip(known, rows.T.tolist(), strict=True):
            for row, key in enumerate(column):
                if key:
                    place.setdefault(key, []).append(row)
        return [self._find(content, known, part_of) for content in contents]

    def _find(self, content: Content, known: list[dict[int, list[int]]], part_of: list[str]) -> tuple[str, str] | None:
        keys = list(_keys(content, self.salt, doubtful=True))
        found = [[row for key in these for row in rows.get(key, ())] for these, rows in zip(keys, known, strict=True)]
        words = Counter(row for rows in found[-WORDS:] for row in set(rows))
        near = [row for row, count in words.items() if count >= ENOUGH_WORDS]
        for kind, rows in zip(KINDS, (*found[:-WORDS], near), strict=False):
            if rows:
                return min((part_of[row] for row in rows), key=PARTS.index), kind
        return None


@dataclass(frozen=True)
class Trained:
    """The images that a network knows: of its own training first, then of the networks that it began from."""

    blocks: tuple[Block, ...]

    @property
    def about(self) -> dict[str, Any]:
        """Describe them for bundle.json: number of images by part, and blocks of networks that it began from."""
        return {"images": self.blocks[0].images, "began_from": [block.images for block in self.blocks[1:]]}

    def find(self, contents: Sequence[Content]) -> list[tuple[str, str] | None]:
        """Return for each image its strongest part and how it was recognised, or `None`."""
        found = [block.find(contents) for block in self.blocks]
        return [
            min((one for one in each if one), key=lambda one: PARTS.index(one[0]), default=None)
            for each in zip(*found, strict=True)
        ]

    def to_bytes(self) -> bytes:
        """Return the content of `trained.bin`: a line of JSON, then the keys of each part of each block."""
        blocks = [{"salt": block.salt.hex(), "images": block.images} for block in self.blocks]
        head = {"format": TRAINED_FORMAT, "fingerprint": FINGERPRINT_VERSION, "blocks": blocks}
        rows = [block.keys[part].astype("<u8").tobytes() for block in self.blocks for part in block.images]
        return json.dumps(head).encode() + b"\n" + b"".join(rows)


def list_images(parts: Mapping[str, Iterable[Content]], *, salt: bytes) -> Block:
    """List images by part; those of parts that are not in `PARTS`, such as test, are left out.

    Args:
        parts: name of a part to its images.
        salt: up to 64 bytes.
    """
    found = {}
    for part in PARTS:
        keys = [[next(iter(key), 0) for key in _keys(content, salt, doubtful=False)] for content in parts.get(part, ())]
        if keys:
            found[part] = np.unique(np.array(keys, np.uint64), axis=0)  # sorted: the order tells nothing of the names
    return Block(salt, found)


def join(own: Block, before: Iterable[Trained]) -> Trained:
    """Join the images of a training with those of the networks that it began from; equal salts share a block."""
    blocks = {own.salt: own}
    for block in (block for trained in before for block in trained.blocks):
        there = blocks.get(block.salt, Block(block.salt, {})).keys
        both = {part: [keys[part] for keys in (there, block.keys) if part in keys] for part in PARTS}
        keys = {part: np.unique(np.concatenate(rows), axis=0) for part, rows in both.items() if rows}
        blocks[block.salt] = Block(block.salt, keys)
    return Trained(tuple(blocks.values()))


def read_trained(folder: str | Path | None = None) -> Trained | None:
    """Read `trained.bin` of a bundle; `None` where the bundle has none. Raises `BadBundle` where it was altered."""
    identity = read_facts(folder).get("trained")
    path = bundle_folder(folder) / TRAINED_FILE
    return parse_trained(read_verified(path, identity)) if identity else None


def parse_trained(data: bytes) -> Trained:
    """Read the content of a `trained.bin`. Raises `BadBundle`."""
    head, _, body = data.partition(b"\n")
    try:
        about = json.loads(head)
        version = (about["format"], about["fingerprint"])
        rows = np.frombuffer(body, "<u8").reshape(-1, len(KINDS))
        blocks = []
        for block in about["blocks"]:
            keys = {}
            for part, count in block["images"].items():
                keys[part], rows = rows[:count], rows[count:]
            blocks.append(Block(bytes.fromhex(block["salt"]), keys))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadBundle(f"{TRAINED_FILE} is damaged.", code="altered") from None
    if version != (TRAINED_FORMAT, FINGERPRINT_VERSION) or len(rows):
        raise BadBundle(f"{TRAINED_FILE} was written by another version of covid-xray.", code="format")
    return Trained(tuple(blocks))


def _keys(content: Content, salt: bytes, *, doubtful: bool) -> Iterator[list[int]]:
    """Yield for each of `KINDS` the keys of an image: none where unknown, several where bits are `doubtful`."""
    for kind, text in (("file", content.sha256), ("pixels", content.pixels_sha256)):
        yield [_key(text.encode(), salt, kind)] if text else []
    words = variants(content.fingerprint) or [[]] * WORDS
    for number, found in enumerate(words):
        yield [_key(word.to_bytes(8, "little"), salt, f"word{number}") for word in (found if doubtful else found[:1])]


def _key(data: bytes, salt: bytes, kind: str) -> int:
    return int.from_bytes(blake2b(data, digest_size=8, key=salt, person=kind.encode()).digest(), "little") or 1
