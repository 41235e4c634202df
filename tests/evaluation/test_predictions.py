"""Each image keeps its own label and its own probabilities, whatever the predictor does; nothing is lost in silence."""

import dataclasses
import random

import numpy as np
import pytest

from covid_xray.data.manifest.manifest import select
from covid_xray.errors import BadManifest, CovidXrayError
from covid_xray.evaluation.metrics.metrics import compute
from covid_xray.evaluation.predictions import (
    Predictions,
    predict_manifest,
    probability_columns,
    read_predictions,
    write_predictions,
)
from covid_xray.inference.finding import Failure, Finding
from support.brightness import CLASSES, Brightness, manifest


class Shuffled(Brightness):
    """Answers in another order."""

    def predict_many(self, sources, *, class_maps=False):
        answers = list(super().predict_many(sources, class_maps=class_maps))
        random.Random(3).shuffle(answers)
        yield from answers


class Forgetful(Brightness):
    def predict_many(self, sources, *, class_maps=False):
        yield from list(super().predict_many(sources))[:-1]


class Stammering(Brightness):
    def predict_many(self, sources, *, class_maps=False):
        answers = list(super().predict_many(sources))
        yield from [*answers, answers[0]]


class Inventing(Brightness):
    def predict_many(self, sources, *, class_maps=False):
        yield from super().predict_many(sources)
        yield Failure("another.png", "bad-image", "expected an image")


class NotFinite(Brightness):
    def predict_many(self, sources, *, class_maps=False):
        for number, answer in enumerate(super().predict_many(sources)):
            assert isinstance(answer, Finding)
            bad = dict.fromkeys(CLASSES, float("nan"))
            yield dataclasses.replace(answer, probabilities=bad) if number == 1 else answer


def rows(count: int = 12):
    return [
        {"image": f"{chr(97 + i % 7)}/{i:02d}.png", "label": CLASSES[(i * 5) % 3], "patient_id": f"p{i // 2}"}
        for i in range(count)
    ]


@pytest.fixture
def study(tmp_path):
    return manifest(tmp_path, rows())


@pytest.mark.parametrize("kind", [Brightness, Shuffled])
def test_a_perfect_model_scores_one_in_whatever_order_it_answers(study, kind):
    found = predict_manifest(kind(), study)
    assert found.table["image"].tolist() == study.table["image"].tolist()
    assert compute(found.labels, found.probabilities, found.classes)["accuracy"] == 1.0
    assert found.table["predicted"].tolist() == found.table["label"].tolist()
    assert found.table["patient_id"].tolist() == study.table["patient_id"].tolist()


def test_shuffled_rows_and_answers_give_each_image_the_same_probabilities(study):
    straight = predict_manifest(Brightness(), study).table.set_index("image")
    images = list(study.table["image"])
    random.Random(1).shuffle(images)
    mixed = predict_manifest(Shuffled(), study.take(images)).table.set_index("image").loc[straight.index]
    columns = probability_columns(CLASSES)
    assert (straight[columns] == mixed[columns]).all(axis=None)
    assert straight["label"].tolist() == mixed["label"].tolist()


def test_labels_and_probabilities_follow_the_order_of_the_classes_of_the_bundle(study):
    turned = predict_manifest(Brightness(classes=("virus", "covid", "normal")), study)
    assert turned.classes == ("virus", "covid", "normal")
    assert [turned.classes[code] for code in turned.labels] == study.table["label"].tolist()
    assert turned.probabilities.shape == (12, 3)
    assert np.allclose(turned.probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("kind", [Forgetful, Stammering, Inventing])
def test_answers_that_do_not_match_the_images_are_an_error(study, kind):
    with pytest.raises(CovidXrayError, match="for one image|not asked for|Only .* answers") as caught:
        predict_manifest(kind(), study)
    assert caught.value.code == "lost-answer"


def test_an_image_that_fails_is_reported_with_its_label_and_reason(study):
    broken = study.table["image"].iloc[4]
    study.path(broken).write_bytes(b"<html>not found</html>")
    found = predict_manifest(Brightness(), study)
    assert len(found.table) == 11
    assert broken not in set(found.table["image"])
    (failure,) = found.failures.to_dict("records")
    assert (failure["image"], failure["label"]) == (broken, study.table["label"].iloc[4])
    assert failure["code"]
    assert failure["message"]


def test_probabilities_that_are_not_finite_are_a_failure(study):
    found = predict_manifest(NotFinite(), study)
    assert found.failures[["image", "code"]].values.tolist() == [[study.table["image"].iloc[1], "not-finite"]]
    assert len(found.table) == 11


def test_a_label_that_the_network_does_not_know_is_refused(tmp_path):
    study = manifest(tmp_path, [*rows(3), {"image": "x.png", "label": "bacterial"}])
    with pytest.raises(BadManifest, match="bacterial.*1 images"):
        predict_manifest(Brightness(), study)
    assert len(predict_manifest(Brightness(), select(study, labels=list(CLASSES))).table) == 3


def test_no_image_at_all_is_refused(study):
    with pytest.raises(BadManifest, match="with at least one"):
        predict_manifest(Brightness(), study.take([]))


def test_progress_counts_to_the_end(study):
    seen = []
    predict_manifest(Brightness(), study, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 12) for n in range(1, 13)]


def test_what_is_written_is_read_back_bit_for_bit(study, tmp_path):
    study.path(study.table["image"].iloc[0]).write_bytes(b"")
    study.table.loc[3, "patient_id"] = 'a, "b"'
    found = predict_manifest(Brightness(), study)
    write_predictions(tmp_path / "predictions.csv", found)
    again = read_predictions(tmp_path / "predictions.csv")
    assert again.classes == found.classes
    assert again.table.to_dict("list") == found.table.to_dict("list")
    assert again.failures.to_dict("list") == found.failures.to_dict("list")
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 1 + 12


def test_columns_of_the_manifest_cannot_take_the_place_of_answers(tmp_path):
    odd = [{**row, "predicted": "virus", "p_covid": "1", "reasons": "x", "error": "y"} for row in rows(4)]
    found = predict_manifest(Brightness(), manifest(tmp_path, odd))
    assert found.table["predicted"].tolist() == found.table["label"].tolist()
    write_predictions(tmp_path / "p.csv", found)
    assert len(read_predictions(tmp_path / "p.csv").table) == 4


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "image,label,predicted\n"])
def test_another_file_is_not_read_as_predictions(tmp_path, text):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(BadManifest, match=r"p\.csv"):
        read_predictions(tmp_path / "p.csv")


def test_take_keeps_the_failures(study):
    study.path(study.table["image"].iloc[0]).write_bytes(b"")
    part = predict_manifest(Brightness(), study).take(np.arange(11) < 2)
    assert isinstance(part, Predictions)
    assert (len(part.table), len(part.failures)) == (2, 1)
