"""The opener's promises: a radiograph or `BadImage`, told by content, with nothing of the file in logs or messages."""

import contextlib
import logging
import os
import re
import threading
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest

import covid_xray.images
from covid_xray.config import Limits
from covid_xray.errors import BadImage, InputRefused
from covid_xray.images.decode import SUFFIXES, decode, is_candidate
from covid_xray.images.dicom_file import TRANSFER_SYNTAXES
from covid_xray.images.sandbox import decode_limited, read_source
from support import drawing

GREY = drawing.picture()
PNG, JPEG, DICOM = drawing.png(GREY), drawing.jpeg(GREY), drawing.dicom(GREY, bits=8)
CANARY = "KANARI^VOGEL"


def refusal_of(source: Path | bytes, **limits: int) -> BadImage:
    with pytest.raises(BadImage) as refusal:
        decode(source, limits=Limits(**limits))
    return refusal.value


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html></html>", "not-an-image"),
        (b"GIF89a" + bytes(100), "truncated"),
        (b"BM" + bytes(100), "no-pixels"),
        (b"II*\0" + bytes(200), "truncated"),
        (b"II+\0" + bytes(200), "not-an-image"),
        (b"\xff\xd8", "not-an-image"),
        (PNG[:8], "truncated"),
        (PNG[:-1], "truncated"),
        (JPEG[:-1], "truncated"),
        (DICOM[:132], "truncated"),
        (DICOM[:-100], "truncated"),
        (bytes(Limits().upload_bytes + 1), "too-large"),
    ],
)
def test_codes(data: bytes, code: str) -> None:
    assert refusal_of(data).code == code


@pytest.mark.parametrize(("data", "kind"), [(PNG, "PNG"), (JPEG, "JPEG"), (DICOM, "DICOM")])
@pytest.mark.parametrize("name", ["picture.png", "picture.JPG", "picture.dcm", "picture.txt", "picture"])
def test_content_not_the_name_tells_the_format(data: bytes, kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    radiograph = decode(tmp_path / name)
    assert radiograph.source.format == kind
    assert np.array_equal(radiograph.pixels, decode(data).pixels)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    for name in ("missing.png", ".", "pipe.png", "loop.png"):
        error = refusal_of(tmp_path / name)
        assert error.code == "unreadable-file"
        assert str(tmp_path) not in error.message
    (tmp_path / "large.png").write_bytes(PNG)
    assert refusal_of(tmp_path / "large.png", upload_bytes=100).code == "too-large"


def test_text_is_not_taken_for_a_path() -> None:
    with pytest.raises(TypeError, match="not str"):
        decode("picture.png")


def test_limits_are_those_given() -> None:
    assert refusal_of(PNG, pixels=GREY.size - 1).code == "too-many-pixels"
    assert refusal_of(PNG, side=95).code == "too-many-pixels"
    assert refusal_of(drawing.png(drawing.picture(bits=16)), max_bits=12).code == "unsupported-bits"
    assert decode(PNG, limits=Limits(pixels=GREY.size, side=96, upload_bytes=len(PNG))).pixels.shape == GREY.shape


@pytest.mark.parametrize(
    "raised", [AttributeError, MemoryError, RecursionError, NotImplementedError, KeyError, SyntaxError]
)
def test_whatever_a_decoder_raises_becomes_bad_image(raised: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised(CANARY)

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail, raising=False)
    error = refusal_of(PNG)
    assert error.code == ("decode-memory" if raised is MemoryError else "decoder-failed")
    assert CANARY not in error.message
    assert error.__cause__ is None
    assert error.__context__ is None


def test_messages_name_the_problem_in_a_sentence() -> None:
    for data in (b"", b"?", PNG[:-1], JPEG[:-5], DICOM[:-9], drawing.dicom(GREY, bits=8, NumberOfFrames=9)):
        message = refusal_of(data).message
        assert message[0].isupper()
        assert message.endswith(".")


def leaky_files() -> list[bytes]:
    """Files whose decoders log, warn of, or raise values: bad dates, ages and numbers, EXIF, text chunks."""
    texts = {
        "PatientName": CANARY,
        "PatientID": CANARY,
        "StudyDate": CANARY,
        "PatientAge": CANARY,
        "ViewPosition": CANARY,
    }
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(drawing.dicom(GREY, bits=8, **texts)))
    with pydicom.config.disable_value_validation():
        numbers = drawing.written(dataset)
    from PIL import Image, PngImagePlugin

    exif = Image.Exif()
    exif[0x013B], exif[0x010E] = CANARY, CANARY
    info = PngImagePlugin.PngInfo()
    info.add_text(CANARY, CANARY, zip=True)
    return [
        numbers,
        numbers[:-50],
        drawing.dicom(GREY, bits=8, **texts).replace(b"MONOCHROME2", CANARY[:11].encode()),
        drawing.dicom(GREY, bits=8, RescaleSlope="7777777", RescaleIntercept="0").replace(
            b"7777777 ", CANARY[:8].encode()
        ),
        drawing.dicom(GREY, bits=8, NumberOfFrames="7777777").replace(b"7777777 ", CANARY[:8].encode()),
        drawing.dicom(GREY, bits=8, WindowCenter="7777777", WindowWidth="9").replace(b"7777777 ", CANARY[:8].encode()),
        drawing.dicom(GREY, bits=8, SpecificCharacterSet=CANARY, **texts),
        drawing.jpeg(GREY, exif=exif),
        drawing.jpeg(GREY, exif=exif.tobytes()[:-30]),
        drawing.jpeg(GREY, comment=CANARY.encode()),
        drawing.png(GREY, pnginfo=info, exif=exif),
    ]


