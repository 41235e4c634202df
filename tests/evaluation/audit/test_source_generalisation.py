"""What a cross-validation with sources left out says of a recipe; other contents are refused."""

import pytest

from covid_xray.errors import BadManifest
from covid_xray.evaluation.audit.source_generalisation import sources_left_out

FIGURE = {"value": 0.7, "ci_low": 0.6, "ci_high": 0.8, "n": 90, "unit": "patients"}
CROSSVAL = {
    "protocol": {"leave_out": "source"},
    "classes": ["normal", "covid"],
    "n_images": 100,
    "figures": {"macro_f1": FIGURE, "nll": FIGURE},
    "by_source": {"a": {"n_images": 90, "figures": {"accuracy": FIGURE}}, "b": {"n_images": 10, "figures": None}},
}


def test_pooled_figures_and_each_source() -> None:
    interval = {"value": 0.7, "ci_low": 0.6, "ci_high": 0.8, "n": 90}
    assert sources_left_out(CROSSVAL, ("covid", "normal")) == {
        "images": 100,
        "figures": {"macro_f1": interval},
        "rows": [
            {"source": "a", "images": 90, "accuracy": interval},
            {"source": "b", "images": 10, "accuracy": None},
        ],
    }


def test_without_a_cross_validation_nothing_is_said() -> None:
    assert sources_left_out(None, ("covid", "normal")) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"protocol": {"leave_out": None}}, "leaves no sources out"),
        ({"classes": ["covid", "virus"]}, "of the classes covid, virus"),
        ({"by_source": None}, "crossval.json"),
        ({"figures": {"macro_f1": {"value": 1.0}}}, "crossval.json"),
    ],
)
def test_other_contents_are_refused(changed: dict, message: str) -> None:
    with pytest.raises(BadManifest, match=message):
        sources_left_out({**CROSSVAL, **changed}, ("covid", "normal"))
