"""`covid-xray dicom`: objects and a table in a folder, reasons and exit codes, copies under a key."""

import csv
from pathlib import Path

import pydicom
import pytest

from support import studies
from support.chests import chest
from support.commands import Ran, run
from support.drawing import png

PIXELS = chest(height=160, width=140, body=255, lung=85)
Capture = pytest.CaptureFixture[bytes]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    studies.make_lung_bundle(tmp_path / "bundle")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(studies.film(PIXELS))
    (tmp_path / "in" / "b.dcm").write_bytes(studies.film(PIXELS, number=2, ViewPosition="LL"))
    (tmp_path / "in" / "c.png").write_bytes(png(PIXELS))
    return tmp_path


def dicom(capture: Capture, folder: Path, *more: object, name: str = "") -> Ran:
    source = folder / "in" / name if name else folder / "in"
    return run(capture, "dicom", source, "-o", folder / "out", "--bundle", folder / "bundle", *more)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "results.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_file_ends_as_objects_or_as_a_reason(folder: Path, capfdbinary: Capture) -> None:
    ran = dicom(capfdbinary, folder, "--share", "0.3")
    assert ran.code == 4
    assert b"3 objects for 1 of 3 files" in ran.out
    first, lateral, picture = rows(folder)
    assert (first["label"], first["code"]) == ("covid", "")
    assert (lateral["code"], picture["code"]) == ("not-frontal", "not-dicom")
    made = {first[kind] for kind in ("sc", "sr", "seg")}
    assert {path.name for path in (folder / "out").glob("*.dcm")} == made
    assert pydicom.dcmread(folder / "out" / first["sr"]).Modality == "SR"
    assert b"not-frontal" in ran.err


def test_a_study_has_one_report(folder: Path, capfdbinary: Capture) -> None:
    (folder / "in" / "b.dcm").write_bytes(studies.film(255 - PIXELS, number=2))
    (folder / "in" / "d.dcm").write_bytes(studies.film(PIXELS, study=2))
    for _ in range(2):
        assert dicom(capfdbinary, folder).code == 4
        first, second, _, other = rows(folder)
        assert first["sr"] == second["sr"] != other["sr"]
        assert {path.name for path in (folder / "out").glob("*-sr.dcm")} == {first["sr"], other["sr"]}
    report = pydicom.dcmread(folder / "out" / first["sr"])
    groups = report.ContentSequence[-1].ContentSequence
    assert sum(group.ContentSequence[0].TextValue.startswith("covid-xray finding") for group in groups) == 2


def test_originals_are_never_touched_and_a_second_run_is_the_same(folder: Path, capfdbinary: Capture) -> None:
    before = (folder / "in" / "a.dcm").read_bytes()
    how = ("--results", "sc,gsps", "--share", "0.3")
    assert dicom(capfdbinary, folder, *how, name="a.dcm").code == 0
    names = sorted(path.name for path in (folder / "out").iterdir())
    assert dicom(capfdbinary, folder, *how, name="a.dcm").code == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == names
    assert [name.partition("-")[2] for name in names] == ["gsps.dcm", "sc.dcm", ""]
    assert (folder / "in" / "a.dcm").read_bytes() == before


def test_nothing_that_can_be_answered_is_refused(folder: Path, capfdbinary: Capture) -> None:
    ran = run(capfdbinary, "dicom", folder / "in" / "b.dcm", "-o", folder / "out", "--bundle", folder / "bundle")
    assert ran.code == 3
    assert (
        run(
            capfdbinary, "dicom", folder / "in", "-o", folder / "out", "--bundle", folder / "bundle", "--results", "png"
        ).code
        == 2
    )


def test_copies_for_research_are_flagged_never_called_clean(folder: Path, capfdbinary: Capture) -> None:
    ran = dicom(capfdbinary, folder, "--deidentify", folder / "key", name="a.dcm")
    assert ran.code == 0
    assert b"1 copies may have text in their pixels" in ran.err
    row = rows(folder)[0]
    copy = (folder / "out" / "deidentified" / row["copy"]).read_bytes()
    assert row["burnt_in"] == "not said"
    assert b"Phantom" not in copy
    assert not row["copy"].startswith("P-1/")  # a keyed name may begin with the same letters
    assert (folder / "key").stat().st_size == 32
