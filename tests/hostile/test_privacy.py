"""Names in every tag that can hold one, and in file names: none comes out but where the user asked for it.

The tags are every attribute of PS3.15 table E.1-1 (edition 2026c, the 655 rows of `ps3_15_table_e1_1.csv`, as the
package dicom-anonymizer 2.1.0 lists them), numbers, times, sequences and bytes among them, and besides the 900 text,
date and UID elements that pydicom knows outside the image itself. What may hold a file name: the results file, the
report and the failures named on the terminal.
"""

import csv
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image, PngImagePlugin
from pydicom.datadict import DicomDictionary

from support import drawing
from support.bundles import facts, make_bundle
from support.commands import run

CANARY, DATE, UID, AGE = "CANARYQUILL", "19370113", "1.2.826.4711.815.42", "093Y"
# Where text cannot go: numbers that nothing else here has.
DECIMAL, INTEGER, SHORT, TIME = "7319.418731", "731941873", 47113, "074113.731941"
SECRETS = [text.encode() for text in (CANARY, DATE, UID, AGE, DECIMAL, INTEGER, str(SHORT), TIME)]
BY_VR = {
    **dict.fromkeys(("PN", "LO", "SH", "ST", "LT", "UT", "UC"), CANARY),
    **dict.fromkeys(("DA", "DT"), DATE),
    "UI": UID,
    "AS": AGE,
}
ITEM = pydicom.Dataset()
ITEM.PatientName = ITEM.PatientID = CANARY
OF_TABLE = {
    **BY_VR,
    **dict.fromkeys(("AE", "CS"), CANARY),
    **dict.fromkeys(("OB", "UN"), CANARY.encode() + b" "),
    "UR": f"http://{CANARY}",
    "DS": DECIMAL,
    "IS": INTEGER,
    "US": SHORT,
    "TM": TIME,
    "SQ": [ITEM],
}
# Elements of commands and of media directories: no file of an image has them.
NOT_IN_FILES = {0x0000, 0x0004}
# What decides how the pixels are read stays as it is.
KEPT_GROUPS = {0x0000, 0x0002, 0x0028, 0x7FE0, 0xFFFC, 0xFFFE, 0x0004}


