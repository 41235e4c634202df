"""Result objects: sound for dciodvfy, dicom-validator and dsrdump, in the study of their original."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from covid_xray.errors import BadImage, UsageError
from covid_xray.images.phantoms import phantom
from covid_xray.inference.predictor import Predictor
from covid_xray.pacs.results.result_objects import ResultBuilder, write_results
from covid_xray.pacs.source_object import NoResult
from support import studies
from support.bundles import grey, make_bundle
from support.chests import chest

MADE = ("sc", "sr", "seg", "gsps")
PIXELS = chest(height=160, width=140, body=255, lung=85)  # bright enough for covid, with lungs that the map reaches


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> ResultBuilder:
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    return ResultBuilder(Predictor(studies.make_lung_bundle(folder)), kinds=MADE, share=0.3)


def opened(objects: Any) -> dict[str, pydicom.Dataset]:
    return {kind: pydicom.dcmread(io.BytesIO(data)) for kind, data in objects.items()}


ORIGINALS = {
    "DX": studies.film(PIXELS),
    "CR": studies.film(PIXELS, SOPClassUID=studies.CR),
    "12 bits, inverted": studies.film(PIXELS.astype(np.uint16) * 16, bits=12, inverted=True),
    "hardly any tags": studies.film(PIXELS, **dict.fromkeys(studies.PATIENT)),
    "names beyond ASCII": studies.film(
        PIXELS, SpecificCharacterSet="ISO_IR 192", PatientName="Müller^Jürgen=無^名", StudyDescription="Thorax für alle"
    ),
    "with frame of reference": studies.film(PIXELS, FrameOfReferenceUID="1.2.3.4", PositionReferenceIndicator=""),
    "with spacing and window": studies.film(PIXELS, PixelSpacing=[0.2, 0.2], WindowCenter=128, WindowWidth=256),
    "dates and sex that are none": studies.film(PIXELS, StudyDate="2026.11.26", PatientSex="FEMALE", PatientAge="56"),
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_every_object_is_sound(name: str, builder: ResultBuilder, tmp_path: Path) -> None:
    studies.require("dciodvfy", "dsrdump")
    objects = builder.build(ORIGINALS[name]).objects
    assert list(objects) == ["sc", "sr", "seg", "gsps"]
    for data in objects.values():
        assert studies.errors_of(data, tmp_path) == []
        assert studies.broken_rules(data) == {}
    assert "Calibrated probability of COVID-19" in studies.dumped(objects["sr"], tmp_path)


def test_the_judges_find_a_fault_that_is_there(builder: ResultBuilder, tmp_path: Path) -> None:
    studies.require("dciodvfy")
    broken = opened(builder.build(ORIGINALS["DX"]).objects)["sc"]
    del broken.ConversionType
    stream = io.BytesIO()
    broken.save_as(stream)
    assert any("ConversionType" in line for line in studies.errors_of(stream.getvalue(), tmp_path))
    assert studies.broken_rules(stream.getvalue()) == {"sc-equipment": {"(0008,0064)": "TagMissing"}}


def test_they_lie_in_the_study_of_their_patient_as_new_series(builder: ResultBuilder) -> None:
    original = pydicom.dcmread(io.BytesIO(ORIGINALS["DX"]))
    made = opened(builder.build(ORIGINALS["DX"]).objects)
    for result in made.values():
        for keyword in (
            "StudyInstanceUID",
            "PatientID",
            "PatientName",
            "PatientBirthDate",
            "AccessionNumber",
            "StudyDate",
        ):
            assert result[keyword].value == original[keyword].value
        assert "small 1" in result.SeriesDescription
        assert result.SeriesInstanceUID != original.SeriesInstanceUID
        assert result.Manufacturer == "covid-xray"
    assert len({str(result.SeriesInstanceUID) for result in made.values()}) == 4
    assert len({str(result.SOPInstanceUID) for result in made.values()}) == 4


def test_every_object_names_the_device_and_what_is_tracked(builder: ResultBuilder, tmp_path: Path) -> None:
    """The algorithm is in the contributing equipment; tracking identifiers depend on the original alone."""
    made = opened(builder.build(ORIGINALS["DX"]).objects)
    sha256 = builder.predictor.identity.sha256
    for result in made.values():
        (device,) = [item for item in result.ContributingEquipmentSequence if item.Manufacturer == "covid-xray"]
        assert (device.ManufacturerModelName, device.DeviceSerialNumber) == ("small", sha256)
        assert "model 1" in device.SoftwareVersions
        assert device.DeviceUID.startswith("2.25.")
    other = ResultBuilder(Predictor(studies.make_lung_bundle(tmp_path / "b", temperature=2.0)), kinds=MADE, share=0.31)
    again = opened(other.build(ORIGINALS["DX"]).objects)
    assert again["seg"].SOPInstanceUID != made["seg"].SOPInstanceUID
    assert again["seg"].SegmentSequence[0].TrackingUID == made["seg"].SegmentSequence[0].TrackingUID
    assert made["seg"].SegmentSequence[0].TrackingUID in str(made["sr"])
    assert made["seg"].SegmentSequence[0].TrackingUID in str(again["sr"])


def test_identifiers_that_are_too_long_are_not_cut(builder: ResultBuilder) -> None:
    odd = studies.film(PIXELS, PatientID="P" * 70, AccessionNumber="A" * 20)
    made = builder.build(odd)
    with pydicom.config.disable_value_validation():
        results = opened(made.objects).values()
        assert {(result.PatientID, result.AccessionNumber) for result in results} == {("P" * 70, "A" * 20)}


def test_uids_depend_on_original_and_network(builder: ResultBuilder, tmp_path: Path) -> None:
    def uids(by: ResultBuilder, data: bytes) -> set[str]:
        return {str(result.SOPInstanceUID) for result in opened(by.build(data).objects).values()}

    first = uids(builder, ORIGINALS["DX"])
    assert uids(builder, ORIGINALS["DX"]) == first
    other = ResultBuilder(Predictor(make_bundle(tmp_path / "other", size=32)), kinds=MADE)
    assert not uids(other, ORIGINALS["DX"]) & first
    altered = PIXELS.copy()
    altered[0, 0] = 7
    assert not uids(builder, studies.film(altered)) & first


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    """And the UIDs change with the settings, the bundle's calibration and what is said."""
    folder = studies.make_lung_bundle(tmp_path / "bundle")
    first = ResultBuilder(Predictor(folder), kinds=MADE, share=0.3).build(ORIGINALS["DX"]).objects
    again = ResultBuilder(Predictor(folder), kinds=MADE[::-1], share=0.3).build(ORIGINALS["DX"]).objects
    assert dict(first) == dict(again)
    made = opened(first)
    assert {(one.InstanceCreationDate, one.InstanceCreationTime) for one in made.values()} == {("20261126", "101500")}
    studies.make_lung_bundle(tmp_path / "warmer", temperature=1.5)
    others = (
        ResultBuilder(Predictor(folder), kinds=MADE, share=0.31),
        ResultBuilder(Predictor(folder), kinds=["sr"], share=0.3),
        ResultBuilder(Predictor(tmp_path / "warmer"), kinds=MADE, share=0.3),
    )
    uids = [made["sr"].SOPInstanceUID]
    uids += [opened(other.build(ORIGINALS["DX"]).objects)["sr"].SOPInstanceUID for other in others]
    assert len(set(uids)) == 4


