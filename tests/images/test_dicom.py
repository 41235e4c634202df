"""One drawn radiograph, written through each transfer syntax and photometric variant, is one grey image."""

from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from covid_xray.config import Limits
from covid_xray.errors import BadImage
from covid_xray.files import sha256_bytes
from covid_xray.images.decode import decode
from covid_xray.images.sandbox import decode_limited
from support import drawing, twelve_bits

TWELVE = drawing.picture(bits=12)
EIGHT = drawing.picture()


def code_of(data: bytes, **limits: int) -> str:
    with pytest.raises(BadImage) as refusal:
        decode(data, limits=Limits(**limits))
    return refusal.value.code


LOSSLESS = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    RLELossless,
    drawing.J2K_LOSSLESS,
    drawing.JPEG_LOSSLESS,
    drawing.JPEG_LOSSLESS_SV1,
    drawing.JPEG_LS,
]


def require_codecs(syntax: str) -> None:
    if syntax in (drawing.JPEG_LOSSLESS, drawing.JPEG_LOSSLESS_SV1, drawing.JPEG_LS):
        pytest.importorskip("gdcm", reason="python-gdcm writes this transfer syntax")
    if syntax == drawing.J2K_LOSSLESS:
        pytest.importorskip("openjpeg", reason="pylibjpeg-openjpeg writes this transfer syntax")


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_lossless_transfer_syntaxes_keep_every_grey_level(syntax: str, bits: int) -> None:
    require_codecs(syntax)
    pixels = drawing.picture(bits=bits)
    radiograph = decode(drawing.dicom(pixels, syntax=syntax, bits=bits))
    assert np.array_equal(radiograph.pixels, pixels)
    assert (radiograph.bits, radiograph.pixels.dtype) == (bits, pixels.dtype)


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_monochrome1_is_inverted_in_every_syntax(syntax: str) -> None:
    require_codecs(syntax)
    radiograph = decode(drawing.dicom(4095 - TWELVE, syntax=syntax, photometric="MONOCHROME1"))
    assert np.array_equal(radiograph.pixels, TWELVE)
    assert radiograph.source.photometric == "MONOCHROME1"


@pytest.mark.parametrize("syntax", [drawing.JPEG_BASELINE, drawing.JPEG_EXTENDED])
def test_lossy_jpeg_stays_close(syntax: str) -> None:
    frame = drawing.jpeg(EIGHT, quality=95)
    pixels = decode(drawing.dicom(EIGHT, syntax=syntax, bits=8, frame=frame)).pixels
    assert np.abs(pixels.astype(int) - EIGHT).max() <= 20
    assert np.abs(pixels.astype(int) - EIGHT).mean() < 1.5
    assert np.array_equal(pixels, decode(frame).pixels), "the same stream gives the same grey, wrapped or not"


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_near_lossless_jpeg_ls_keeps_its_word(bits: int) -> None:
    pytest.importorskip("gdcm", reason="python-gdcm writes this transfer syntax")
    pixels = drawing.picture(bits=bits)
    data = drawing.dicom(pixels, syntax=drawing.JPEG_LS_NEAR, bits=bits)
    error = np.abs(decode(data).pixels.astype(int) - pixels).max()
    assert 0 < error <= drawing.NEAR


def test_lossy_jpeg_2000_stays_close() -> None:
    codec = pytest.importorskip("openjpeg.utils")
    frame = bytes(codec.encode_array(TWELVE, bits_stored=12, photometric_interpretation=2, compression_ratios=[6]))
    pixels = decode(drawing.dicom(TWELVE, syntax=drawing.J2K, frame=frame)).pixels
    assert 0 < np.abs(pixels.astype(int) - TWELVE).mean() < 20


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_signed_pixels(syntax: str) -> None:
    require_codecs(syntax)
    signed = (TWELVE.astype(np.int32) - 2048).astype(np.int16)
    assert np.array_equal(decode(drawing.dicom(signed, syntax=syntax)).pixels, TWELVE)


