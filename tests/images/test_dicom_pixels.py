"""What the compressed stream says of its own pixels counts, and the next decoder helps where the first fails."""

import numpy as np
import pydicom
import pytest

from covid_xray.errors import BadImage
from covid_xray.images.decode import decode
from support import drawing, htj2k

TWELVE = drawing.picture(bits=12)
EIGHT = drawing.picture()


def of_openjpeg(pixels: np.ndarray) -> pydicom.Dataset:
    pytest.importorskip("openjpeg", reason="pylibjpeg-openjpeg writes this transfer syntax")
    return pydicom.dcmread(pydicom.filebase.DicomBytesIO(drawing.dicom(pixels, syntax=drawing.J2K_LOSSLESS)))


def test_a_stream_of_the_stored_bits_alone_is_not_shifted() -> None:
    dataset = of_openjpeg(TWELVE)
    dataset.HighBit = 15
    assert np.array_equal(decode(drawing.written(dataset)).pixels, TWELVE)


def test_the_precision_of_the_stream_counts_where_it_is_less_than_stored() -> None:
    dataset = of_openjpeg(TWELVE // 8)
    dataset.BitsStored, dataset.HighBit = 16, 15
    radiograph = decode(drawing.written(dataset))
    assert (radiograph.bits, np.array_equal(radiograph.pixels, TWELVE // 8)) == (12, True)


@pytest.mark.parametrize("window", [{}, {"WindowCenter": "2048", "WindowWidth": "4096"}])
@pytest.mark.parametrize("syntax", [drawing.JPEG_BASELINE, drawing.JPEG_EXTENDED])
def test_a_stream_of_8_bits_under_tags_of_12(syntax: str, window: dict) -> None:
    frame = drawing.jpeg(EIGHT, quality=95)
    radiograph = decode(drawing.dicom(TWELVE, syntax=syntax, frame=frame, **window))
    grey = radiograph.pixels / (2**radiograph.bits - 1)
    assert np.abs(grey - decode(frame).pixels / 255).max() < 0.005


def test_the_next_decoder_is_tried_when_the_first_fails() -> None:
    """Two zero bytes before the end of the stream: CharLS refuses them, GDCM does not."""
    pytest.importorskip("gdcm")
    pytest.importorskip("jpeg_ls")
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(drawing.dicom(TWELVE, syntax=drawing.JPEG_LS)))
    frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
    end = frame.rindex(b"\xff\xd9")
    dataset.PixelData = pydicom.encaps.encapsulate([frame[:end] + b"\0\0" + frame[end:]])
    radiograph = decode(drawing.written(dataset))
    assert np.array_equal(radiograph.pixels, TWELVE)
    assert radiograph.source.warnings == ("other-decoder",)


def test_a_stream_of_12_bits_under_tags_of_8_is_read_in_12() -> None:
    dataset = of_openjpeg(TWELVE)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    radiograph = decode(drawing.written(dataset))
    assert (radiograph.bits, np.array_equal(radiograph.pixels, TWELVE)) == (12, True)


@pytest.mark.parametrize("syntax", drawing.HTJ2K)
def test_htj2k_is_read(syntax: str) -> None:
    pytest.importorskip("openjpeg", reason="pylibjpeg-openjpeg reads this transfer syntax")
    pixels = drawing.picture(24, 20, bits=12)
    data = drawing.dicom(pixels, syntax=syntax, frame=htj2k.stream() + b"\0", WindowCenter="2048", WindowWidth="4096")
    assert np.array_equal(decode(data).pixels, pixels)
    with pytest.raises(BadImage) as refusal:
        decode(drawing.dicom(pixels, syntax=syntax, frame=htj2k.stream()[:-40]))
    assert refusal.value.code == "truncated"
