"""What GDCM is asked for directly; the streams are of our own encoder. Other forms and third files: test_dicom.py."""

import numpy as np
import pytest

from covid_xray.errors import BadImage
from covid_xray.images import gdcm_codec
from covid_xray.images.decode import decode
from support import drawing, twelve_bits

pytest.importorskip("gdcm")

DEEP = drawing.picture(45, 38, bits=12)


def test_any_size_and_the_whole_range_of_grey() -> None:
    for height, width in ((8, 8), (1, 1), (17, 30), (45, 38)):
        pixels = DEEP[:height, :width]
        found = gdcm_codec.decode_extended(twelve_bits.encode(pixels), rows=height, columns=width)
        assert np.abs(found.astype(int) - pixels).max() <= 1
    noise = np.random.default_rng(0).integers(0, 4096, (24, 24)).astype(np.uint16)
    assert (
        np.abs(gdcm_codec.decode_extended(twelve_bits.encode(noise), rows=24, columns=24).astype(int) - noise).max()
        <= 1
    )


def test_a_stream_of_nonsense_is_damaged() -> None:
    with pytest.raises(BadImage) as refusal:
        gdcm_codec.decode_extended(b"\xff\xd8\xff\xc1" + bytes(60) + b"\xff\xd9", rows=45, columns=38)
    assert refusal.value.code == "damaged"


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    for data in (
        drawing.dicom(DEEP, syntax=drawing.JPEG_EXTENDED, frame=twelve_bits.encode(DEEP)),
        *(drawing.dicom(DEEP, syntax=syntax) for syntax in (drawing.JPEG_LOSSLESS_SV1, drawing.JPEG_LS)),
    ):
        capfd.readouterr()
        decode(data)
        assert capfd.readouterr() == ("", "")


def test_without_gdcm_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    data = drawing.dicom(DEEP, syntax=drawing.JPEG_EXTENDED, frame=twelve_bits.encode(DEEP))
    monkeypatch.setattr(gdcm_codec, "is_installed", lambda: False)
    with pytest.raises(BadImage, match=r"python-gdcm: pip install \"covid-xray\[dicom\]\"") as refusal:
        decode(data)
    assert refusal.value.code == "missing-decoder"