@pytest.mark.parametrize("open_it", [decode, decode_limited])
def test_nothing_of_a_patient_gets_out(
    open_it: object,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    files = leaky_files()  # their writers log too, so they come first
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "pydicom")
    caplog.clear()
    recwarn.clear()
    seen = []
    for data in files:
        try:
            seen.append(repr(open_it(data).source))
        except BadImage as error:
            seen.append(repr(error))
    assert any("BadImage" in text for text in seen)
    assert any("ImageSource" in text for text in seen)
    out = "".join(capfd.readouterr())
    for text in (*seen, caplog.text, out, *(str(warning.message) for warning in recwarn)):
        assert CANARY[:6] not in text
    assert caplog.text == out == ""


def test_the_canary_would_be_seen(caplog: pytest.LogCaptureFixture) -> None:
    """Without the containment pydicom logs the value: the test above can fail."""
    caplog.set_level(logging.DEBUG, "pydicom")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmread(pydicom.filebase.DicomBytesIO(leaky_files()[0])).StudyDate  # noqa: B018
    assert CANARY in caplog.text


def test_logging_and_warnings_are_as_before_even_after_threads() -> None:
    logger = logging.getLogger("pydicom")
    before = logger.level, list(warnings.filters), warnings.showwarning
    threads = threading.Barrier(4)

    def work(_: int) -> None:
        threads.wait()
        for data in (DICOM, PNG, b"junk", DICOM[:-9]) * 10:
            with contextlib.suppress(BadImage):
                decode(data)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert (logger.level, list(warnings.filters), warnings.showwarning) == before
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", stacklevel=1)


def test_threads_decode_alike() -> None:
    files = [PNG, JPEG, DICOM, drawing.png(drawing.picture(bits=16))] * 10
    expected = [decode(data).pixels for data in files]
    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(decode, files), expected, strict=True):
            assert np.array_equal(found.pixels, wanted)


def test_folder_scan_takes_images_by_suffix_and_dicom_without_one(tmp_path: Path) -> None:
    assert {".png", ".jpg", ".jpeg", ".dcm", ".ima", ".tif", ".bmp", ".gif", ".webp", ".jp2", ".npy", ".nii"} < SUFFIXES
    for name in ("a.PNG", "a.jpeg", "a.dcm", "a.ima", "a.nii.gz", "missing.jpg"):
        assert is_candidate(tmp_path / name)
    for name, data in {"IM0001": DICOM, "1.2.840.113619.2": DICOM, "IM2": PNG}.items():
        (tmp_path / name).write_bytes(data)
        assert is_candidate(tmp_path / name)
    for name, data in {
        "README": b"text",
        "notes.txt": PNG,
        "table.csv": b"",
        "1.2.3": b"",
        "a.gz": PNG,
        "x.dcm.bak": DICOM,
    }.items():
        (tmp_path / name).write_bytes(data)
        assert not is_candidate(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "missing", "."):
        assert not is_candidate(tmp_path / name)


def test_the_page_names_every_code_and_every_transfer_syntax() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "files.md").read_text(encoding="utf-8")
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(covid_xray.images.__file__).parent.glob("*.py"))
    codes = {*re.findall(r'code="([a-z-]+)"', sources), "decode-crashed"}
    assert len(codes) > 15
    assert not [code for code in codes if f"`{code}`" not in page]
    stated = set(re.findall(r"\| `(1\.2\.[0-9.]+)` \|", page))
    assert stated == set(TRANSFER_SYNTAXES)


@pytest.mark.parametrize("code", ["unreadable-file", "too-large"])
def test_the_cause_of_a_refused_file_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Whoever prints the traceback, as a server does, must not print the words or names of what failed beneath."""
    path = tmp_path / "a.png"
    path.write_bytes(PNG)

    def fail(_: Path, *, limit: int) -> bytes:
        raise OSError(5, CANARY) if code == "unreadable-file" else InputRefused(CANARY)

    monkeypatch.setattr("covid_xray.images.sandbox.read_bounded", fail)
    for reader in (read_source, decode_limited):
        with pytest.raises(BadImage) as refusal:
            reader(path, limits=Limits())
        assert refusal.value.code == code
        assert CANARY not in "".join(traceback.format_exception(refusal.value))


def test_users_read_an_image_by_path_or_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(PNG)
    for source in (str(tmp_path / "a"), tmp_path / "a", PNG):
        assert np.array_equal(covid_xray.read_image(source).pixels, decode(PNG).pixels)
    with pytest.raises(BadImage):
        covid_xray.read_image(PNG, limits=Limits(upload_bytes=3))


def test_a_dicom_file_whose_preamble_is_a_tiff_is_read_as_dicom() -> None:
    """Files of two formats at once (PS3.10 7.1) have the header of the other one in the preamble."""
    assert decode(b"II*\0\x54\x18\x08\0".ljust(128, b"\0") + DICOM[128:]).source.format == "DICOM"
