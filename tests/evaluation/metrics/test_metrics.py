"""Every figure equals scikit-learn's, with weights and without; what is undefined is absent."""

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from covid_xray.evaluation.metrics.metrics import (
    ECE_BINS,
    classification_report,
    compute,
    confidence_bins,
    confusion,
    prepare,
    weighted,
)

CLASSES = ("covid", "normal", "virus")
EXACT = {"rel": 0, "abs": 1e-12}


def sample(n: int = 400, *, count: int = 3, seed: int = 0, digits: int | None = None):
    """Labels and probabilities of a network that is right more often than not; rounded ones have many ties."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, count, n)
    logits = random.normal(size=(n, count))
    logits[np.arange(n), labels] += 0.9
    if digits is not None:
        logits = np.round(logits, digits)
    powers = np.exp(logits)
    return labels, powers / powers.sum(axis=1, keepdims=True)


def reference(labels, p, weights=None):
    """The same figures by scikit-learn."""
    said = p.argmax(axis=1)
    codes = list(range(p.shape[1]))
    each = {"labels": codes, "average": None, "sample_weight": weights}
    found = {
        "accuracy": sk.accuracy_score(labels, said, sample_weight=weights),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, said, sample_weight=weights),
        "macro_f1": sk.f1_score(labels, said, average="macro", sample_weight=weights),
        "nll": sk.log_loss(labels, p, labels=codes, sample_weight=weights),
        "brier": sk.brier_score_loss(labels, p, labels=codes, sample_weight=weights, scale_by_half=False),
    }
    for code, name in enumerate(CLASSES[: p.shape[1]]):
        truth = labels == code
        found[f"f1/{name}"] = sk.f1_score(labels, said, **each)[code]
        found[f"sensitivity/{name}"] = sk.recall_score(labels, said, **each)[code]
        found[f"precision/{name}"] = sk.precision_score(labels, said, **each)[code]
        found[f"specificity/{name}"] = sk.recall_score(~truth, said != code, sample_weight=weights)
        found[f"auroc/{name}"] = sk.roc_auc_score(truth, p[:, code], sample_weight=weights)
        found[f"auprc/{name}"] = sk.average_precision_score(truth, p[:, code], sample_weight=weights)
    found["auroc_macro"] = np.mean([found[f"auroc/{name}"] for name in CLASSES[: p.shape[1]]])
    return found


@pytest.mark.parametrize("digits", [None, 0])
@pytest.mark.parametrize("count", [2, 3])
def test_figures_equal_those_of_scikit_learn(digits, count):
    labels, p = sample(count=count, digits=digits)
    found = compute(labels, p, CLASSES[:count])
    expected = reference(labels, p)
    assert found.keys() == {*expected, "ece"}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, **EXACT), name


@pytest.mark.parametrize("digits", [None, 0])
def test_weighted_figures_equal_those_of_scikit_learn(digits):
    labels, p = sample(digits=digits)
    weights = np.random.default_rng(1).poisson(1.0, (5, len(labels))).astype(float)
    found = weighted(prepare(labels, p, CLASSES), weights)
    for number, row in enumerate(weights):
        for name, value in reference(labels, p, row).items():
            assert found[name][number] == pytest.approx(value, **EXACT), name


def test_macro_auroc_of_three_classes_is_the_one_against_rest_mean():
    labels, p = sample()
    expected = sk.roc_auc_score(labels, p, multi_class="ovr", average="macro")
    assert compute(labels, p, CLASSES)["auroc_macro"] == pytest.approx(expected, **EXACT)


def test_ece_equals_the_weighted_gap_of_the_calibration_curve():
    labels, p = sample(n=3000)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    share, mean = calibration_curve(right, confidence, n_bins=ECE_BINS)
    counts = np.bincount(confidence_bins(confidence), minlength=ECE_BINS)
    expected = np.sum(np.abs(share - mean) * counts[counts > 0]) / len(labels)
    assert compute(labels, p, CLASSES)["ece"] == pytest.approx(expected, **EXACT)


def test_a_calibrated_network_has_nearly_no_ece_and_an_overconfident_one_has_much():
    random = np.random.default_rng(2)
    p = random.dirichlet((1, 1, 1), 20_000)
    labels = (random.random(len(p))[:, None] > p.cumsum(axis=1)).sum(axis=1)
    assert compute(labels, p, CLASSES)["ece"] < 0.01
    sharp = p**4 / (p**4).sum(axis=1, keepdims=True)
    assert compute(labels, sharp, CLASSES)["ece"] > 0.15


def test_a_perfect_model_scores_one():
    labels = np.array([0, 1, 2, 2, 1, 0])
    found = compute(labels, np.eye(3)[labels], CLASSES)
    assert found.pop("nll") == pytest.approx(0, abs=1e-15)
    assert found.pop("brier") == 0
    assert found.pop("ece") == 0
    assert set(found.values()) == {1.0}


def test_with_one_class_what_cannot_be_known_is_absent():
    p = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.5, 0.3, 0.2]])
    found = compute([0, 0, 0], p, CLASSES)
    assert found["accuracy"] == found["sensitivity/covid"] == found["balanced_accuracy"] == pytest.approx(2 / 3)
    absent = {"auroc_macro", "auroc/covid", "auprc/covid", "auprc/normal", "specificity/covid", "sensitivity/normal"}
    assert not absent & found.keys()
    assert "precision/virus" not in found  # nothing was called virus
    assert found["precision/normal"] == 0  # something was, wrongly
    assert all(np.isfinite(list(found.values())))


def test_confusion_has_true_rows():
    assert confusion([0, 0, 1, 2], [0, 1, 1, 0], 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_classification_report_lists_all_classes_and_says_nan_for_undefined():
    text = classification_report([0, 0, 1], [0, 1, 1], CLASSES)
    assert [line.split()[0] for line in text.splitlines()[2:5]] == list(CLASSES)
    assert text.splitlines()[4].split() == ["virus", "nan", "nan", "nan", "0"]


@pytest.mark.parametrize(
    ("labels", "p"),
    [
        ([0, 3], np.full((2, 3), 1 / 3)),
        ([0, -1], np.full((2, 3), 1 / 3)),
        ([0.0, 1.0], np.full((2, 3), 1 / 3)),
        ([0, 1], np.full((2, 2), 0.5)),
        ([0], np.full((2, 3), 1 / 3)),
        ([0], [[np.nan, 0.5, 0.5]]),
        ([0], [[1.5, -0.5, 0.0]]),
        (np.array([], dtype=int), np.empty((0, 3))),
    ],
)
def test_arguments_that_do_not_fit_are_refused(labels, p):
    with pytest.raises(ValueError, match="Shapes do not fit|out of range"):
        compute(labels, p, CLASSES)
