"""Draw radiographs with their lungs, crop box and verdict, one by one and on contact sheets."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from covid_xray.files import replacing
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.heatmap_files import display
from covid_xray.inference.lungs import Lungs, box_pixels

TILE, ACROSS, DOWN = 190, 8, 6  # of a sheet
LUNG, GOOD, BAD = (80, 200, 255), (90, 230, 120), (255, 90, 80)


@dataclass(frozen=True, eq=False)
class Drawn:
    """One radiograph with its lungs: H x W x 3 uint8, and whether they are plausible."""

    picture: NDArray[np.uint8]
    plausible: bool


def draw(radiograph: Radiograph, lungs: Lungs, *, longest: int) -> Drawn:
    """Draw the radiograph with its lungs tinted and the crop box around them; red where they are not plausible."""
    grey = display(radiograph, longest=longest)
    rgb = np.repeat(grey[..., None], 3, axis=2).astype(np.float32)
    mask = lungs.at_size(*grey.shape)
    rgb[mask] = 0.75 * rgb[mask] + 0.25 * np.array(LUNG, np.float32)
    picture = Image.fromarray(rgb.round().astype(np.uint8))
    rows, columns = box_pixels(lungs.box, *grey.shape)
    corners = (columns.start, rows.start, columns.stop - 1, rows.stop - 1)
    colour = GOOD if lungs.plausible else BAD
    ImageDraw.Draw(picture).rectangle(corners, outline=colour, width=max(1, min(grey.shape) // 150))
    return Drawn(np.array(picture), lungs.plausible)


def write_drawn(drawn: Drawn, path: Path) -> None:
    """Write the picture as PNG."""
    with replacing(path) as temporary:
        Image.fromarray(drawn.picture).save(temporary)


def write_sheets(tiles: Iterable[tuple[str, Drawn]], folder: Path) -> list[Path]:
    """Write contact sheets of 48 pictures each, `sheet-01.png` ...; each tile has its number and its name.

    Args:
        tiles: name and picture, drawn at a `longest` of `TILE`.
        folder: for the sheets.

    Returns:
        The paths of the sheets.
    """
    paths = []
    for number, chunk in enumerate(_chunks(tiles, ACROSS * DOWN), start=1):
        path = folder / f"sheet-{number:02d}.png"
        with replacing(path) as temporary:
            _sheet(chunk, first=(number - 1) * ACROSS * DOWN + 1).save(temporary)
        paths.append(path)
    return paths


def _sheet(tiles: Sequence[tuple[str, Drawn]], *, first: int) -> Image.Image:
    down = -(-len(tiles) // ACROSS)
    line = 14
    sheet = Image.new("RGB", (ACROSS * TILE, down * (TILE + line)), (12, 12, 14))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for place, (name, drawn) in enumerate(tiles):
        left, top = place % ACROSS * TILE, place // ACROSS * (TILE + line)
        sheet.paste(Image.fromarray(drawn.picture), (left, top + line))
        text = f"{first + place} {name}"
        while font.getlength(text) > TILE - 4:
            text = text[:-1]
        pen.text((left + 2, top + 1), text, fill=(220, 220, 224) if drawn.plausible else BAD, font=font)
    return sheet


def _chunks(items: Iterable[tuple[str, Drawn]], size: int) -> Iterator[list[tuple[str, Drawn]]]:
    chunk: list[tuple[str, Drawn]] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
