"""The cases of the report are chosen by rule, and their heat maps leave the radiograph visible."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_xray.config import Limits
from covid_xray.evaluation.predictions import predict_manifest
from covid_xray.evaluation.report.cases import render_cases, render_sheet, select_cases
from support.brightness import CLASSES, Brightness, manifest


def study(root: Path, *, wrong: int):
    """Thirty images, ten of each class, `wrong` of them drawn as bright as the next class."""
    rows = [{"image": f"{i:02d}.png", "label": CLASSES[i % 3]} for i in range(30)]
    for i in range(wrong):
        rows[i]["grey"] = 60 + 60 * ((i + 1) % 3) + i
    return manifest(root, rows)


@pytest.mark.parametrize(("wrong", "expected"), [(9, 6), (3, 3), (0, 0)])
def test_up_to_half_are_mistakes_and_twelve_are_shown(tmp_path, wrong, expected):
    predictions = predict_manifest(Brightness(), study(tmp_path, wrong=wrong))
    chosen = select_cases(predictions)
    mistakes = (predictions.labels != predictions.predicted)[chosen]
    assert len(set(chosen)) == len(chosen) == 12
    assert mistakes.sum() == expected
    assert mistakes[:expected].all()


def test_the_surest_mistake_of_each_class_comes_first(tmp_path):
    predictions = predict_manifest(Brightness(), study(tmp_path, wrong=9))
    confidence = predictions.probabilities.max(axis=1)
    first = select_cases(predictions)[:3]
    assert sorted(predictions.labels[first]) == [0, 1, 2]
    for row in first:
        same = (predictions.labels == predictions.labels[row]) & (predictions.predicted != predictions.labels)
        assert confidence[row] == confidence[same].max()


def test_the_choice_does_not_depend_on_the_order_of_the_rows(tmp_path):
    data = study(tmp_path, wrong=5)
    forward = predict_manifest(Brightness(), data)
    backward = predict_manifest(Brightness(), data.take(list(data.table["image"])[::-1]))
    names = [set(p.table["image"].iloc[select_cases(p)]) for p in (forward, backward)]
    assert names[0] == names[1]


def test_fewer_images_than_places(tmp_path):
    data = manifest(tmp_path, [{"image": "a.png", "label": "covid"}, {"image": "b.png", "label": "virus"}])
    assert sorted(select_cases(predict_manifest(Brightness(), data))) == [0, 1]


def test_a_case_shows_the_radiograph_untouched_beside_the_heat_map(tmp_path):
    data = study(tmp_path, wrong=4)
    predictions = predict_manifest(Brightness(), data)
    cases = render_cases(Brightness(), predictions, data, limits=Limits())
    assert len(cases) == 12
    for case in cases:
        stored = np.asarray(Image.open(data.path(case.image)))
        left, right = case.picture[:, : stored.shape[1]], case.picture[:, -stored.shape[1] :]
        assert (left == stored[..., None]).all()
        assert (right != left).any()
        assert (right >= 0.54 * left).all()  # the map is never more than 45 % opaque
        row = predictions.table.set_index("image").loc[case.image]
        assert (case.label, case.predicted) == (row["label"], row["predicted"])
        assert case.probability == row[f"p_{case.predicted}"]
    assert Image.open(io.BytesIO(cases[0].jpeg())).size[1] == cases[0].picture.shape[0]
    assert Image.open(io.BytesIO(render_sheet(cases))).size[0] > 1000


def test_an_image_that_vanished_meanwhile_is_left_out(tmp_path):
    data = study(tmp_path, wrong=0)
    predictions = predict_manifest(Brightness(), data)
    gone = predictions.table["image"].iloc[select_cases(predictions)[0]]
    data.path(gone).write_bytes(b"")
    cases = render_cases(Brightness(), predictions, data, limits=Limits())
    assert len(cases) == 11
    assert gone not in {case.image for case in cases}
