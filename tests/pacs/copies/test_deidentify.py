"""De-identified copies: nothing of the table of PS3.15 is left, pseudonyms are the same each time, pixels stay."""

import io
import stat
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from covid_xray.errors import UsageError
from covid_xray.images.decode import decode
from covid_xray.pacs.copies.deidentify import Deidentifier, read_key
from covid_xray.pacs.source_object import NoResult
from support import studies
from support.chests import chest

PIXELS = chest(height=64, width=48)
HIDER = Deidentifier(b"k" * 32)


def opened(data: bytes) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(data))


def test_the_same_patient_and_study_stay_together_under_one_key() -> None:
    first, second = (HIDER.copy(studies.film(PIXELS, number=number)) for number in (1, 2))
    other = HIDER.copy(studies.film(PIXELS, study=2, PatientID="P-2"))
    one, two, three = (opened(made.data) for made in (first, second, other))
    assert one.StudyInstanceUID == two.StudyInstanceUID != three.StudyInstanceUID
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.PatientID == two.PatientID == first.patient != other.patient
    assert first.name != second.name
    assert HIDER.copy(studies.film(PIXELS)) == first
    strange = Deidentifier(b"x" * 32).copy(studies.film(PIXELS))
    assert (strange.patient, strange.name) != (first.patient, first.name)
    assert opened(strange.data).StudyInstanceUID != one.StudyInstanceUID


def test_all_of_the_table_is_gone_and_the_picture_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "hostile"))
    from test_privacy import SECRETS, full_of_names

    with pydicom.config.disable_value_validation():
        whole = opened(full_of_names(PresentationIntentType="FOR PRESENTATION"))
        whole.BodyPartExamined, whole.ViewPosition, whole.SOPInstanceUID = "CHEST", "PA", "1.2.826.4711.815.42"
        whole.preamble = b"CANARYQUILL".ljust(128, b"\0")
        stream = io.BytesIO()
        whole.save_as(stream)
    data = stream.getvalue()
    made = HIDER.copy(data)
    assert not [secret for secret in SECRETS if secret in made.data]
    with pydicom.config.disable_value_validation():
        kept, before = decode(made.data), decode(data)
    assert np.array_equal(kept.pixels, before.pixels)
    assert sys.getsizeof(made.data) < len(data)


def test_nested_items_are_cleaned_and_codes_of_the_standard_are_kept() -> None:
    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "51185008", "SCT", "Chest"
    item.PatientName, item.ImageComments = "CANARY^Nested", "CANARY"
    own = pydicom.Dataset()
    own.CodeValue, own.CodingSchemeDesignator, own.CodeMeaning = "CANARY", "99WARD", "CANARY"
    made = HIDER.copy(studies.film(PIXELS, AnatomicRegionSequence=[item, own]))
    assert b"CANARY" not in made.data
    region = opened(made.data).AnatomicRegionSequence[0]
    assert (region.CodeValue, region.CodeMeaning) == ("51185008", "Chest")


def test_it_says_what_was_done_and_never_that_pixels_are_clean(tmp_path: Path) -> None:
    for stated, said in (("YES", "yes"), ("NO", "no"), (None, "not said")):
        made = HIDER.copy(studies.film(PIXELS, BurnedInAnnotation=stated))
        assert made.burnt_in == said
        dataset = opened(made.data)
        assert dataset.get("BurnedInAnnotation") == stated
        assert dataset.PatientIdentityRemoved == "YES"
        assert "pixels not looked at" in dataset.DeidentificationMethod
        assert dataset.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    studies.require("dciodvfy")
    assert "113100" in str(dataset)
    assert not [line for line in studies.errors_of(made.data, tmp_path) if "Patient" in line]


