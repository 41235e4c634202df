"""Tags of DICOM files: what is read, what is refused, and what libraries get of it."""

import io

import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian, JPEGLSLossless, RLELossless

from covid_xray.errors import BadImage
from covid_xray.images.decode import decode
from covid_xray.pacs.phi_safe_logging import suppress_phi
from covid_xray.pacs.source_object import (
    NoResult,
    Original,
    character_set,
    read_tags,
    reference_dataset,
    require_frontal_chest,
)
from support import studies
from support.chests import chest

PIXELS = chest(height=32, width=32)


@pytest.mark.parametrize("view", ["PA", "AP", "AP SUPINE", "pa", "", None])
@pytest.mark.parametrize("part", ["CHEST", "PORTABLE CHEST", "Thorax", "", None])
def test_frontal_chests_pass_however_they_are_written(view: str | None, part: str | None) -> None:
    require_frontal_chest(read_tags(studies.film(PIXELS, ViewPosition=view, BodyPartExamined=part)))


@pytest.mark.parametrize("tags", [{"BodyPartExamined": "TÓRAX"}, {"ViewPosition": "ERECT PA"}, {"ViewPosition": "P-A"}])
def test_words_of_other_languages_and_devices_pass(tags: dict[str, str]) -> None:
    require_frontal_chest(read_tags(studies.film(PIXELS, **tags)))


def test_a_lateral_by_code_does_not_pass() -> None:
    lateral = pydicom.Dataset()
    lateral.CodeValue, lateral.CodingSchemeDesignator, lateral.CodeMeaning = "399067008", "SCT", "lateral"
    with pytest.raises(NoResult) as refusal:
        require_frontal_chest(read_tags(studies.film(PIXELS, ViewPosition="PA", ViewCodeSequence=[lateral])))
    assert refusal.value.code == "not-frontal"


@pytest.mark.parametrize("uid", ["1.2.840.00.1", "2.25." + "1" * 59])
def test_uids_with_leading_zeros_are_read(uid: str) -> None:
    assert read_tags(studies.film(PIXELS, SOPInstanceUID=uid)).sop_uid == uid


@pytest.mark.parametrize("uid", ["", "1.2.", "1..2", "1.2.x", "2.25." + "1" * 60])
def test_other_uids_are_refused(uid: str) -> None:
    with pytest.raises(BadImage) as refusal:
        read_tags(studies.film(PIXELS, StudyInstanceUID=uid))
    assert refusal.value.code == "unusable-tags"


@pytest.mark.parametrize(
    "tags", [{"ViewPosition": "LLO"}, {"ViewPosition": "PALAT"}, {"BodyPartExamined": "ABDOMEN"}, {"Modality": "DX"}]
)
def test_others_do_not(tags: dict[str, str]) -> None:
    other = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"} if "Modality" in tags else {}  # for processing
    with pytest.raises(NoResult):
        require_frontal_chest(read_tags(studies.film(PIXELS, **tags, **other)))


def original(data: bytes) -> Original:
    return Original(read_tags(data), decode(data))


def reencoded(data: bytes, syntax: str | None = None, **tags: object) -> bytes:
    """The same object in another transfer syntax, from another sender, with other tags."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    if syntax in (RLELossless, JPEGLSLossless):
        dataset.compress(syntax, generate_instance_uid=False)
    elif syntax:
        dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.SourceApplicationEntityTitle = "SOMEBODY"
    dataset.preamble = b"x" * 128
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    stream = io.BytesIO()
    dataset.save_as(stream, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True, enforce_file_format=True)
    return stream.getvalue()


FILM = studies.film(PIXELS.astype("uint16") * 16, bits=12, PixelSpacing=[0.2, 0.2], WindowCenter=2000, WindowWidth=4000)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless, JPEGLSLossless, None])
def test_an_object_is_the_same_in_every_encoding(syntax: str | None) -> None:
    private = {"InstitutionName": "Elsewhere", "PatientName": "Phantom^Nobody^^", "PixelSpacing": ["0.20", "2e-1"]}
    again = reencoded(FILM, syntax, SpecificCharacterSet="ISO_IR 100", **private)
    assert again != FILM
    assert original(again).sha256 == original(FILM).sha256


@pytest.mark.parametrize(
    "tags", [{"PatientID": "P-2"}, {"StudyDescription": "Thorax"}, {"WindowCenter": 2100}, {"StudyDate": "20261127"}]
)
def test_a_corrected_object_is_another(tags: dict[str, object]) -> None:
    assert original(reencoded(FILM, **tags)).sha256 != original(FILM).sha256


def test_other_pixels_are_another_object() -> None:
    altered = PIXELS.copy()
    altered[3, 4] ^= 1
    assert original(studies.film(altered)).sha256 != original(studies.film(PIXELS)).sha256
    assert original(studies.film(altered)).tags.sha256 == original(studies.film(PIXELS)).tags.sha256


def test_what_a_library_gets_is_complete_and_valid() -> None:
    with suppress_phi("sound tags"):
        bare = reference_dataset(read_tags(studies.film(PIXELS, **dict.fromkeys(studies.PATIENT))))
        odd = reference_dataset(
            read_tags(studies.film(PIXELS, StudyDate="26.11.2026", StudyTime="quarter past", PatientAge="56"))
        )
    assert (bare.PatientID, str(bare.PatientName), bare.StudyDate, bare.PatientSex, bare.StudyID) == ("",) * 5
    assert (odd.StudyDate, odd.StudyTime, "PatientAge" in odd) == ("", "", False)


def test_text_beyond_ascii_is_utf8() -> None:
    assert character_set(reference_dataset(read_tags(studies.film(PIXELS)))) is None
    japanese = studies.film(PIXELS, SpecificCharacterSet="ISO_IR 192", PatientName="無^名")
    assert character_set(reference_dataset(read_tags(japanese))) == "ISO_IR 192"


def test_no_value_of_a_tag_is_told() -> None:
    data = studies.film(PIXELS, SOPInstanceUID="CANARY-1", StudyInstanceUID="CANARY-2")
    with pytest.raises(BadImage) as refusal:
        read_tags(data)
    assert "CANARY" not in f"{refusal.value} {refusal.value.__cause__}"