def full_of_names(**tags: object) -> bytes:
    """A drawn DICOM file with the canary in 900 elements, a nested sequence and a private block."""
    dataset = pydicom.dcmread(io.BytesIO(drawing.dicom(drawing.picture(24, 24, bits=12), **tags)))
    count = 0
    for tag, (vr, *_, keyword) in DicomDictionary.items():
        if tag >> 16 not in KEPT_GROUPS and vr in BY_VR and keyword not in ("SpecificCharacterSet", "SOPClassUID"):
            dataset.add_new(tag, vr, BY_VR[vr])
            count += 1
    assert count > 900
    for row in table():
        tag = int(row["tag"][:8], 16) + (0x3000 if row["name"] == "Curve Data" else 0)
        if tag >> 16 == 0x0002:
            dataset.file_meta[tag] = pydicom.DataElement(tag, row["vr"], OF_TABLE[row["vr"]])
        elif tag >> 16 not in NOT_IN_FILES:
            dataset.add_new(tag, row["vr"], OF_TABLE[row["vr"]])
    dataset.private_block(0x0009, CANARY, create=True).add_new(1, "LO", CANARY)
    dataset.ImageComments = CANARY
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def table() -> list[dict[str, str]]:
    """PS3.15 table E.1-1: tag (repeating groups as tag/mask), name, value representation, action of the profile."""
    with Path(__file__).with_name("ps3_15_table_e1_1.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def spoilt(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Files that fail in different places, each with the names still in it."""
    yield "whole", data
    yield "cut", data[: len(data) - 300]
    yield "cut-early", data[: len(data) // 2]
    yield "bad-date", data.replace(DATE.encode(), CANARY[:8].encode())
    numbers = data
    for number in (DECIMAL, INTEGER, TIME):  # a name where a number should be: readers like to quote what they refuse
        numbers = numbers.replace(number.encode(), CANARY.encode()[: len(number)].ljust(len(number)))
    yield "bad-numbers", numbers
    yield "bad-vr", data.replace(b"PN\x0b\0", b"DA\x0b\0").replace(b"LO\x0c\0", b"IS\x0c\0")
    for keyword, tag in (("rows", b"\x28\0\x10\0US"), ("bits", b"\x28\0\0\1US"), ("colour", b"\x28\0\x04\0CS")):
        at = data.index(tag)
        yield keyword, data[: at + 8] + b"\xff\xff" + data[at + 10 :]
    yield "window", full_of_names(WindowCenter="1e999", WindowWidth="nan")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("films")
    for name, data in spoilt(full_of_names()):
        (root / f"{name}.dcm").write_bytes(data)
    info = PngImagePlugin.PngInfo()
    info.add_text("Patient", CANARY)
    info.add_itxt("Born", DATE)
    Image.fromarray(drawing.picture(24, 24)).save(root / "text.png", pnginfo=info)
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = CANARY, CANARY
    Image.fromarray(drawing.picture(24, 24)).save(root / "exif.jpg", exif=exif)
    (root / "exif-cut.jpg").write_bytes((root / "exif.jpg").read_bytes()[:-200])
    assert any(CANARY.encode() in path.read_bytes() for path in root.iterdir())
    return root


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    about = {**facts()["input"], "resize": "bilinear"}
    return make_bundle(tmp_path / "bundle", input=about)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    for name in (None, "pydicom", "PIL", "covid_xray", "onnxruntime"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def hits(*parts: bytes) -> list[bytes]:
    return [secret for secret in SECRETS if any(secret in part for part in parts)]


def written(*folders: Path) -> list[bytes]:
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    assert files
    return [path.read_bytes() for path in files]


def test_the_canaries_are_in_every_attribute_of_the_table() -> None:
    dataset = pydicom.dcmread(io.BytesIO(full_of_names()))
    held = {int(element.tag) for part in (dataset, dataset.file_meta) for element in part}
    rows = table()
    assert len(rows) == 655
    absent = [row for row in rows if not any(_is(row["tag"], tag) for tag in held)]
    assert {row["tag"][:4] for row in absent} == {"0000", "0004"}, [row["name"] for row in absent]
    assert {row["vr"] for row in rows} <= set(OF_TABLE)
    data = full_of_names()
    assert all(secret in data for secret in SECRETS if secret != str(SHORT).encode())
    assert dataset.PregnancyStatus == SHORT


def _is(row: str, tag: int) -> bool:
    wanted, _, mask = row.partition("/")
    return tag & int(mask or "ffffffff", 16) == int(wanted, 16)


def test_tags_come_out_nowhere(folder: Path, bundle: Path, tmp_path: Path, log, capsysbinary) -> None:
    log.clear()
    out, report = tmp_path / "out", tmp_path / "out" / "run.json"
    for options in (["--heatmap", "--report", report], ["--json"]):
        ran = run(capsysbinary, "predict", folder, "-o", out, *options, "--bundle", bundle)
        assert ran.code == 4, "some are answered, some are not"
        assert hits(ran.out, ran.err, log.text.encode(), *written(out)) == []
    ran = run(capsysbinary, "explain", folder, "-o", tmp_path / "maps", "--bundle", bundle)
    assert ran.code == 4
    assert hits(ran.out, ran.err, log.text.encode(), *written(tmp_path / "maps")) == []


def test_tags_come_out_of_no_evaluation(bundle: Path, tmp_path: Path, log, capsysbinary) -> None:
    for number in range(12):
        path = tmp_path / "data" / ("covid", "normal", "virus")[number % 3] / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(full_of_names(InstanceNumber=str(number)) + bytes(2 * number))
    log.clear()  # of what pydicom said while we wrote
    ran = run(capsysbinary, "evaluate", bundle, "--data", tmp_path / "data", "-o", tmp_path / "out", "--rounds", 10)
    assert ran.code == 0, ran.err.decode()
    assert hits(ran.out, ran.err, log.text.encode(), *written(tmp_path / "out")) == []


def test_file_names_are_in_no_log(bundle: Path, tmp_path: Path, log, capsysbinary) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / f"{CANARY}-good.png").write_bytes(drawing.png(drawing.picture(24, 24)))
    (films / f"{CANARY}-bad.png").write_bytes(b"no image")
    (films / f"{CANARY}-bad.dcm").write_bytes(full_of_names()[:-400])
    log.clear()
    ran = run(capsysbinary, "predict", films, "-o", tmp_path / "out", "--bundle", bundle)
    assert ran.code == 4
    assert hits(log.text.encode()) == []
    rows = (tmp_path / "out" / "predictions.csv").read_text().splitlines()[1:]
    assert all(row.count(CANARY) == 1 for row in rows), "in the column of the image and nowhere else"


def test_arrays_of_an_image_name_nobody(folder: Path) -> None:
    from covid_xray.images.decode import decode

    radiograph = decode(folder / "whole.dcm")
    assert hits(repr(radiograph.source).encode(), np.ascontiguousarray(radiograph.pixels).tobytes()) == []