def test_dates_come_from_the_image_where_the_study_has_none(builder: ResultBuilder) -> None:
    tags = {"StudyDate": "", "StudyTime": None, "AcquisitionDate": "20261125", "AcquisitionTime": "080910"}
    made = opened(builder.build(studies.film(PIXELS, **tags)).objects)
    assert (made["sr"].ContentDate, made["sr"].ContentTime) == ("20261125", "080910")
    assert made["gsps"].PresentationCreationDate == "20261125"
    none = opened(builder.build(studies.film(PIXELS, StudyDate="", StudyTime="")).objects)
    assert none["sr"].ContentDate == "19000101"


REFUSED = {
    "not-a-radiograph": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "Modality": "OT"},
    "for-processing": {"PresentationIntentType": "FOR PROCESSING"},
    "not-a-chest": {"BodyPartExamined": "HAND"},
    "not-frontal": {"ViewPosition": "LL"},
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_is_no_frontal_chest_radiograph_gets_a_reason(code: str, builder: ResultBuilder) -> None:
    with pytest.raises(NoResult) as refusal:
        builder.build(studies.film(PIXELS, **REFUSED[code]))
    assert refusal.value.code == code


def test_what_the_gate_objects_to_gets_objects_that_say_why(builder: ResultBuilder, tmp_path: Path) -> None:
    studies.require("dciodvfy", "dsrdump")
    image = builder.load(ORIGINALS["DX"])
    finding = builder.predictor.answers([""], [image.view], class_maps=True)[0]
    no_chest = {"layout": {"ok": False, "words": "does not look like a frontal chest X-ray"}}
    made = builder.build_objects(image, replace(finding, gate=no_chest))
    assert made.refusal is not None
    assert made.refusal.code == "not-a-chest-picture"
    said = "Not a frontal chest radiograph: the picture does not look like a frontal chest X-ray."
    assert list(made.objects) == ["sc", "sr"]
    for data in made.objects.values():
        assert studies.errors_of(data, tmp_path) == []
        assert studies.broken_rules(data) == {}
    capture, report = opened(made.objects).values()
    for result in (capture, report):
        assert result.SeriesDescription.startswith("covid-xray not analysed: ")
    assert "Heat map" not in capture.DerivationDescription
    text = studies.dumped(made.objects["sr"], tmp_path)
    assert '"Finding")=(not-analysed,99COVIDXRAY,"Not analysed")' in text
    assert f'"Reason why nothing can be said")="{said}"' in text
    assert "NUM:" not in text
    # A chest of which nothing can be said gets a result that says so.
    unlike = replace(finding, gate={"likeness": {"ok": False, "words": "unlike the training images"}})
    assert builder.build_objects(image, unlike).refusal is None


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"0" * 200, "not-dicom"),
        (ORIGINALS["DX"][:-9000], "truncated"),
        (ORIGINALS["DX"][:140], "truncated"),
        (studies.film(PIXELS, StudyInstanceUID=None), "unusable-tags"),
    ],
)
def test_broken_files_are_refused_by_code(data: bytes, code: str, builder: ResultBuilder) -> None:
    with pytest.raises(BadImage) as refusal:
        builder.build(data)
    assert refusal.value.code == code


