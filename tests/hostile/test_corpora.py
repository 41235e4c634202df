"""One assertion over everything that is thrown at the opener: a radiograph within the limits, or `BadImage`.

`COVID_XRAY_MUTATIONS=100000` runs the long version; `COVID_XRAY_CORPUS=DIR` adds every file below a folder
(Pillow's own test images, for instance).
"""

import functools
import importlib.util
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from covid_xray.config import Limits
from covid_xray.errors import BadImage
from covid_xray.images.decode import decode
from covid_xray.images.radiograph import Radiograph
from covid_xray.images.sandbox import decode_limited
from support import bombs, drawing, htj2k, twelve_bits
from support.arrays import nifti, npy

LIMITS = Limits()
COSTLY = {"decode-timeout", "decode-memory", "decode-crashed"}
MUTATIONS = int(os.environ.get("COVID_XRAY_MUTATIONS", "3000"))
GREY, DEEP = drawing.picture(40, 34), drawing.picture(40, 34, bits=12)
IMAGE = Image.fromarray(GREY)
HAVE_GDCM, HAVE_OPENJPEG = (bool(importlib.util.find_spec(name)) for name in ("gdcm", "openjpeg"))


GOOD: dict[str, Callable[[], bytes]] = {
    "grey png": lambda: drawing.png(GREY),
    "16-bit png": lambda: drawing.png(DEEP),
    "rgba png": lambda: drawing.saved(IMAGE.convert("RGBA"), "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
    "palette png": lambda: drawing.saved(IMAGE.convert("P"), "PNG", transparency=3),
    "grey jpeg": lambda: drawing.jpeg(GREY),
    "progressive rgb jpeg": lambda: drawing.saved(IMAGE.convert("RGB"), "JPEG", progressive=True),
    "cmyk jpeg": lambda: drawing.saved(IMAGE.convert("RGB").convert("CMYK"), "JPEG"),
    "explicit dicom": lambda: drawing.dicom(DEEP, WindowCenter="2000", WindowWidth="3000", RescaleSlope="2"),
    "implicit dicom with lut": lambda: drawing.dicom(
        DEEP, syntax=ImplicitVRLittleEndian, VOILUTSequence=drawing.lut(np.arange(4096))
    ),
    "palette dicom": bombs.palette,
    "rle dicom": lambda: drawing.dicom(DEEP, syntax=RLELossless),
    "jpeg dicom": lambda: drawing.dicom(GREY, bits=8, syntax=drawing.JPEG_BASELINE, frame=drawing.jpeg(GREY)),
}
GOOD |= {
    "16-bit tiff": lambda: drawing.saved(Image.fromarray(DEEP), "TIFF"),
    "lzw tiff": lambda: drawing.saved(IMAGE.convert("RGB"), "TIFF", compression="tiff_lzw"),
    "bmp": lambda: drawing.saved(IMAGE, "BMP"),
    "gif": lambda: drawing.saved(IMAGE, "GIF"),
    "webp": lambda: drawing.saved(IMAGE.convert("RGB"), "WEBP"),
    "lossless webp": lambda: drawing.saved(IMAGE.convert("RGBA"), "WEBP", lossless=True),
    "16-bit jpeg 2000": lambda: drawing.saved(Image.fromarray(DEEP), "JPEG2000"),
    "npy": lambda: npy(DEEP),
    "nifti": lambda: nifti(DEEP.astype(np.int16)),
}
if HAVE_OPENJPEG:
    GOOD["jpeg 2000 dicom"] = lambda: drawing.dicom(DEEP, syntax=drawing.J2K_LOSSLESS)
GOOD |= {
    "deflated dicom": lambda: bombs.deflated(0),
    "dicom without preamble": lambda: drawing.dicom(DEEP)[132:],
    "16-bit rgb png": lambda: bombs.png_of(width=3, height=2, depth=16, colour=2, body=(b"\0" + bytes(range(18))) * 2),
}
# Decoded in a child process, where each costs more, so these are mutated less often. GDCM has ended processes.
FOR_GDCM: dict[str, Callable[[], bytes]] = {
    "jpeg lossless dicom": lambda: drawing.dicom(DEEP, syntax=drawing.JPEG_LOSSLESS_SV1),
    "jpeg-ls dicom": lambda: drawing.dicom(DEEP, syntax=drawing.JPEG_LS),
    "jpeg extended dicom": lambda: drawing.dicom(DEEP, syntax=drawing.JPEG_EXTENDED, frame=twelve_bits.encode(DEEP)),
}
if not HAVE_GDCM:
    FOR_GDCM = {}
if HAVE_OPENJPEG:  # its decoder of HTJ2K is new
    FOR_GDCM["htj2k dicom"] = lambda: drawing.dicom(
        drawing.picture(24, 20, bits=12), syntax=drawing.HTJ2K[0], frame=htj2k.stream() + b"\0"
    )


@functools.cache
def good(name: str) -> bytes:
    return {**GOOD, **FOR_GDCM}[name]()


@functools.cache
def bomb(name: str) -> bytes:
    return bombs.BOMBS[name]()


def outcome(data: bytes | Path, open_it: Callable[..., Radiograph] = decode) -> str:
    """`"radiograph"` or the code of the refusal. Anything else that is raised fails the test."""
    try:
        radiograph = open_it(data, limits=LIMITS)
    except BadImage as error:
        return error.code
    assert radiograph.pixels.size <= LIMITS.pixels
    assert max(radiograph.pixels.shape) <= LIMITS.side
    assert int(radiograph.pixels.max()) < 2**radiograph.bits
    return "radiograph"


def mutated(name: str, data: bytes, seed: int) -> bytes:
    """`data` with one to four injuries: bytes altered, cut out, doubled, zeroed, or moved in from another file."""
    draw = np.random.default_rng([seed, *name.encode()])
    out = bytearray(data)
    for _ in range(draw.integers(1, 5)):
        # Half of the injuries hit the first 700 bytes, where headers are.
        at = int(draw.integers(0, min(len(out), 700) if draw.random() < 0.5 else len(out)))
        size = int(draw.integers(1, 1 + int(draw.choice([1, 2, 4, 8, 100]))))
        kind = draw.integers(0, 7)
        if kind == 0:
            out[at] ^= 1 << int(draw.integers(0, 8))
        elif kind == 1:
            out[at : at + size] = draw.bytes(size)
        elif kind == 2:
            del out[at : at + size]
        elif kind == 3:
            out[at:at] = out[at : at + size]
        elif kind == 4:
            out[at : at + size] = bytes([int(draw.choice([0, 127, 128, 255]))]) * size
        elif kind == 5:
            other = good(str(draw.choice([*GOOD])))
            start = int(draw.integers(0, len(other)))
            out[at : at + size] = other[start : start + size]
        else:
            out[at : at + 4] = int(draw.choice([0, 1, 2**16 - 1, 2**31 - 1, 2**32 - 1])).to_bytes(4, "little")
        if not out:
            break
    return bytes(out)


@pytest.mark.parametrize("name", bombs.BOMBS)
def test_bombs_cost_less_than_the_limits(name: str) -> None:
    """In a child with 5 s and 1 GiB, neither of which is reached."""
    assert outcome(bomb(name), decode_limited) not in COSTLY


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("png of 100,000 x 100,000", "too-many-pixels"),
        ("png of a million chunks", "too-complex"),
        ("jpeg of 5000 scans", "too-complex"),
        ("jpeg of 16 MB of fill bytes", "damaged"),
        ("dicom deflated to 500 MB", "too-large"),
        ("dicom rle of 30,000 x 30,000", "too-many-pixels"),
        ("dicom of a billion frames", "several-frames"),
        ("dicom jpeg 2000 of 65,535 x 65,535", "too-many-pixels"),
        ("png of 6000 x 6000, honest", "radiograph"),
        ("tiff of 65,535 x 65,535", "too-many-pixels"),
        ("tiff whose directory follows itself", "several-frames"),
        ("webp of 16,383 x 16,383", "too-many-pixels"),
        ("jpeg 2000 of 16,384 components", "too-complex"),
        ("npy of objects", "unsupported-bits"),
        ("nifti packed to 500 MB", "too-large"),
    ],
)
def test_bombs_are_called_by_their_name(name: str, code: str) -> None:
    assert outcome(bomb(name)) == code


