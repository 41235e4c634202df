"""What is told of a gate that was stored, and of one that could not be made. The storing itself: test_gating.py."""

from covid_xray.evaluation.gate.fit import summary


def test_the_summary_names_both_shares_and_the_wish():
    told = {"rate": 0.05, "images": {"train": 1234}, "refused": {"train, held out": 0.049, "fresh": 0.04}}
    assert summary(told) == (
        "gate from 1,234 training images: refuses 4.9% (train, held out) and 4.0% (fresh) of good images, "
        "at most 5.0% asked for"
    )
    assert "fresh" not in summary({**told, "refused": {"train, held out": 0.049, "fresh": None}})


def test_what_was_not_made_is_said():
    assert summary({"note": "no gate was stored: too few"}) == "no gate was stored: too few"