def test_signed_pixels_with_window() -> None:
    signed = (TWELVE.astype(np.int32) - 2048).astype(np.int16)
    data = drawing.dicom(signed, WindowCenter="0", WindowWidth="4096")
    assert np.array_equal(decode(data).pixels, TWELVE)


def test_rescale_comes_before_the_window() -> None:
    # Output units are 2 x - 1000; the window is given in them and covers all.
    data = drawing.dicom(TWELVE, RescaleSlope="2", RescaleIntercept="-1000", WindowCenter="3095.5", WindowWidth="8191")
    assert np.array_equal(decode(data).pixels, TWELVE)


def test_negative_slope_turns_the_picture_over() -> None:
    data = drawing.dicom(4095 - TWELVE, RescaleSlope="-1", RescaleIntercept="4095")
    assert np.array_equal(decode(data).pixels, TWELVE)


def test_window_comes_before_monochrome1() -> None:
    stored = 4095 - TWELVE
    plain = decode(drawing.dicom(stored, WindowCenter="3000", WindowWidth="1000")).pixels
    inverted = decode(drawing.dicom(stored, photometric="MONOCHROME1", WindowCenter="3000", WindowWidth="1000")).pixels
    assert np.array_equal(inverted, 4095 - plain)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_of_every_function(syntax: str, function: str | None) -> None:
    """Held against the formulas of PS3.3 C.11.2.1.2 and C.11.2.1.3, on rescaled values."""
    x, centre, width = TWELVE * 0.5 - 300, 700.0, 900.0
    expected = {
        "LINEAR": ((x - (centre - 0.5)) / (width - 1) + 0.5).clip(0, 1),
        "LINEAR_EXACT": ((x - centre) / width + 0.5).clip(0, 1),
        "SIGMOID": 1 / (1 + np.exp(-4 * (x - centre) / width)),
    }[function or "LINEAR"]
    tags = {"VOILUTFunction": function} if function else {}
    data = drawing.dicom(
        TWELVE,
        syntax=syntax,
        RescaleSlope="0.5",
        RescaleIntercept="-300",
        WindowCenter="700",
        WindowWidth="900",
        **tags,
    )
    assert np.array_equal(decode(data).pixels, np.rint(4095 * expected))


def test_first_of_several_windows_counts() -> None:
    data = drawing.dicom(TWELVE, WindowCenter=["2048", "100"], WindowWidth=["4096", "50"])
    assert np.array_equal(decode(data).pixels, TWELVE)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_voi_lut_wins_over_window(syntax: str) -> None:
    root = np.rint(4095 * np.sqrt(np.arange(4096) / 4095)).astype(np.uint16)
    data = drawing.dicom(TWELVE, syntax=syntax, VOILUTSequence=drawing.lut(root), WindowCenter="9", WindowWidth="2")
    assert np.array_equal(decode(data).pixels, root[TWELVE])


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_voi_lut_of_signed_pixels(syntax: str) -> None:
    signed = (TWELVE.astype(np.int32) - 2048).astype(np.int16)
    data = drawing.dicom(signed, syntax=syntax, VOILUTSequence=drawing.lut(np.arange(4096), first=-2048))
    assert np.array_equal(decode(data).pixels, TWELVE)


