"""The sentence that the audit ends in."""

import pytest

from covid_xray.evaluation.audit.shortcut_verdict import format_share, judge_survival


def figure(value, low=None, high=None):
    return {"value": value, "ci_low": low, "ci_high": high, "condition": "x"}


def judged(only, without, *, masks="network"):
    survival = {"auroc_macro": {"only": only, "without": without}, "macro_f1": {"only": only, "without": without}}
    return judge_survival(survival, headline="auroc_macro", masks=masks)


@pytest.mark.parametrize(
    ("only", "without", "kind"),
    [(0.1, 0.9, "shortcut"), (0.9, 0.1, "lungs"), (0.9, 0.8, "either"), (0.2, 0.3, "neither")],
)
def test_each_outcome_has_its_words(only, without, kind):
    found = judged(figure(only, only - 0.05, only + 0.05), figure(without, without - 0.05, without + 0.05))
    assert found["kind"] == kind
    assert found["certain"]
    assert f"{100 * only:.0f} % ({100 * only - 5:.0f} to" in found["line"]
    assert found["needs_lungs"] == pytest.approx(1 - without)
    assert "more images" not in found["means"]


def test_an_interval_across_one_half_is_said():
    found = judged(figure(0.55, 0.4, 0.7), figure(0.1, 0.0, 0.2))
    assert not found["certain"]
    assert "more images" in found["means"]
    assert not judged(figure(0.9), figure(0.1, 0, 0.2))["certain"]


def test_a_box_is_not_called_lungs():
    found = judged(figure(0.9, 0.8, 1.0), figure(0.1, 0.0, 0.2), masks="box")
    assert "box over the lungs" in found["line"]
    assert "A box is not the lungs" in found["means"]


def test_nothing_survives_where_nothing_was():
    found = judge_survival(None, headline="auroc_macro", masks="network")
    assert found["kind"] == "chance"
    assert "not above chance" in found["line"]


def test_shares_read_well():
    assert format_share(figure(0.784, 0.721, 0.84)) == "78 % (72 to 84)"
    assert format_share(figure(-0.001, -0.2, 0.1)) == "0 % (-20 to 10)"
    assert "too few" in format_share(figure(0.5))
