"""Draw docs/images/pacs-series.jpg: a phantom as a DICOM original and its four result objects, read back."""

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image, ImageDraw, ImageFont

from covid_xray.images.phantoms import phantom
from covid_xray.images.phantoms.dataset import to_dicom
from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.results.result_objects import KINDS, ResultBuilder

PAGE = Path(__file__).parent.parent / "docs" / "images" / "pacs-series.jpg"
SIDE, BAR, INK, PAPER = 560, 30, (20, 20, 24), (250, 250, 250)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=None)
    parser.add_argument("--output", type=Path, default=PAGE)
    options = parser.parse_args()
    anatomy = phantom.draw_anatomy(np.random.default_rng(1), child=False)
    pixels = phantom.draw(anatomy, finding="covid", severity=0.8, size=768).pixels
    data = to_dicom(pixels, patient_id="P-1")
    made = ResultBuilder(Predictor(options.bundle), kinds=KINDS).build(data).objects
    read = {kind: pydicom.dcmread(io.BytesIO(one)) for kind, one in made.items()}
    grey = Image.fromarray(pixels).convert("RGB")
    capture = Image.fromarray(read["sc"].pixel_array)
    panels = [
        ("original (DX)", fitted(grey)),
        ("Secondary Capture", fitted(capture)),
        ("segmentation over the original", fitted(segmented(grey, read.get("seg")))),
        ("presentation state over the original", fitted(outlined(grey, read.get("gsps")))),
        ("Comprehensive SR, as dsrdump prints it", report(made["sr"])),
    ]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    sheet(panels).save(options.output, quality=82, optimize=True)


def fitted(picture: Image.Image) -> Image.Image:
    copy = picture.copy()
    copy.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return copy


def segmented(grey: Image.Image, seg: pydicom.Dataset | None) -> Image.Image:
    if seg is None:
        return grey
    colours = np.asarray(grey).astype(float)
    mask = seg.pixel_array > 0
    colours[mask] = 0.55 * colours[mask] + 0.45 * np.array([255, 140, 0])
    return Image.fromarray(colours.astype(np.uint8))


def outlined(grey: Image.Image, state: pydicom.Dataset | None) -> Image.Image:
    copy = grey.copy()
    if state is not None:
        draw = ImageDraw.Draw(copy)
        annotation = state.GraphicAnnotationSequence[0]
        for line in annotation.GraphicObjectSequence:
            points = np.reshape(line.GraphicData, (-1, 2))
            draw.line([tuple(map(float, point)) for point in points], fill=(90, 220, 255), width=3)
        left, top = annotation.TextObjectSequence[0].BoundingBoxTopLeftHandCorner
        words = annotation.TextObjectSequence[0].UnformattedTextValue
        draw.multiline_text(
            (left * copy.width, top * copy.height), words, fill=(90, 220, 255), font=ImageFont.load_default(19)
        )
    return copy


def report(data: bytes) -> Image.Image:
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(data)
        file.flush()
        said = subprocess.run(["dsrdump", "+Pl", file.name], capture_output=True, text=True, check=True).stdout
    lines = [line for line in said.splitlines() if ":(" in line and "Observer" not in line and "Algorithm" not in line]
    page = Image.new("RGB", (2 * SIDE + 10, 20 + 19 * len(lines)), PAPER)
    draw = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        draw.text((10, 8 + 19 * number), line[:150], fill=INK, font=ImageFont.load_default(14))
    return page


def sheet(panels: list[tuple[str, Image.Image]]) -> Image.Image:
    rows = [panels[0:2], panels[2:4], panels[4:5]]
    height = sum(BAR + max(picture.height for _, picture in row) + 10 for row in rows)
    page = Image.new("RGB", (2 * SIDE + 30, height), PAPER)
    draw, top = ImageDraw.Draw(page), 0
    for row in rows:
        for number, (title, picture) in enumerate(row):
            left = 10 + number * (SIDE + 10)
            draw.text((left, top + 7), title, fill=INK, font=ImageFont.load_default(17))
            page.paste(picture, (left, top + BAR))
        top += BAR + max(picture.height for _, picture in row) + 10
    return page


if __name__ == "__main__":
    sys.exit(main())
