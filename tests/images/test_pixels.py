"""The network sees the same picture, whatever file it came in."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_xray.config import Limits
from covid_xray.errors import BadImage
from covid_xray.images.decode import decode
from covid_xray.images.pixels import PIXELS_VERSION, load_input, to_input
from covid_xray.images.radiograph import Radiograph
from support import drawing

GREY = drawing.picture(150, 130)
IMAGE = Image.fromarray(GREY)
SIZE = {"height": 64, "width": 48}


def palette() -> bytes:
    image = IMAGE.convert("P")
    assert image.mode == "P"
    return drawing.saved(image, "PNG")


SAME_PICTURE = {
    "grey png": (lambda: drawing.png(GREY), 0),
    "rgb png": (lambda: drawing.saved(IMAGE.convert("RGB"), "PNG"), 0),
    "rgba png": (lambda: drawing.saved(IMAGE.convert("RGBA"), "PNG"), 0),
    "grey alpha png": (lambda: drawing.saved(IMAGE.convert("LA"), "PNG"), 0),
    "palette png": (palette, 0),
    "16-bit png": (lambda: drawing.png(GREY.astype(np.uint16) * 257), 1),
    "12 bits in a 16-bit png": (lambda: drawing.png(np.rint(GREY / 255 * 4095).astype(np.uint16)), 1),
    "8-bit dicom": (lambda: drawing.dicom(GREY, bits=8), 0),
    "rgb dicom": (lambda: drawing.dicom(np.stack([GREY] * 3, -1), bits=8, photometric="RGB"), 0),
    "monochrome1 dicom": (lambda: drawing.dicom(255 - GREY, bits=8, photometric="MONOCHROME1"), 0),
    "12-bit dicom": (lambda: drawing.dicom(np.rint(GREY / 255 * 4095).astype(np.uint16)), 1),
    "16-bit dicom": (lambda: drawing.dicom(GREY.astype(np.uint16) * 257, bits=16), 1),
    "grey jpeg": (lambda: drawing.jpeg(GREY, quality=98), 4),
    "rgb jpeg": (lambda: drawing.saved(IMAGE.convert("RGB"), "JPEG", quality=98), 4),
    "cmyk jpeg": (lambda: drawing.saved(IMAGE.convert("RGB").convert("CMYK"), "JPEG", quality=98), 6),
}


@pytest.mark.parametrize("name", SAME_PICTURE)
def test_every_file_gives_the_network_the_same_pixels(name: str) -> None:
    make, tolerance = SAME_PICTURE[name]
    expected = to_input(Radiograph(GREY), **SIZE)
    found = load_input(make(), **SIZE)
    assert (found.shape, found.dtype) == ((64, 48), np.uint8)
    assert np.abs(found.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("bits", range(9, 17))
@pytest.mark.parametrize("size", [(150, 130), (224, 224), (64, 48), (7, 9)])
def test_depths_differ_by_one_level_at_most(bits: int, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(bits).integers(0, 256, (150, 130)).astype(np.uint8)
    for pixels in (GREY, noise):
        deep = Radiograph(np.rint(pixels / 255 * (2**bits - 1)).astype(np.uint16), bits=bits)
        height, width = size
        found = to_input(deep, height=height, width=width).astype(int)
        assert np.abs(found - to_input(Radiograph(pixels), height=height, width=width)).max() <= 1


@pytest.mark.parametrize("size", [(1100, 1000), (1537, 777), (700, 2100)])
def test_a_large_picture_is_resized_as_in_one_step(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 2**16, size).astype(np.uint16)
    whole = Image.fromarray(pixels.astype(np.float32)).resize((48, 64), Image.Resampling.BILINEAR)
    expected = np.rint(np.clip(np.asarray(whole) * (255 / 65_535), 0, 255)).astype(np.uint8)
    assert np.array_equal(to_input(Radiograph(pixels, bits=16), height=64, width=48), expected)


def test_same_size_changes_nothing() -> None:
    assert np.array_equal(to_input(Radiograph(GREY), height=150, width=130), GREY)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_black_is_0_and_white_is_255(bits: int) -> None:
    kind = np.uint8 if bits == 8 else np.uint16
    for level, expected in ((0, 0), (2**bits - 1, 255)):
        flat = Radiograph(np.full((40, 30), level, kind), bits=bits)
        assert np.all(to_input(flat, height=17, width=23) == expected)


def test_shrinking_does_not_alias() -> None:
    lines = np.tile(np.array([0, 255], np.uint8), (256, 128))
    shrunk = to_input(Radiograph(lines), height=50, width=50)
    assert np.abs(shrunk.astype(int) - 127).max() <= 12, "stripes of one pixel become even grey"


def test_aspect_ratio_is_not_kept() -> None:
    half = np.zeros((100, 300), np.uint8)
    half[:, 150:] = 255
    row = to_input(Radiograph(half), height=10, width=10)[5].tolist()
    assert (row[:4], row[-4:]) == ([0] * 4, [255] * 4), "the whole width is there, three times as narrow"


def test_picture_is_not_changed_by_being_read() -> None:
    before = GREY.copy()
    result = to_input(Radiograph(GREY), height=150, width=130)
    result[:] = 0
    assert np.array_equal(GREY, before)


def test_limits_and_refusals_pass_through() -> None:
    with pytest.raises(BadImage) as refusal:
        load_input(drawing.png(GREY), **SIZE, limits=Limits(side=100))
    assert refusal.value.code == "too-many-pixels"


def test_version_is_raised_when_the_pixels_change() -> None:
    """Whoever changes what the network sees must raise PIXELS_VERSION, and then this hash."""
    draw = np.random.default_rng(0)  # integers, equal on every machine
    eight = draw.integers(0, 256, (150, 130)).astype(np.uint8)
    twelve = draw.integers(0, 4096, (150, 130)).astype(np.uint16)
    files = drawing.png(eight), drawing.dicom(twelve, photometric="MONOCHROME1")
    both = b"".join(load_input(data, **SIZE).tobytes() for data in files)
    assert (PIXELS_VERSION, hashlib.sha256(both).hexdigest()[:16]) == (1, "c3bd2398685ec3d8")


# First 16 digits of the SHA-256 of the 224 x 224 input, for the files exactly as their sources hold them.
ORIGINALS = {
    "hannover_17ad0a56.png": "00147e25f482cf05",
    "hannover_40f355ec.png": "f5e5c16c7c343f61",
    "hannover_5782ae15.png": "1fbbc2d3e8308b1d",
    "hannover_61bc50d1.png": "5b391f42414456ce",
    "hannover_81089cb4.png": "18b56eb4db0f80a2",
    "hannover_b9673e89.png": "d62b70c139b11906",
    "hannover_c0f74558.png": "28e6b51eb59fbfbf",
    "ieee8023_12941_2020_358_Fig1_HTML.jpg": "245661fd6593752d",
    "ieee8023_40779_2020_233_Fig2_HTML-a.png": "e7ea738319a329c3",
    "ieee8023_41182_2020_203_Fig3_HTML.jpg": "686e98ad69e87bda",
    "ieee8023_41182_2020_203_Fig4_HTML.jpg": "e2bbc6110cf9f0bb",
    "ieee8023_483f2ad8.jpg": "1096e65df4053f38",
    "ieee8023_4c0fcf57.jpg": "b02a617366fdb6b0",
    "ieee8023_X-ray_of_cyst_in_pneumocystis_pneumonia_1.jpg": "da2539762fe3921d",
    "ieee8023_a361d7b7.jpg": "7f045803ca121648",
    "ieee8023_c0f74558.jpg": "19a44aab4d874d54",
    "ieee8023_thnov10p5641g006-c.png": "5577a9d1ff4743f1",
    "kermany_NonAugmentedTrain_Normal_0.jpeg": "d14217e0c4dd11cb",
    "kermany_NonAugmentedTrain_ViralPneumonia_0.jpeg": "39c1e564b49ee0fc",
    "kermany_ValData_BacterialPneumonia_0.jpeg": "ae0f399d82ca4f49",
    "kermany_ValData_BacterialPneumonia_285.jpeg": "d461c75b4a18e5be",
    "kermany_ValData_Normal_345.jpeg": "78698f4eb9e1cbfe",
    "kermany_ValData_Normal_365.jpeg": "7568c0aacc6d20b8",
    "kermany_ValData_ViralPneumonia_140.jpeg": "25e1dc39f0a724ea",
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", ORIGINALS)
def test_originals_reach_the_network_unchanged(name: str, real_data: Path) -> None:
    pixels = load_input(real_data / "originals" / name, height=224, width=224)
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == ORIGINALS[name]


@pytest.mark.realdata
def test_stored_pictures_all_decode(real_data: Path) -> None:
    files = sorted((real_data / "images").rglob("*.jpg"))[::20]
    assert len(files) > 100
    for path in files:
        assert decode(path).pixels.dtype == np.uint8
