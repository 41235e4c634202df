"""Checking a bundle at a hospital from end to end, on drawn images and on a small real network."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covid_xray.bundle.bundle import record
from covid_xray.errors import InputRefused, UsageError
from covid_xray.evaluation.site.commission import commission, distances, site_facts
from covid_xray.evaluation.site.images import read_images
from covid_xray.evaluation.site.reference import reference_facts
from covid_xray.evaluation.site.rule import Rule
from covid_xray.inference.predictor import Predictor
from support.bundles import grey, make_bundle
from support.drawing import png
from support.sites import reference, site_answers

FINDS_ALL = reference_facts(
    np.full((30, 3), [0.2, 0.7, 0.1], dtype=np.float32),
    np.random.default_rng(0).normal(size=(30, 2)),
    pd.DataFrame({"source": ["home"] * 30, "healthy": [True] * 30}),
    well=1,
    temperature=1.0,
    left_out={"away": np.linspace(0.5, 3, 50)},
)


def hospital(folder: Path, *, shown: dict[str, list[str]]) -> Path:
    """Class folders: label to what each of its images really shows."""
    for label, kinds in shown.items():
        for number, kind in enumerate(kinds):
            path = folder / label / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(grey(kind, seed=1000 * len(label) + number)))
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def checked(bundle: Path, data: Path, **options):
    predictor = Predictor(bundle)
    found = commission(predictor, read_images(data), name="A", **options)
    return found, site_facts(found, predictor, signed_by=None)


def test_a_hospital_with_both_kinds_is_fit_and_wrong_labels_are_listed(bundle, tmp_path):
    data = hospital(tmp_path / "a", shown={"normal": ["normal"] * 60 + ["covid"], "covid": ["covid"] * 40})
    found, facts = checked(bundle, data)
    assert facts["verdict"] == "fit"
    assert facts["counts"]["labels"] == {"normal": 61, "covid": 40}
    assert facts["counts"]["false_positives"] == {"count": 1, "of": 61}
    assert facts["counts"]["sensitivity"] == {"count": 40, "of": 40}
    assert set(found.figures) == {"auroc", "ece"}
    assert [image for image, _, _ in found.doubtful][:1] == ["normal/060.png"]
    assert not found.provisional


def test_healthy_alone_need_scores_of_the_ill_elsewhere(bundle, tmp_path):
    data = hospital(tmp_path / "a", shown={"normal": ["normal"] * 40})
    found, facts = checked(bundle, data)
    assert facts["verdict"] == "not-fit"
    record(bundle, site=FINDS_ALL)
    found, facts = checked(bundle, data)
    assert facts["verdict"] == "fit"
    assert found.provisional
    assert found.figures == {}, "an AUROC of one kind, or of few, is none"


def test_a_hospital_whose_healthy_score_high_gets_its_own_threshold_or_none(bundle, tmp_path):
    """Its healthy look ill to the network; how much a threshold may cost decides."""
    record(bundle, site=FINDS_ALL)
    data = hospital(tmp_path / "a", shown={"normal": ["covid"] * 60})
    _, facts = checked(bundle, data)
    assert facts["verdict"] == "not-fit"
    assert facts["thresholds"]["site"]["fit"] is False
    _, facts = checked(bundle, data, rule=Rule(sensitivity_loss=1.0, sensitivity=0.0))
    assert facts["verdict"] == "fit-with-site-threshold"
    assert facts["thresholds"]["used"]["log_odds"] > 0
    assert facts["counts"]["false_positives"]["count"] <= 2


def test_without_labels_nothing_is_adapted_and_it_is_not_fit(bundle, tmp_path):
    for number in range(25):
        (tmp_path / f"{number}.png").write_bytes(png(grey("normal", seed=number)))
    found, facts = checked(bundle, tmp_path)
    assert facts["verdict"] == "not-fit"
    assert len(found.candidates) == 1
    assert facts["counts"]["labels"] == {"not given": 25}


def test_one_class_without_healthy_is_not_fit(bundle, tmp_path):
    _, facts = checked(bundle, hospital(tmp_path / "a", shown={"covid": ["covid"] * 30}))
    assert facts["verdict"] == "not-fit"


def test_fewer_than_twenty_images_and_bundles_without_a_healthy_class_are_refused(bundle, tmp_path):
    data = hospital(tmp_path / "a", shown={"normal": ["normal"] * 19})
    with pytest.raises(InputRefused, match="Too few images: 19") as caught:
        checked(bundle, data)
    assert caught.value.code == "too-few"
    other = make_bundle(tmp_path / "other", classes=["a", "b", "c"])
    with pytest.raises(UsageError, match="no healthy class"):
        checked(other, hospital(tmp_path / "b", shown={"normal": ["normal"] * 20}))


def test_distances_are_those_of_the_means_in_standard_deviations():
    features = np.random.default_rng(0).normal([3.0, 0.0], 1.0, (400, 2))
    found = distances(site_answers(np.zeros(400), embeddings=features), reference([1.0, 2.0]))
    away, chance = found["home"]
    assert away == pytest.approx(3 / np.sqrt(2), rel=0.05)
    assert chance == pytest.approx(np.sqrt(1 / 400 + 1 / 100))
    assert distances(site_answers([0.0]), None) == {}
