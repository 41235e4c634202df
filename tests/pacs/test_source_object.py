"""Tags of DICOM files: what is read, what is refused, and what libraries get of it."""

import pydicom
import pytest

from covid_xray.errors import BadImage
from covid_xray.pacs.phi_safe_logging import suppress_phi
from covid_xray.pacs.source_object import NoResult, character_set, read_tags, reference_dataset, require_frontal_chest
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


def test_the_digest_is_of_the_data_set_not_of_who_sent_it() -> None:
    data = studies.film(PIXELS)
    again = pydicom.dcmread(pydicom.filebase.DicomBytesIO(data))
    again.file_meta.SourceApplicationEntityTitle = "SOMEBODY"
    again.preamble = b"x" * 128
    stream = pydicom.filebase.DicomBytesIO()
    again.save_as(stream)
    assert stream.getvalue() != data
    assert read_tags(stream.getvalue()).sha256 == read_tags(data).sha256
    assert read_tags(studies.film(PIXELS, PatientID="P-2")).sha256 != read_tags(data).sha256


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
