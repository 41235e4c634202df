"""A finding is plain, frozen data; its remarks are the reasons and what is to be known of the lungs."""

import dataclasses

import pytest

from covid_xray.images.dicom_file import WARNINGS
from covid_xray.inference.finding import CANNOT_SAY, Finding, LungFacts, ModelIdentity
from covid_xray.inference.lungs import WHOLE


def finding(**others: object) -> Finding:
    plain = {"probabilities": {"covid": 0.6, "normal": 0.4}, "label": "covid", "reasons": (), "prediction_set": None}
    return Finding(**{"image": "a.png", "gate": None, "model": ModelIdentity("net", "1", "ab"), **plain, **others})


def test_remarks_are_the_reasons_and_what_is_said_of_the_lungs() -> None:
    assert finding().remarks == ()
    refused = finding(label=CANNOT_SAY, reasons=("not a chest",), lungs=LungFacts(plausible=False, words="no lungs"))
    assert refused.remarks == ("not a chest", "no lungs")
    assert finding(lungs=LungFacts(plausible=True)).remarks == ()


def test_what_was_wrong_with_the_file_is_said_beside_the_answer() -> None:
    mirrored = finding(warnings=("mirrored",), lungs=LungFacts(plausible=True, words="low"))
    assert mirrored.remarks == mirrored.notes == ("low", WARNINGS["mirrored"])
    assert "left and right are exchanged" in mirrored.notes[1]


def test_without_a_crop_the_network_sees_the_whole_picture() -> None:
    assert finding().region == LungFacts(plausible=True).box == WHOLE


def test_a_finding_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        finding().label = "normal"  # type: ignore[misc]
