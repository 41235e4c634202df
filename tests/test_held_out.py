"""Leave-one-source-out beside the audit."""

import pytest

from covid_xray.errors import BadManifest
from covid_xray.evaluation.held_out import sources_left_out

FIGURE = {"value": 0.6, "ci_low": 0.5, "ci_high": 0.7, "n": 40, "unit": "patients"}
STUDY = {
    "protocol": {"leave_out": "source"},
    "classes": ["normal", "covid"],
    "n_images": 60,
    "figures": {"macro_f1": FIGURE, "ece": FIGURE},
    "by_source": {
        "north": {"n_images": 50, "figures": {"accuracy": FIGURE}},
        "south": {"n_images": 10, "figures": None},
    },
}


def test_sources_and_pooled_figures_are_taken_over():
    found = sources_left_out(STUDY, ("covid", "normal"))
    assert found["images"] == 60
    assert found["figures"] == {"macro_f1": {"value": 0.6, "ci_low": 0.5, "ci_high": 0.7}}
    assert [row["accuracy"] and row["accuracy"]["value"] for row in found["rows"]] == [0.6, None]
    assert sources_left_out(None, ("covid",)) is None


@pytest.mark.parametrize(
    ("study", "words"),
    [
        ({**STUDY, "protocol": {"leave_out": None}}, "one of folds"),
        ({**STUDY, "classes": ["cat", "dog"]}, "cat, dog"),
        ({"figures": {}}, "something else"),
        ({**STUDY, "by_source": [1]}, "something else"),
    ],
)
def test_other_content_is_refused(study, words):
    with pytest.raises(BadManifest, match=words):
        sources_left_out(study, ("covid", "normal"))
