"""What the study wrote: the warning about missingness first, then what values are worth."""

import json

import pytest

from covid_xray.inference.predictor import Predictor
from support.figures import without_n


@pytest.mark.slow
def test_an_age_that_tells_moves_the_joint_answer_and_the_study_says_so(drawn, fused) -> None:
    image = next(iter(sorted((drawn[1].parent / "images").glob("covid*"))))
    predictor = Predictor(fused[0])
    old, young = (predictor.predict(image, clinical={"age": years}).joint.probabilities for years in (75.0, 25.0))
    assert old["covid"] / old["normal"] > 3 * young["covid"] / young["normal"]
    study = json.loads((fused[1] / "clinical.json").read_text(encoding="utf-8"))
    assert without_n(study) == []
    found = study["worth"]["stated"]["variants"]
    assert found["joint"]["minus_image"]["nll"]["ci_high"] < 0
    assert abs(found["joint-permuted"]["minus_image"]["macro_f1"]["difference"]) < 0.1
    assert found["joint-permuted"]["figures"]["nll"]["value"] > found["joint"]["figures"]["nll"]["value"]
    assert study["worth"]["fields"]["age"]["images"] == {"covid": 45, "normal": 45, "virus": 0}


@pytest.mark.slow
def test_missingness_that_tells_the_class_is_said_first(fused) -> None:
    """Virus states nothing, covid and normal state everything: the collection talks."""
    study = json.loads((fused[1] / "clinical.json").read_text(encoding="utf-8"))
    assert study["worth"]["missingness"]["tells"]
    assert study["lines"][0].startswith("Missingness alone predicts")
    page = (fused[1] / "clinical.md").read_text(encoding="utf-8")
    assert "> **Missingness alone predicts the class" in page
    assert "SpO2: 0.91 looks like a fraction (91 percent). Accepted: 50 to 100 percent" in page
    assert study["lines"][0] in fused[2]
