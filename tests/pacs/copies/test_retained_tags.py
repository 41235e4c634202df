"""Lists of what copies keep: real keywords, terms of the standard, and codes of its value sets."""

from pydicom.datadict import dictionary_VR, tag_for_keyword

from covid_xray.pacs.copies.retained_tags import BINARY, NUMBERS, TERMS, TYPE_2, standard_codes, standard_meanings


def test_every_keyword_is_one_of_the_standard() -> None:
    assert [name for name in (*BINARY, *NUMBERS, *TERMS, *TYPE_2) if tag_for_keyword(name) is None] == []
    assert {dictionary_VR(name) for name in TERMS} <= {"CS", "LO", "SH"}
    assert not {"DA", "TM", "PN", "UI", "ST", "LT"} & {dictionary_VR(name) for name in NUMBERS}


def test_codes_are_those_of_value_sets() -> None:
    codes = standard_codes()
    assert codes["DCM", "121320"] == "Uncompressed predecessor"
    assert codes["SRT", "R-10206"] == codes["SCT", "399348003"]
    assert ("DCM", "4711") not in codes
    assert "Chest" in standard_meanings()
