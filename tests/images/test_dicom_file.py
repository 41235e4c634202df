"""The same pixels whatever stands before the data set: preamble, meta header, deflated, implicit VR."""

import zlib

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from covid_xray.config import Limits
from covid_xray.errors import BadImage
from covid_xray.images.decode import decode, is_image_head
from covid_xray.images.dicom_file import DEFLATED, EXPLICIT, WARNINGS, is_dicom, normalise, repair
from support import bombs, drawing

TWELVE = drawing.picture(bits=12)


def body_of(data: bytes) -> int:
    return data.index(b"\x08\x00\x16\x00")


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("start", ["meta", "data set"])
def test_a_file_without_a_preamble_is_read(syntax: str, start: str) -> None:
    whole = drawing.dicom(TWELVE, syntax=syntax)
    data = whole[132:] if start == "meta" else whole[body_of(whole) :]
    assert is_dicom(data)
    assert is_image_head(data[:352])
    radiograph = decode(data)
    assert np.array_equal(radiograph.pixels, TWELVE)
    assert radiograph.source.warnings == ("no-preamble",)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_file_without_a_meta_header_is_read(syntax: str) -> None:
    whole = drawing.dicom(TWELVE, syntax=syntax)
    data = whole[:132] + whole[body_of(whole) :]
    assert normalise(data, limits=Limits())[1] == str(syntax)
    assert np.array_equal(decode(data).pixels, TWELVE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08\x00" * 100,
        bytes(500),
        b"BM" + bytes(400),
        b"\x08\x00\x05\x00CS\x04\x00ISO \x08\x00\x05\x00CS\x04\x00ISO " * 3,
        b"\x02\x00text that begins with two odd bytes" * 20,
    ],
)
def test_other_bytes_are_no_dicom(data: bytes) -> None:
    assert not is_dicom(data)
    with pytest.raises(BadImage) as refusal:
        normalise(data, limits=Limits())
    assert refusal.value.code == "not-an-image"


def deflated(data: bytes) -> bytes:
    at = body_of(data)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return bombs.renamed(data[:at], DEFLATED) + packer.compress(data[at:]) + packer.flush()


def test_a_deflated_file_is_read_under_a_limit() -> None:
    data = deflated(drawing.dicom(TWELVE))
    assert np.array_equal(decode(data).pixels, TWELVE)
    assert normalise(data, limits=Limits())[1:] == (EXPLICIT, ())
    for limits, bad, code in (
        (Limits(upload_bytes=TWELVE.nbytes), data, "too-large"),
        (Limits(), data[:-40], "truncated"),
        (Limits(), data[: data.index(DEFLATED.encode()) + 22] + b"\xff" * 99, "damaged"),
    ):
        with pytest.raises(BadImage) as refusal:
            decode(bad, limits=limits)
        assert refusal.value.code == code


def raw(keyword: str, value: bytes) -> RawDataElement:
    return RawDataElement(pydicom.tag.Tag(keyword), "DS", len(value), value, 0, False, True)


def test_numbers_in_items_are_repaired_as_well() -> None:
    item, outer = pydicom.Dataset(), pydicom.Dataset()
    item[0x00281050] = raw("WindowCenter", b"7,5\\8")
    outer.VOILUTSequence = [item]
    assert repair(outer)
    assert list(item.WindowCenter) == [7.0, 8.0]
    assert not repair(outer)


def test_a_value_without_a_number_is_left_out() -> None:
    dataset = pydicom.Dataset()
    dataset[0x00281050] = raw("WindowCenter", b"wide")
    dataset[0x00281053] = raw("RescaleSlope", b"1,5\\x")
    assert repair(dataset)
    assert len(dataset) == 0


def test_every_warning_is_a_sentence() -> None:
    assert all(text.endswith(".") for text in WARNINGS.values())