def test_other_objects_get_no_copy() -> None:
    with pytest.raises(NoResult):
        HIDER.copy(studies.film(PIXELS, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", Modality="OT"))


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    key = read_key(tmp_path / "key")
    assert read_key(tmp_path / "key") == key
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    (tmp_path / "other").write_text("short")
    with pytest.raises(UsageError, match="Not a key file"):
        read_key(tmp_path / "other")


def test_elements_without_a_keyword_are_removed() -> None:
    """The standard's dictionary does not know them, so nobody knows what they hold."""
    film = opened(studies.film(PIXELS))
    film.add_new(0x00183FF0, "OB", b"CANARY")
    film.add_new(0x00183FF2, "US", 4711)
    stream = io.BytesIO()
    film.save_as(stream)
    made = HIDER.copy(stream.getvalue())
    assert b"CANARY" not in made.data
    assert {0x00183FF0, 0x00183FF2}.isdisjoint(opened(made.data).keys())


def hidden(**tags: object) -> pydicom.FileDataset:
    """The copy of a film with these tags, which hold CANARY where they may not."""
    film = opened(studies.film(PIXELS))
    for keyword, value in tags.items():
        setattr(film, keyword, value)
    stream = io.BytesIO()
    film.save_as(stream)
    made = HIDER.copy(stream.getvalue())
    assert b"CANARY" not in made.data
    return opened(made.data)


def code(value: str, scheme: str, meaning: str) -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def test_required_elements_are_emptied_and_others_removed() -> None:
    made = hidden(
        Manufacturer="CANARY", StationName="CANARY", ReferringPhysicianName="CANARY", InstitutionName="CANARY"
    )
    assert (made.Manufacturer, str(made.ReferringPhysicianName)) == ("", "")
    assert "StationName" not in made
    assert "InstitutionName" not in made
    for keyword in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"):
        assert not made[keyword].value


def test_codes_are_kept_by_value_set_and_not_by_what_they_claim() -> None:
    known, claimed = code("121320", "DCM", "CANARY"), code("CANARY", "DCM", "CANARY")
    source = pydicom.Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = studies.CR, "1.2.3.4"
    source.PurposeOfReferenceCodeSequence = [known]
    made = hidden(SourceImageSequence=[source], AnatomicRegionSequence=[claimed])
    kept = made.SourceImageSequence[0]
    assert kept.ReferencedSOPClassUID == studies.CR
    assert kept.ReferencedSOPInstanceUID.startswith("2.25.")
    assert kept.PurposeOfReferenceCodeSequence[0].CodeMeaning == "Uncompressed predecessor"
    assert "AnatomicRegionSequence" not in made


def test_terms_and_numbers_that_are_not_listed_are_removed() -> None:
    terms = {"BodyPartExamined": "CHEST CANARY", "ViewPosition": "AP SUPINE", "ImageType": ["DERIVED", "CANARY"]}
    numbers = {"KVP": "110", "WindowCenter": "128", "WindowWidth": "256", "SeriesNumber": 7}
    made = hidden(**terms, **numbers, TimeSource="CANARY")
    assert (made.BodyPartExamined, made.ViewPosition, made.ImageType) == ("CHEST", "AP", "DERIVED")
    assert (made.KVP, made.WindowCenter, made.SeriesNumber) == (110, 128, 7)
    assert "TimeSource" not in made
    assert "NumberOfTemporalPositions" not in hidden(NumberOfTemporalPositions=4711)


def test_a_copy_has_no_fault_that_its_original_does_not_have(tmp_path: Path) -> None:
    studies.require("dciodvfy")
    source = pydicom.Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = studies.CR, "1.2.3.4"
    source.PurposeOfReferenceCodeSequence = [code("121320", "DCM", "Uncompressed predecessor")]
    film = opened(studies.film(PIXELS, Manufacturer="ACME", ViewPosition="PA"))
    film.SourceImageSequence, film.Laterality = [source], ""
    film.ViewCodeSequence = [code("399348003", "SCT", "postero-anterior")]
    film.ViewCodeSequence[0].ViewModifierCodeSequence = []
    stream = io.BytesIO()
    film.save_as(stream)
    before = set(studies.errors_of(stream.getvalue(), tmp_path))
    assert set(studies.errors_of(HIDER.copy(stream.getvalue()).data, tmp_path)) <= before