def test_good_files_are_good() -> None:
    assert {name: outcome(good(name)) for name in GOOD} == dict.fromkeys(GOOD, "radiograph")
    assert {name: outcome(good(name), decode_limited) for name in FOR_GDCM} == dict.fromkeys(FOR_GDCM, "radiograph")


@pytest.mark.parametrize("name", [*GOOD, *FOR_GDCM])
def test_truncations_are_refused(name: str) -> None:
    """At 39 places and each of the last 12 bytes. Compressed DICOM ends in a delimiter that pixels can do without."""
    data = good(name)
    open_it = decode_limited if name in FOR_GDCM else decode
    places = {*np.linspace(0, len(data) - 13, 39).astype(int).tolist(), *range(len(data) - 12, len(data))}
    whole = open_it(data).pixels
    for cut in sorted(places):
        if outcome(data[:cut], open_it) == "radiograph":
            assert len(data) - cut <= 4
            assert name.endswith("dicom")
            assert np.array_equal(open_it(data[:cut]).pixels, whole)


@pytest.mark.parametrize("name", GOOD)
def test_mutations(name: str) -> None:
    data = good(name)
    seen = Counter(outcome(mutated(name, data, seed)) for seed in range(MUTATIONS // len(GOOD)))
    assert len(seen) > 2, "the injuries are of many kinds"


@pytest.mark.skipif(not HAVE_GDCM, reason="python-gdcm is not installed")
def test_a_file_at_which_gdcm_ends_its_process_is_refused() -> None:
    """The other decoders refuse it, so GDCM is asked, in a child: in this process it threw a C++ exception."""
    assert outcome(mutated("jpeg dicom", good("jpeg dicom"), 478)) in ("decode-crashed", "decoder-failed", "damaged")


@pytest.mark.parametrize("name", FOR_GDCM)
def test_mutations_for_gdcm(name: str) -> None:
    for seed in range(MUTATIONS // 40):
        assert outcome(mutated(name, good(name), seed), decode_limited) != "decode-timeout"


NUMBERS = st.sampled_from([0, 1, 2, 7, 8, 12, 15, 16, 30, 40, 255, 256, 32767, 32768, 65535]) | st.integers(0, 65535)
DECIMALS = st.sampled_from(["0", "-1", "1", "0.5", "1e30", "-1e-30", "1e308", "nan", "inf", ""])


@settings(max_examples=max(200, MUTATIONS // 20), deadline=None, database=None)
@given(
    whole=st.dictionaries(
        st.sampled_from(
            [
                "Rows",
                "Columns",
                "SamplesPerPixel",
                "BitsAllocated",
                "BitsStored",
                "HighBit",
                "PixelRepresentation",
                "PlanarConfiguration",
            ]
        ),
        NUMBERS,
        max_size=4,
    ),
    decimal=st.dictionaries(
        st.sampled_from(["RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "PixelSpacing"]),
        DECIMALS,
        max_size=4,
    ),
    text=st.dictionaries(
        st.sampled_from(["PhotometricInterpretation", "VOILUTFunction", "ViewPosition", "NumberOfFrames"]),
        st.sampled_from(
            ["MONOCHROME1", "RGB", "YBR_FULL_422", "PALETTE COLOR", "SIGMOID", "LINEAR_EXACT", "PA", "1", ""]
        ),
        max_size=2,
    ),
    lut=st.none() | st.tuples(st.lists(st.integers(0, 65535), max_size=4), st.integers(-9, 9), st.integers(0, 20)),
)
def test_dicom_headers_of_any_kind(whole: dict, decimal: dict, text: dict, lut: tuple | None) -> None:
    tags = {**whole, **decimal}
    if lut:
        tags["VOILUTSequence"] = drawing.lut(lut[0], first=lut[1], bits=lut[2])
    data = drawing.dicom(DEEP, **tags)
    for keyword, value in text.items():
        try:
            data = drawing.dicom(DEEP, **tags, **{keyword: value})
        except ValueError:  # pydicom does not write a frame count of letters
            continue
    outcome(data)


def test_files_of_pydicom() -> None:
    root = Path(pydicom.data.__file__).parent
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert len(files) >= 170
    seen = Counter(outcome(path, decode_limited) for path in files)
    assert not set(seen) & COSTLY
    assert seen["radiograph"] >= 70
    assert seen["no-pixels"] > 50


# What scripts/fetch_corpora.py brings: which files, how many at least, and how many of them are radiographs.
CORPORA = {"pillow": ("*", 1060, 400), "pydicom-data": ("*", 68, 35), "pypng": ("suite-*.png", 28, 20)}


@pytest.mark.skipif("COVID_XRAY_CORPUS" not in os.environ, reason="COVID_XRAY_CORPUS names no folder of files")
@pytest.mark.parametrize("name", CORPORA)
def test_files_of_a_corpus(name: str) -> None:
    folder = Path(os.environ["COVID_XRAY_CORPUS"]) / name
    if not folder.is_dir():
        pytest.skip("this corpus cannot be had from the registry")
    pattern, least, answered = CORPORA[name]
    files = [path for path in sorted(folder.rglob(pattern)) if path.is_file()]
    assert len(files) >= least
    outcomes = {path.name: outcome(path, decode_limited) for path in files}
    print(f"{name}: {len(files)} files, {Counter(outcomes.values())}")
    assert {file: code for file, code in outcomes.items() if code in COSTLY} == {}
    assert Counter(outcomes.values())["radiograph"] >= answered
