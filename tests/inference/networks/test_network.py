"""The network of one bundle: what its inputs depend on, and that its answers are those of the predictor."""

from pathlib import Path

import numpy as np

from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.predictor import Predictor
from support.bundles import CLASSES, grey, make_bundle, network


def test_networks_with_the_same_preprocessing_make_the_same_inputs(tmp_path: Path) -> None:
    folders = [make_bundle(tmp_path / "a"), make_bundle(tmp_path / "b", model=network(sharpness=2))]
    folders.append(make_bundle(tmp_path / "c", size=32))
    first, second, larger = (Predictor(folder, threads=1).members[0] for folder in folders)
    film = Radiograph(grey("virus"))
    assert first.preprocessing == second.preprocessing != larger.preprocessing
    np.testing.assert_array_equal(first.view(film).pixels, second.view(film).pixels)


def test_a_network_answers_as_its_predictor_does(tmp_path: Path) -> None:
    predictor = Predictor(make_bundle(tmp_path / "bundle"), threads=1)
    member = predictor.members[0]
    films = [Radiograph(grey(label)) for label in CLASSES]
    alone = member.answers(list(CLASSES), [member.view(film) for film in films])
    assert [(one.image, one.label) for one in alone] == [(label, label) for label in CLASSES]
    assert [one.probabilities for one in alone] == [predictor.predict(film).probabilities for film in films]
