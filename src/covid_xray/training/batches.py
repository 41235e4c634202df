"""Make training batches of cached pixels: image keys, pixels and labels always together.

Order and augmentation are functions of (seed, epoch, image) alone, not of a running random state: a resumed run gets
exactly the batches of an undisturbed one, on every Keras backend. The augmentation is one affine resampling and one
look-up table on uint8 (OpenCV), so it runs behind the training step.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from covid_xray.config import Augmentation, Training
from covid_xray.inference.lung_picture import BLACK, equalise
from covid_xray.training.augmentation import LUNGS_CHAIN, change
from covid_xray.training.cache import PixelCache
from covid_xray.training.sampling import epoch_order

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Batch:
    """Keys, inputs N x H x W x 1 float32 in 0..255, one-hot labels N x C, sample weights N float32, groups N."""

    images: tuple[str, ...]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    weight: NDArray[np.float32]
    groups: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Part:
    """One part of a split: image keys, labels as numbers, class names, pixels of all images, (class, source).

    `targets` are the outputs that each label number asks for: K x C, rows that sum to 1. `None`: one-hot. `taught` are
    the probabilities of teachers, N x C; they follow the labels in `Batch.y`, which is then N x 2C.
    """

    images: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    cache: PixelCache
    groups: NDArray[np.int64]  # number of the (class, source) group of each image
    targets: NDArray[np.float32] | None = None
    sources: tuple[str, ...] = ()  # where each image is from; () where that is not known
    taught: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.images)


def some_of_each(part: Part, *, count: int = 16) -> NDArray[np.uint8]:
    """Take about `count` unaugmented images, as many of each class: N x H x W uint8, for the check of parity.

    A picture that is blank (no lungs were found) is never answered, and is left out where others are there.
    """
    per_class = -(-count // len(part.classes))
    chosen = [i for c in range(len(part.classes)) for i in np.flatnonzero(part.labels == c)[:per_class]]
    pictures = [shown(part, i) for i in chosen]
    return np.stack([one for one in pictures if one.any()] or pictures)


def class_weights(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Compute n / (classes * n_class) for each class; the mean over the images is 1. Every class must be present."""
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * counts)).astype(np.float32)


def training_batches(part: Part, *, settings: Training, epoch: int) -> Iterator[Batch]:
    """Yield the batches of one epoch in the order of `sampling.epoch_order`, augmented; the last may be smaller."""
    order = epoch_order(part.groups, part.labels, settings=settings, epoch=epoch)
    weights = class_weights(part.labels, len(part.classes)) if settings.class_weights else None
    for start in range(0, len(order), settings.batch_size):
        chosen = order[start : start + settings.batch_size]
        # An image that is drawn twice in an epoch is changed in two ways: its place in the order is part of the seed.
        places = range(start, start + len(chosen)) if settings.sampling == "balanced" else chosen.tolist()
        seeds = [(settings.seed, epoch, place) for place in places]
        pixels = [altered(part, index, settings, seed) for index, seed in zip(chosen.tolist(), seeds, strict=True)]
        batch = _batch(part, chosen, pixels, weights)
        yield mixed(batch, settings.mixup, (settings.seed, epoch, start, 2)) if settings.mixup else batch


def mixed(batch: Batch, alpha: float, seed: Sequence[int]) -> Batch:
    """Mix each image with another of the batch, pixels and labels by the same share (Zhang and others 2018).

    mixup, arXiv:1710.09412. The share is drawn for each image from Beta(`alpha`, `alpha`) and is at least a half, so
    that weight and group stay those of the image with the larger share.
    """
    random = np.random.default_rng(tuple(seed))
    other = random.permutation(len(batch.images))
    share = random.beta(alpha, alpha, len(other)).astype(np.float32)
    share = np.maximum(share, 1 - share)[:, None]
    x = batch.x * share[..., None, None] + batch.x[other] * (1 - share[..., None, None])
    return replace(batch, x=x, y=batch.y * share + batch.y[other] * (1 - share))


def plain_batches(part: Part, *, batch_size: int) -> Iterator[Batch]:
    """Yield the unaugmented batches of a part in its own order, for validation."""
    for start in range(0, len(part), batch_size):
        chosen = np.arange(start, min(start + batch_size, len(part)))
        yield _batch(part, chosen, [shown(part, index) for index in chosen.tolist()], None)


def prefetch(items: Iterator[T], *, depth: int = 2) -> Iterator[T]:
    """Yield the same items, made by a thread up to `depth` ahead; an error in the thread is raised here."""
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        waiting = deque(pool.submit(next, items, end) for _ in range(depth))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, items, end))
            yield item  # type: ignore[misc]


