"""Draw pairs of images side by side on one sheet, for inspection."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from covid_xray.data.duplicates.duplicates import Pair
from covid_xray.errors import CovidXrayError, UsageError
from covid_xray.files import replacing
from covid_xray.images.decode import decode

_GAP = 6
_TEXT = 16  # height of the line of text above a pair


def contact_sheet(
    pairs: Sequence[Pair],
    paths: Mapping[str, Path],
    out: Path,
    *,
    side: int = 224,
    columns: int = 3,
    max_pairs: int = 60,
) -> int:
    """Write a PNG with the pairs side by side, those with the largest distance first; return their number.

    Args:
        pairs: as from `find_pairs`.
        paths: image name to file.
        out: the PNG.
        side: longest side of an image in pixels.
        columns: pairs per row.
        max_pairs: largest number of pairs.

    Raises:
        UsageError: `out` does not end in .png, or there is no pair.
    """
    if out.suffix.lower() != ".png":
        raise UsageError(f"The contact sheet {out.name} must end in .png.")
    doubtful = sorted(pairs, key=lambda pair: -pair.distance)[:max_pairs]
    if not doubtful:
        raise UsageError("There is no pair for a contact sheet.")
    tiles = [_tile(pair, paths, side=side) for pair in doubtful]
    columns = min(columns, len(tiles))
    width, height = (_GAP + size for size in tiles[0].size)
    sheet = Image.new("L", (columns * width, -(-len(tiles) // columns) * height), 255)
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % columns * width, number // columns * height))
    with replacing(out) as temporary:
        sheet.save(temporary)
    return len(tiles)


def _tile(pair: Pair, paths: Mapping[str, Path], *, side: int) -> Image.Image:
    tile = Image.new("L", (2 * side + 2, side + 3 * _TEXT), 0)
    draw = ImageDraw.Draw(tile)
    draw.text((3, 2), f"{pair.kind} {pair.distance:.3f}", fill=255)
    for line, name in enumerate((pair.first, pair.second), start=1):
        draw.text((3, 2 + line * _TEXT), name[-2 * side // 7 :], fill=255)
        picture = Image.fromarray(_grey(paths[name]))
        picture.thumbnail((side, side), Image.Resampling.BILINEAR)
        tile.paste(picture, ((line - 1) * (side + 2), 3 * _TEXT))
    return tile


def _grey(path: Path) -> NDArray[np.uint8]:
    """Decode the image to 8 bits; black where the file cannot be decoded any more."""
    try:
        radiograph = decode(path)
    except CovidXrayError:
        return np.zeros((64, 64), np.uint8)
    return (radiograph.pixels >> (radiograph.bits - 8)).astype(np.uint8)
