"""Draw a class map over its radiograph, with a colour bar and a caption.

numpy and Pillow only. Colours are a perceptually uniform ramp (inferno), so that equal steps of the map look equal.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from covid_xray.inference.lungs import WHOLE, Box, box_pixels

DISCLAIMER = "research use, not for diagnosis"
FRAME = (120, 190, 255)
FINER, MOST_CELLS = 4, 256  # of `placed`
# Nine anchors of matplotlib's inferno (CC0); linear steps between them differ from the original by under 2 %.
_ANCHORS = [
    (0, 0, 4),
    (31, 12, 72),
    (85, 15, 109),
    (136, 34, 106),
    (186, 54, 85),
    (227, 89, 51),
    (249, 140, 10),
    (249, 201, 50),
    (252, 255, 164),
]


@dataclass(frozen=True)
class Caption:
    """The words in the margin: class shown, its probability (0..1), the model, notes of a line each, the lungs."""

    shown: str
    probability: float | str | None  # as words if rounded; None shows no number and no remark about evidence
    model: str
    note: str = ""
    lungs: str = ""


def ramp() -> NDArray[np.uint8]:
    """Make 256 x 3 uint8 colours, dark to bright."""
    anchors = np.array(_ANCHORS, dtype=float)
    positions = np.linspace(0, 255, len(anchors))
    channels = [np.interp(np.arange(256), positions, anchors[:, c]) for c in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)


def normalise(class_map: NDArray[np.float32], *, height: int, width: int) -> NDArray[np.float32] | None:
    """Scale the map to height x width, 0..1 of its own maximum; `None` without evidence (all zero, or not finite).

    A map without evidence must not be stretched to full colour, or it would be all red.
    """
    top = float(class_map.max(initial=0.0))
    if not np.isfinite(class_map).all() or top <= 1e-8:
        return None
    small = Image.fromarray((class_map / top).astype(np.float32))
    return np.clip(np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)), 0.0, 1.0)


def placed(class_maps: NDArray[np.float32], region: Box) -> NDArray[np.float32]:
    """Place the maps of a part of a picture in the whole picture.

    Args:
        class_maps: C x h x w, zero or more, of the part.
        region: the part: top, left, bottom, right in shares of the picture.

    Returns:
        C x H x W, zero outside the region; about four cells for each of the part's, so that its edges lie right.
        A map of the whole picture stays as it is.
    """
    if region == WHOLE:
        return class_maps
    top, left, bottom, right = region
    height, width = (
        min(MOST_CELLS, round(FINER * cells / share))
        for cells, share in zip(class_maps.shape[1:], (bottom - top, right - left), strict=True)
    )
    rows, columns = box_pixels(region, height, width)
    whole = np.zeros((len(class_maps), height, width), np.float32)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    for part, one in zip(whole, class_maps, strict=True):
        enlarged = Image.fromarray(one.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
        part[rows, columns] = np.maximum(np.asarray(enlarged), 0.0)
    return whole


def mean_maps(maps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32] | None:
    """Average the class maps of several networks, each C x h x w in its own unit and size; `None` without any.

    Each is divided by its own maximum over all classes before, and enlarged to the largest.
    """
    if not maps:
        return None
    height, width = (max(one.shape[side] for one in maps) for side in (1, 2))
    same = [one / max(float(one.max(initial=0.0)), 1e-8) for one in maps]
    return np.mean([_enlarged(one, height=height, width=width) for one in same], axis=0, dtype=np.float32)


def _enlarged(maps: NDArray[np.float32], *, height: int, width: int) -> NDArray[np.float32]:
    if maps.shape[1:] == (height, width):
        return maps
    size = (width, height)
    enlarged = [Image.fromarray(one.astype(np.float32)).resize(size, Image.Resampling.BILINEAR) for one in maps]
    return np.stack([np.asarray(one) for one in enlarged])


def overlay(grey: NDArray[np.uint8], class_map: NDArray[np.float32], *, alpha: float = 0.45) -> NDArray[np.uint8]:
    """Lay an h x w map in colour over an H x W uint8 radiograph: H x W x 3 uint8.

    Where the map is zero the radiograph stays as it is; without evidence all of it does, in grey.
    """
    rgb = np.repeat(grey[..., None], 3, axis=2)
    strength = normalise(class_map, height=grey.shape[0], width=grey.shape[1])
    if strength is None:
        return rgb
    colours = ramp()[(strength * 255).astype(np.uint8)].astype(np.float32)
    # The opacity grows with the map, so that weak evidence does not veil the lungs.
    opacity = (alpha * np.minimum(1.0, 1.6 * strength))[..., None]
    return (rgb * (1 - opacity) + colours * opacity).round().astype(np.uint8)


def outlined(picture: NDArray[np.uint8], region: Box) -> NDArray[np.uint8]:
    """Draw a thin frame around the part that the network saw, H x W x 3 uint8; the whole picture gets none."""
    if region == WHOLE:
        return picture
    rows, columns = box_pixels(region, *picture.shape[:2])
    framed = Image.fromarray(picture)
    corners = (columns.start, rows.start, columns.stop - 1, rows.stop - 1)
    ImageDraw.Draw(framed).rectangle(corners, outline=FRAME, width=max(1, min(picture.shape[:2]) // 300))
    return np.array(framed)


def annotate(picture: NDArray[np.uint8], caption: Caption, *, evidence: bool = True) -> Image.Image:
    """Add a colour bar at the right and the caption below, as a Pillow RGB image.

    Args:
        picture: H x W x 3 uint8 from `overlay`, or H x W.
        caption: the words.
        evidence: `False` for the words "no evidence for this class" instead of the bar.
    """
    height, width = picture.shape[:2]
    unit = max(12, round(min(height, width) / 26))
    bar, lines = round(4.4 * unit), _lines(caption, evidence=evidence)
    # A narrow radiograph must not cut the words: the sheet is as wide as the longest line needs.
    longest = max(_font(unit).getlength(line) for line in lines)
    sheet_width = max(width + bar, round(longest) + unit)
    sheet = Image.new("RGB", (sheet_width, height + round(unit * (1.35 * len(lines) + 0.8))), (12, 12, 14))
    sheet.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(sheet)
    if evidence and height > 4 * unit:  # a lower picture has no room for the bar's words
        _colour_bar(sheet, draw, left=width + unit // 2, height=height, unit=unit)
    for number, line in enumerate(lines):
        position = (unit // 2, height + round(unit * (0.4 + 1.35 * number)))
        draw.text(position, line, fill=(236, 236, 240) if number == 0 else (170, 170, 178), font=_font(unit))
    return sheet


def _lines(caption: Caption, *, evidence: bool) -> list[str]:
    value = caption.probability
    head = (
        f"{caption.shown}: {value:.1%}" if isinstance(value, float) else ": ".join(filter(None, (caption.shown, value)))
    )
    if not evidence and caption.probability is not None:
        head += " (no evidence for this class in the image)"
    return [line for line in (head, *caption.note.splitlines(), caption.lungs, caption.model, DISCLAIMER) if line]


@functools.lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _colour_bar(sheet: Image.Image, draw: ImageDraw.ImageDraw, *, left: int, height: int, unit: int) -> None:
    top, bottom = unit, height - unit
    column = ramp()[np.linspace(255, 0, bottom - top).round().astype(int)]
    sheet.paste(Image.fromarray(np.repeat(column[:, None, :], unit, axis=1)), (left, top))
    for share, word in ((0.0, "max"), (0.5, "half"), (1.0, "0")):
        y = top + share * (bottom - top) - unit * 0.6
        draw.text((left + unit + unit // 3, y), word, fill=(200, 200, 206), font=_font(round(unit * 0.9)))
