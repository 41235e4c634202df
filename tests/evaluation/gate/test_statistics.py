"""What the gate knows of training images is packed for JSON and comes back as it was."""

import json

import numpy as np

from covid_xray.evaluation.gate.statistics import COMPONENTS, fit_statistics
from covid_xray.inference.gate import PART, unpacked
from covid_xray.inference.gate_features import LAYOUT, WAYS
from support.gate_samples import sample


def test_statistics_are_plain_json_and_of_the_stated_shapes() -> None:
    known = sample(range(110))
    facts = json.loads(json.dumps(fit_statistics(known)))
    assert set(facts) == {"layout", "turns", "likeness"}
    assert unpacked(facts["layout"]["precision"]).shape == (LAYOUT, LAYOUT)
    assert unpacked(facts["turns"]).shape == (len(WAYS), 65)
    components = min(COMPONENTS, 24 // 2, 110 // 10)
    assert unpacked(facts["likeness"]["basis"]).shape == (components, 24)
    assert unpacked(facts["likeness"]["means"]).shape == (3, components)
    centre = known.embeddings.mean(axis=0)
    np.testing.assert_allclose(unpacked(facts["likeness"]["centre"]), centre, rtol=1e-6, atol=1e-6)


def test_a_class_of_a_few_images_gets_no_mean_of_its_own() -> None:
    known = sample(range(110))
    labels = np.where(np.arange(110) < 5, "rare", "often")
    facts = fit_statistics(type(known)(known.looks, known.embeddings, labels, known.members))
    assert unpacked(facts["likeness"]["means"]).shape[0] == 1


def test_with_pieces_there_is_what_tells_parts() -> None:
    known = sample(range(110))
    assert unpacked(fit_statistics(known, known.take(slice(0, 50)))[PART]).shape == (1, LAYOUT + 1)