def test_a_bundle_without_lungs_or_evidence_says_so(tmp_path: Path) -> None:
    plain = ResultBuilder(Predictor(make_bundle(tmp_path / "plain")))
    bright = opened(plain.build(studies.film(grey("covid", height=160, width=140))).objects)
    assert "lungs not found" in bright["seg"].SegmentSequence[0].SegmentLabel
    # The network has no class map but that of covid, so a dark picture has no evidence and no region.
    assert list(plain.build(studies.film(grey("normal", height=160, width=140))).objects) == ["sc", "sr"]


def test_settings_are_checked(builder: ResultBuilder) -> None:
    with pytest.raises(UsageError, match="Choose from sc"):
        ResultBuilder(builder.predictor, kinds=["png"])
    with pytest.raises(UsageError, match="share"):
        ResultBuilder(builder.predictor, share=1.5)


def test_files_are_named_after_content_never_after_tags(builder: ResultBuilder, tmp_path: Path) -> None:
    results = builder.build(studies.film(PIXELS, PatientID="../../etc/passwd", StudyID="../x"))
    paths = write_results(results, tmp_path / "out")
    digest = results.original.sha256[:16]
    assert {kind: path.name for kind, path in paths.items()} == {kind: f"{digest}-{kind}.dcm" for kind in MADE}
    assert sorted(path.name for path in tmp_path.rglob("*.dcm")) == sorted(path.name for path in paths.values())


def test_a_phantom_with_the_whole_of_its_anatomy(builder: ResultBuilder, tmp_path: Path) -> None:
    studies.require("dciodvfy")
    drawn = phantom.draw(phantom.draw_anatomy(np.random.default_rng(3), child=False), size=256)
    for data in builder.build(studies.film(drawn.pixels)).objects.values():
        assert studies.errors_of(data, tmp_path) == []