def test_modality_lut() -> None:
    square = (np.arange(4096) ** 2 // 4096).astype(np.uint16)
    data = drawing.dicom(TWELVE, ModalityLUTSequence=drawing.lut(square))
    assert np.array_equal(decode(data).pixels, square[TWELVE])


def test_overlay_bits_above_the_pixels_are_ignored() -> None:
    assert np.array_equal(decode(drawing.dicom(TWELVE | 0xA000)).pixels, TWELVE)


def test_pixels_in_the_high_bits() -> None:
    assert np.array_equal(decode(drawing.dicom(TWELVE << 4, HighBit=15)).pixels, TWELVE)


def rgb(pixels: np.ndarray) -> np.ndarray:
    return np.stack([pixels] * 3, axis=-1)


def test_colour_becomes_luma_as_in_png() -> None:
    colours = np.stack([EIGHT, EIGHT[::-1], 255 - EIGHT], axis=-1)
    expected = decode(drawing.png(colours)).pixels
    assert np.array_equal(decode(drawing.dicom(colours, bits=8, photometric="RGB")).pixels, expected)
    planes = np.ascontiguousarray(np.moveaxis(colours, 2, 0))
    planar = drawing.dicom(colours, bits=8, photometric="RGB", PlanarConfiguration=1, PixelData=planes.tobytes())
    assert np.array_equal(decode(planar).pixels, expected)
    ybr = np.array(Image.fromarray(colours).convert("YCbCr"))
    converted = decode(drawing.dicom(ybr, bits=8, photometric="YBR_FULL")).pixels
    assert np.abs(converted.astype(int) - expected).max() <= 3


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_colour_is_the_same_luma_in_every_lossless_syntax(syntax: str) -> None:
    require_codecs(syntax)
    colours = np.stack([EIGHT, EIGHT[::-1], 255 - EIGHT], axis=-1)
    expected = decode(drawing.png(colours)).pixels
    assert np.array_equal(decode(drawing.dicom(colours, syntax=syntax, bits=8, photometric="RGB")).pixels, expected)


def test_colour_of_a_lossy_jpeg_is_as_outside_of_dicom() -> None:
    colours = np.stack([EIGHT, EIGHT, 255 - EIGHT], axis=-1)
    frame = drawing.jpeg(colours, quality=95, subsampling=1)  # 4:2:2
    data = drawing.dicom(colours, syntax=drawing.JPEG_BASELINE, bits=8, photometric="YBR_FULL_422", frame=frame)
    # Pillow takes the luma of a colour JPEG as it is stored; by way of RGB it is rounded twice.
    assert np.abs(decode(data).pixels.astype(int) - decode(frame).pixels).max() <= 2


def test_grey_in_colour_is_exact() -> None:
    assert np.array_equal(decode(drawing.dicom(rgb(EIGHT), bits=8, photometric="RGB")).pixels, EIGHT)
    wide = drawing.picture(bits=16)
    radiograph = decode(drawing.dicom(rgb(wide), bits=16, photometric="RGB"))
    assert np.abs(radiograph.pixels.astype(int) - wide).max() <= 1
    assert radiograph.bits == 16


@pytest.mark.parametrize("bits", [8, 16])
def test_palette_colour(bits: int) -> None:
    order = np.random.default_rng(3).permutation(256)  # code -> grey
    codes = np.argsort(order)[EIGHT].astype(np.uint8)
    entries = (order * (257 if bits == 16 else 1)).astype("<u2" if bits == 16 else np.uint8).tobytes()
    tags = {}
    for colour in ("Red", "Green", "Blue"):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        tags[f"{colour}PaletteColorLookupTableData"] = entries
    radiograph = decode(drawing.dicom(codes, bits=8, photometric="PALETTE COLOR", **tags))
    assert radiograph.bits == bits
    assert np.array_equal(radiograph.pixels, EIGHT.astype(np.uint16) * 257 if bits == 16 else EIGHT)


def test_view_and_spacing_are_told() -> None:
    source = decode(drawing.dicom(TWELVE, ViewPosition="pa", ImagerPixelSpacing=[0.2, 0.1])).source
    assert (source.format, source.view, source.spacing) == ("DICOM", "PA", (0.2, 0.1))
    both = decode(drawing.dicom(TWELVE, PixelSpacing=[0.3, 0.3], ImagerPixelSpacing=[0.2, 0.1])).source
    assert both.spacing == (0.3, 0.3)


def test_modality_is_told_and_free_text_in_it_does_not_get_out() -> None:
    assert decode(drawing.dicom(TWELVE, Modality="CT")).source.modality == "CT"
    assert decode(drawing.dicom(TWELVE, Modality="DOE JOHN", ViewPosition="LATERAL")).source.modality is None


def test_free_text_in_view_position_does_not_get_out() -> None:
    assert decode(drawing.dicom(TWELVE, ViewPosition="DOE JOHN")).source.view is None


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"NumberOfFrames": 2}, "several-frames"),
        ({"NumberOfFrames": 1_000_000_000}, "several-frames"),
        ({"Rows": 30_000, "Columns": 30_000}, "too-many-pixels"),
        ({"Rows": 0}, "no-pixels"),
        ({"Rows": 97}, "truncated"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "unsupported-bits"),
        ({"BitsAllocated": 12}, "unsupported-bits"),
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "unsupported-bits"),
        ({"BitsStored": 7}, "unsupported-bits"),
        ({"BitsStored": 17}, "unsupported-bits"),
        ({"PhotometricInterpretation": "CMYK"}, "unsupported-photometric"),
        ({"SamplesPerPixel": 3}, "unsupported-photometric"),
        ({"VOILUTSequence": drawing.lut([])}, "damaged"),
    ],
)
def test_tags_that_cannot_be_met_are_refused(tags: dict, code: str) -> None:
    assert code_of(drawing.dicom(TWELVE, **tags)) == code


