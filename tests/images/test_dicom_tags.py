"""View, body part and orientation as devices write them, in tags of text and of codes."""

import pydicom
import pytest
from pydicom.dataset import Dataset

from covid_xray.images import dicom_tags


def tags(**values: object) -> Dataset:
    dataset = Dataset()
    with pydicom.config.disable_value_validation():
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
    return dataset


def code(value: str, meaning: str = "") -> list[Dataset]:
    return [tags(CodeValue=value, CodeMeaning=meaning)]


@pytest.mark.parametrize(
    ("text", "view"),
    [
        *((text, "PA") for text in ("PA", "pa", "P-A", "PA_ERECT", "ERECT PA", "POSTERO_ANTERIOR", "Postero-Anterior")),
        *((text, "PA") for text in ("PA 2", "CHEST PA", "posteroantérieur")),
        *((text, "AP") for text in ("AP", "AP SUPINE", "A.P.", "ANTERO-POSTERIOR", "AP PORTABLE", "SUPINE_AP")),
        *((text, "FRONTAL") for text in ("FRONTAL", "Face")),
        *((text, "LATERAL") for text in ("LATERAL", "L LAT", "PROFIL", "PERFIL", "PA AND LATERAL", "seitlich")),
        *((text, "OTHER") for text in ("PALAT", "PAL", "APICAL", "OBLIQUE PA", "LAO", "LORDOTIC", "Panorama")),
        ("LL", "LL"),
        ("RLD", "RLD"),
        ("", None),
    ],
)
def test_views_in_the_spellings_of_devices(text: str, view: str | None) -> None:
    assert dicom_tags.view_of(tags(ViewPosition=text)) == view


@pytest.mark.parametrize(
    ("stated", "value", "meaning", "view"),
    [
        ("", "399348003", "antero-posterior", "AP"),
        ("", "R-10214", "postero-anterior", "PA"),
        ("", "272479007", "postero-anterior", "PA"),
        ("", "399033003", "frontal", "FRONTAL"),
        ("PA", "399033003", "frontal", "PA"),
        ("PA", "399173006", "left lateral", "LL"),
        ("PA", "R-10232", "right lateral", "RL"),
        ("PA", "399067008", "lateral", "LATERAL"),
        ("AP", "399182000", "oblique", "OTHER"),
        ("AP", "272479007", "postero-anterior", "AP"),
        ("", "99X", "PA chest", "PA"),
        ("", "99X", "", "OTHER"),
    ],
)
def test_a_coded_view_that_is_not_frontal_wins(stated: str, value: str, meaning: str, view: str) -> None:
    assert dicom_tags.view_of(tags(ViewPosition=stated, ViewCodeSequence=code(value, meaning))) == view


def test_orientation_and_laterality_tell_a_lateral() -> None:
    assert dicom_tags.view_of(tags(PatientOrientation=["A", "F"])) == "LATERAL"
    assert dicom_tags.view_of(tags(PatientOrientation=["P", "F"], ImageLaterality="L")) == "LL"
    assert dicom_tags.view_of(tags(ViewPosition="LATERAL", Laterality="R")) == "RL"
    assert dicom_tags.view_of(tags(ViewPosition="PA", PatientOrientation=["A", "F"])) == "PA"
    assert dicom_tags.view_of(tags(PatientOrientation=["L", "F"])) is None


@pytest.mark.parametrize(
    ("part", "chest"),
    [
        *((part, True) for part in ("CHEST", "Thorax", "TÓRAX", "TORAX", "BRUSTKORB", "POUMONS", "LUNGS", "PULMON")),
        *(
            (part, True)
            for part in ("CHEST_TO_ABDOMEN", "胸部", "ГРУДНАЯ КЛЕТКА", "KLATKA PIERSIOWA", "GÖĞÜS", "Płuca")
        ),
        *((part, True) for part in ("TÓRAX".encode().decode("latin-1"), "TORACE", "RX TORAX", "BORSTKAS")),
        *((part, False) for part in ("KNEE", "TSPINE", "THORACIC SPINE", "BRUSTWIRBELSAEULE", "BRUSTBEIN", "HAND")),
        *((part, None) for part in ("", "UNKNOWN")),
    ],
)
def test_body_parts_in_other_languages(part: str, chest: bool | None) -> None:
    assert dicom_tags.is_chest(tags(BodyPartExamined=part)) is chest


@pytest.mark.parametrize(
    ("value", "meaning", "chest"),
    [
        ("816094009", "Chest", True),
        ("T-D3000", "", True),
        ("72696002", "Knee", False),
        ("99X", "Brustkorb", True),
        ("39607008", "Lung", True),
    ],
)
def test_anatomic_regions_by_code(value: str, meaning: str, chest: bool) -> None:
    assert dicom_tags.is_chest(tags(AnatomicRegionSequence=code(value, meaning))) is chest
    assert dicom_tags.is_chest(tags(BodyPartExamined="CHEST", AnatomicRegionSequence=code(value, meaning))) is True


@pytest.mark.parametrize(
    ("row", "column", "turns", "mirrored"),
    [
        ("L", "F", 0, False),
        ("H", "L", 1, False),
        ("R", "H", 2, False),
        ("F", "R", 3, False),
        ("R", "F", 0, True),
        ("H", "R", 1, True),
        ("L", "H", 2, True),
        ("F", "L", 3, True),
        ("A", "F", 0, False),
        ("L", "L", 0, False),
        ("", "F", 0, False),
    ],
)
def test_orientation_by_the_directions_of_row_and_column(row: str, column: str, turns: int, mirrored: bool) -> None:
    assert dicom_tags.orientation(tags(PatientOrientation=[row, column])) == (turns, mirrored)


def test_without_an_orientation_nothing_is_turned() -> None:
    assert dicom_tags.orientation(Dataset()) == (0, False)
    assert dicom_tags.orientation(tags(PatientOrientation="")) == (0, False)


def test_raw_images_are_told_by_intent_or_class() -> None:
    assert dicom_tags.is_for_processing(tags(PresentationIntentType="FOR PROCESSING"))
    assert dicom_tags.is_for_processing(tags(SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1.1"))
    assert not dicom_tags.is_for_processing(tags(PresentationIntentType="FOR PRESENTATION"))
    assert not dicom_tags.is_for_processing(tags(SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1"))


def test_source_keeps_terms_of_the_standard_alone() -> None:
    source = dicom_tags.source_of(
        tags(ViewPosition="DOE^JOHN", Modality="DOE", Manufacturer="Doe Inc", PixelSpacing=["0.1", "0.2"]),
        photometric="MONOCHROME2",
    )
    assert (source.view, source.modality, source.vendor, source.spacing) == (None, None, "OTHER", (0.1, 0.2))
