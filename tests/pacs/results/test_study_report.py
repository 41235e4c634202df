"""The report of a study: every image once, a predecessor where there was one, sound in both SOP classes."""

import io
from pathlib import Path

import highdicom
import pydicom
import pytest

from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.results.references import ObjectReference
from covid_xray.pacs.results.result_objects import ResultBuilder, to_bytes
from covid_xray.pacs.results.study_report import as_comprehensive, join_reports
from support import studies
from support.chests import chest

PIXELS = chest(height=160, width=140, body=255, lung=85)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    builder = ResultBuilder(
        Predictor(studies.make_lung_bundle(tmp_path_factory.mktemp("b") / "bundle")), kinds=["sr", "seg"], share=0.3
    )
    films = (studies.film(PIXELS), studies.film(255 - PIXELS, number=2))
    return [builder.build(film).objects["sr"] for film in films]


def test_it_holds_the_groups_and_the_evidence_of_every_image(parts: list[bytes], tmp_path: Path) -> None:
    studies.require("dciodvfy", "dsrdump")
    data = to_bytes(join_reports(parts))
    assert studies.errors_of(data, tmp_path) == []
    assert studies.broken_rules(data) == {}
    report = highdicom.sr.srread(io.BytesIO(data))
    assert isinstance(report, highdicom.sr.Comprehensive3DSR)
    images = report.content.get_image_measurement_groups()
    assert len(images) == 2
    assert len({group.tracking_uid for group in images}) == 2
    assert len({group.tracking_identifier for group in images}) == 2
    regions = report.content.get_planar_roi_measurement_groups()
    assert len(regions) == 1
    assert regions[0].referenced_segmentation_frame is not None
    assert len({str(uids[2]) for uids in report.get_evidence()}) == 3  # two images and a segmentation
    assert to_bytes(join_reports(parts)) == data


def test_one_image_keeps_its_own_report(parts: list[bytes]) -> None:
    assert to_bytes(join_reports(parts[:1])) == parts[0]


def test_a_later_report_names_the_one_before(parts: list[bytes], tmp_path: Path) -> None:
    studies.require("dciodvfy")
    first = join_reports(parts[:1])
    data = to_bytes(join_reports(parts, predecessor=ObjectReference.to(first)))
    assert studies.errors_of(data, tmp_path) == []
    later = pydicom.dcmread(io.BytesIO(data))
    (study,) = later.PredecessorDocumentsSequence
    assert study.StudyInstanceUID == first.StudyInstanceUID
    assert study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert later.SOPInstanceUID not in (first.SOPInstanceUID, join_reports(parts).SOPInstanceUID)


def test_an_archive_without_3d_reports_gets_the_same_content(parts: list[bytes], tmp_path: Path) -> None:
    studies.require("dciodvfy", "dsrdump")
    report = join_reports(parts)
    plain = as_comprehensive(report)
    data = to_bytes(plain)
    assert studies.errors_of(data, tmp_path) == []
    assert studies.broken_rules(data) == {}
    read = highdicom.sr.srread(io.BytesIO(data))
    assert isinstance(read, highdicom.sr.ComprehensiveSR)
    assert len(read.content.get_image_measurement_groups()) == 2
    assert plain.SOPInstanceUID != report.SOPInstanceUID
    assert plain.ContentSequence == report.ContentSequence
    assert to_bytes(as_comprehensive(plain)) == data