def test_object_without_pixels() -> None:
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(drawing.dicom(TWELVE)))
    del dataset.PixelData
    assert code_of(drawing.written(dataset)) == "no-pixels"


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.110", "1.2.3"]
)
def test_other_transfer_syntaxes_are_refused_before_parsing(syntax: str) -> None:
    data = drawing.dicom(TWELVE)
    uid = b"1.2.840.10008.1.2.1\0"
    body = syntax.encode() + b"\0" * (len(syntax) % 2)
    head = data.replace(b"UI" + bytes([len(uid), 0]) + uid, b"UI" + bytes([len(body), 0]) + body, 1)
    assert code_of(head[: head.index(body) + len(body)] + b"\xff" * 50) == "unsupported-transfer-syntax"


def test_compressed_stream_larger_than_the_tags_say() -> None:
    frame = drawing.jpeg(np.zeros((4000, 4000), np.uint8))
    data = drawing.dicom(EIGHT, syntax=drawing.JPEG_BASELINE, bits=8, frame=frame)
    assert code_of(data) == "damaged"
    assert code_of(data, side=2000) == "too-many-pixels"


def test_missing_decoder_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom.pixels import get_decoder

    pytest.importorskip("openjpeg")
    data = drawing.dicom(TWELVE, syntax=drawing.J2K_LOSSLESS)
    monkeypatch.setattr(get_decoder(drawing.J2K_LOSSLESS), "_available", {})
    with pytest.raises(BadImage, match=r"pylibjpeg-openjpeg: pip install \"covid-xray\[dicom\]\"") as refusal:
        decode(data)
    assert refusal.value.code == "missing-decoder"


def with_bits(frame: bytes, bits: int) -> bytes:
    """The JPEG stream with another depth in its header."""
    at = frame.index(b"\xff\xc1")
    return frame[: at + 4] + bytes([bits]) + frame[at + 5 :]


def test_extended_jpeg_of_12_bits_keeps_them() -> None:
    pytest.importorskip("gdcm")
    data = drawing.dicom(TWELVE, syntax=drawing.JPEG_EXTENDED, frame=twelve_bits.encode(TWELVE))
    radiograph = decode(data)
    assert radiograph.bits == 12
    assert np.abs(radiograph.pixels.astype(int) - TWELVE).max() <= 1
    assert np.array_equal(decode_limited(data).pixels, radiograph.pixels)


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_extended_jpeg_of_12_bits_is_read_as_by_dcmtk(name: str) -> None:
    pytest.importorskip("gdcm")
    (path,) = pydicom.data.get_testdata_files(name)
    # SHA-256 of the pixels that dcmdjpeg of DCMTK 3.6.7 writes
    expected = "d30242775a414c01d616447854ebe3f2b20259822894bcd6891f879bcdcbf313"
    assert sha256_bytes(decode(Path(path)).pixels.astype("<u2").tobytes()) == expected


