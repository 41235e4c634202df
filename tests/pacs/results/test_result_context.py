"""Identifiers: the same for the same parts, valid as DICOM has them."""

from pydicom.uid import UID

from covid_xray.pacs.results.result_context import derived_uid


def test_uids_are_valid_and_depend_on_every_part() -> None:
    assert derived_uid("a", "b") == derived_uid("a", "b")
    uids = {derived_uid(*parts) for parts in (("a", "b"), ("b", "a"), ("a",), ("a", "b", ""))}
    assert len(uids) == 4
    for uid in uids:
        assert UID(uid).is_valid
        assert uid.startswith("2.25.")
        assert len(uid) <= 64