def augment(pixels: NDArray[np.uint8], augmentation: Augmentation, seed: Sequence[int]) -> NDArray[np.uint8]:
    """Rotate, shear, zoom, shift and relight as a function of `seed`: H x W uint8 -> H x W uint8.

    Edges are continued by reflection: a black wedge would show that the picture was turned.
    """
    random = np.random.default_rng(tuple(seed))
    warped = cv2.warpAffine(
        pixels,
        affine(augmentation, random, pixels.shape),
        pixels.shape[::-1],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(cv2.LUT(warped, _relight(augmentation, random)), dtype=np.uint8)


def affine(a: Augmentation, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw a 2 x 3 matrix about the centre of the picture: rotation * shear * zoom, then shift (and flip)."""
    height, width = shape
    angle, shear, log_zoom, right, down = random.uniform(-1, 1, 5)
    cosine, sine = math.cos(math.radians(angle * a.rotation)), math.sin(math.radians(angle * a.rotation))
    scale = (1 + a.zoom) ** log_zoom  # as often smaller as larger
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.array(
        [[1, math.tan(math.radians(shear * a.shear))], [0, 1]]
    )
    linear *= scale
    if a.horizontal_flip and random.random() < 0.5:
        linear[0] *= -1
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = np.array([right * a.shift * width, down * a.shift * height])
    return np.column_stack([linear, centre - linear @ centre + shift])


def _relight(a: Augmentation, random: np.random.Generator) -> NDArray[np.uint8]:
    """Make the 256 uint8 of a look-up table: contrast about mid-grey, then brightness."""
    brightness, contrast = random.uniform(-1, 1, 2)
    levels = (np.arange(256) - 127.5) * (1 + contrast * a.contrast) + 127.5 + brightness * a.brightness * 255
    return np.clip(levels.round(), 0, 255).astype(np.uint8)


def _pixels(part: Part, index: int) -> NDArray[np.uint8]:
    return np.asarray(part.cache.pixels[part.cache.row[part.images[index]]])


def altered(part: Part, index: int, settings: Training, seed: tuple[int, ...] | None) -> NDArray[np.uint8]:
    """Load one image, H x W uint8, augmented by the settings as a function of `seed`; unchanged without a seed."""
    if seed is None or not settings.augment:
        return shown(part, index)
    pixels = _pixels(part, index)
    if part.cache.equalised:
        return equalise(restyle_lungs(pixels, settings, seed))
    pixels = augment(pixels, settings.augmentation, seed)
    if settings.appearance.probability:
        pixels = change(pixels, settings.appearance, np.random.default_rng((*seed, 1)))
    return pixels


def restyle_lungs(pixels: NDArray[np.uint8], settings: Training, seed: Sequence[int]) -> NDArray[np.uint8]:
    """Change pose and look of the lungs of a `lungs-only` picture; black outside stays black.

    H x W uint8 -> H x W uint8, not equalised yet. The outside of a lung is not part of the picture, so nothing is
    reflected at the edges, and no borders and letters are added.
    """
    random = np.random.default_rng(tuple(seed))
    matrix = affine(settings.augmentation, random, pixels.shape)
    size = pixels.shape[::-1]
    warped = cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    inside = warped > BLACK
    if settings.appearance.probability:
        random = np.random.default_rng((*seed, 1))
        warped = change(np.ascontiguousarray(warped), settings.appearance, random, LUNGS_CHAIN)
    return np.where(inside, np.maximum(warped, BLACK + 1), 0).astype(np.uint8)


def shown(part: Part, index: int) -> NDArray[np.uint8]:
    """Load one image, H x W uint8, unaugmented, as the network sees it in use."""
    pixels = _pixels(part, index)
    return equalise(pixels) if part.cache.equalised else pixels


def _batch(
    part: Part, chosen: NDArray[np.int64], pixels: list[NDArray[np.uint8]], weights: NDArray[np.float32] | None
) -> Batch:
    labels = part.labels[chosen]
    y = (np.eye(len(part.classes), dtype=np.float32) if part.targets is None else part.targets)[labels]
    return Batch(
        images=tuple(part.images[index] for index in chosen),
        x=np.stack(pixels)[..., None].astype(np.float32),
        y=y if part.taught is None else np.concatenate([y, part.taught[chosen]], axis=1),
        weight=np.ones(len(chosen), np.float32) if weights is None else weights[labels],
        groups=part.groups[chosen],
    )