@pytest.mark.parametrize(("tags", "bits"), [({}, 13), ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, 12)])
def test_extended_jpeg_of_other_forms_is_refused(tags: dict, bits: int) -> None:
    frame = with_bits(twelve_bits.encode(TWELVE), bits)
    assert code_of(drawing.dicom(TWELVE, syntax=drawing.JPEG_EXTENDED, frame=frame, **tags)) == "unsupported-bits"


LEFT = {"BitsStored": 12, "HighBit": 15}


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("signed", [False, True])
def test_left_aligned_pixels_in_every_syntax(syntax: str, signed: bool) -> None:
    require_codecs(syntax)
    words = TWELVE << 4
    words = words.view(np.int16) if signed else words
    data = drawing.dicom(words, syntax=syntax, bits=16)
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(data))
    dataset.BitsStored = 12
    expected = (TWELVE.astype(np.int32) ^ 0x800) if signed else TWELVE
    assert np.array_equal(decode(drawing.written(dataset)).pixels, expected)


@pytest.mark.parametrize("slope", ["1", "2"])
def test_without_a_window_the_significant_bits_count_as_in_a_png(slope: str) -> None:
    rescale = {"RescaleSlope": slope, "RescaleIntercept": "-1000"}
    for pixels in (TWELVE, TWELVE.astype(np.int16)):
        radiograph = decode(drawing.dicom(pixels, bits=16, **rescale))
        assert radiograph.bits == 12
        assert np.array_equal(radiograph.pixels, TWELVE)
    negative = (TWELVE.astype(np.int32) - 2048).astype(np.int16)
    radiograph = decode(drawing.dicom(negative, bits=16, **rescale))
    assert (radiograph.bits, np.array_equal(radiograph.pixels, TWELVE)) == (12, True)
    dark = decode(drawing.dicom(TWELVE // 8, bits=12))
    assert (dark.bits, np.array_equal(dark.pixels, TWELVE // 8)) == (10, True)
    assert decode(drawing.dicom(TWELVE, bits=16, WindowCenter="32768", WindowWidth="65536")).bits == 16


def test_padding_and_a_few_marker_pixels_do_not_decide_on_the_bits() -> None:
    pixels = TWELVE.copy()
    pixels[:5, :5] = 65_535
    radiograph = decode(drawing.dicom(pixels, bits=16))
    assert (radiograph.bits, np.array_equal(radiograph.pixels, pixels.clip(0, 4095))) == (12, True)
    pixels[:40] = 65_535
    assert decode(drawing.dicom(pixels, bits=16)).bits == 16
    assert decode(drawing.dicom(pixels, bits=16, PixelPaddingValue=65_535)).bits == 12


@pytest.mark.parametrize(
    ("tags", "warning"),
    [
        ({"WindowCenter": "2048,0", "WindowWidth": "4096"}, "invalid-value"),
        ({"WindowCenter": ["2048,0", "100"], "WindowWidth": ["4096", "50"]}, "invalid-value"),
        ({"WindowCenter": "2048 HU", "WindowWidth": "4096"}, "invalid-value"),
        ({"RescaleSlope": "1,000", "RescaleIntercept": "none"}, "invalid-value"),
        ({"NumberOfFrames": 0}, None),
        ({"PhotometricInterpretation": "Monochrome2"}, None),
        ({"PhotometricInterpretation": "monochrome2 "}, None),
    ],
)
def test_values_that_pydicom_cannot_convert_are_read_as_by_dcmtk(tags: dict, warning: str | None) -> None:
    radiograph = decode(with_text(drawing.dicom(TWELVE), tags))
    assert np.array_equal(radiograph.pixels, TWELVE)
    assert radiograph.source.warnings == ((warning,) if warning else ())


def with_text(data: bytes, tags: dict) -> bytes:
    """Write values that pydicom does not let pass, as text of their type."""
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(data))
    for keyword, value in tags.items():
        raw = "\\".join(value) if isinstance(value, list) else str(value)
        dataset.add_new(keyword, "LO", raw)
    vrs = {keyword: pydicom.datadict.dictionary_VR(keyword).encode() for keyword in tags}
    out = drawing.written(dataset)
    for keyword, vr in vrs.items():
        tag = pydicom.tag.Tag(keyword)
        at = out.index(int(tag.group).to_bytes(2, "little") + int(tag.element).to_bytes(2, "little") + b"LO")
        out = out[: at + 4] + vr + out[at + 6 :]
    return out


def test_several_luts_and_windows_the_first_counts() -> None:
    root = np.rint(4095 * np.sqrt(np.arange(4096) / 4095)).astype(np.uint16)
    both = pydicom.Sequence([drawing.lut(root)[0], drawing.lut(np.zeros(4096))[0]])
    assert np.array_equal(decode(drawing.dicom(TWELVE, VOILUTSequence=both)).pixels, root[TWELVE])


def test_presentation_lut_shape_inverse_inverts() -> None:
    radiograph = decode(drawing.dicom(4095 - TWELVE, PresentationLUTShape="INVERSE"))
    assert np.array_equal(radiograph.pixels, TWELVE)


def test_a_syntax_of_the_standard_that_is_not_read_is_named() -> None:
    data = drawing.dicom(TWELVE).replace(b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x14\x001.2.840.10008.1.2.2\0")
    with pytest.raises(BadImage, match="Explicit VR Big Endian"):
        decode(data)


@pytest.mark.parametrize(
    ("orientation", "turn", "warnings"),
    [
        (["L", "F"], lambda p: p, ()),
        (["R", "H"], lambda p: p[::-1, ::-1], ("turned-back",)),
        (["H", "L"], lambda p: np.rot90(p, -1), ("turned-back",)),
        (["F", "R"], np.rot90, ("turned-back",)),
        (["R", "F"], lambda p: p, ("mirrored",)),
        (["L", "H"], lambda p: p[::-1, ::-1], ("turned-back", "mirrored")),
    ],
)
def test_a_turned_film_is_turned_back_and_a_mirrored_one_is_said(orientation: list, turn, warnings: tuple) -> None:  # type: ignore[no-untyped-def]
    stored = np.ascontiguousarray(turn(TWELVE))
    data = drawing.dicom(stored, PatientOrientation=orientation, ViewPosition="PA", PixelSpacing=["0.1", "0.2"])
    radiograph = decode(data)
    assert np.array_equal(radiograph.pixels, TWELVE)
    assert radiograph.source.warnings == warnings
    assert radiograph.source.spacing == ((0.2, 0.1) if stored.shape != TWELVE.shape else (0.1, 0.2))
    assert np.array_equal(decode_limited(data).pixels, TWELVE)
    assert decode_limited(data).source == radiograph.source
    side = decode(drawing.dicom(stored, PatientOrientation=orientation, ViewPosition="LL"))
    assert (side.source.turned, side.source.warnings) == (0, ())


def test_contradictory_polarity_is_said() -> None:
    assert decode(drawing.dicom(TWELVE, PresentationLUTShape="INVERSE")).source.warnings == ("contradictory-polarity",)
    agreeing = {"photometric": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
    assert decode(drawing.dicom(TWELVE, **agreeing)).source.warnings == ()


@pytest.mark.parametrize(
    "tags", [{"PresentationIntentType": "FOR PROCESSING"}, {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"}]
)
def test_raw_images_are_refused_with_the_reason(tags: dict) -> None:
    assert code_of(drawing.dicom(TWELVE, **tags)) == "for-processing"
