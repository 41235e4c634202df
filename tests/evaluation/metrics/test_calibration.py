"""Temperature, adaptive ECE and prior shift, against other people's code and data with a known truth."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from covid_xray.errors import InputRefused, UsageError
from covid_xray.evaluation.metrics.calibration import (
    adaptive_ece,
    apply_temperature,
    compare_calibration,
    fit_calibration,
    fit_temperature,
    parse_prevalence,
    reweight_to_prevalence,
)
from covid_xray.inference.networks.network import calibrate
from support.scored import CLASSES, answers


def simulated(count: int, *, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(z), and the probabilities of a network that says softmax(z * temperature)."""
    random = np.random.default_rng(seed)
    z = random.normal(0, 1.5, (count, 3))
    labels = np.array([random.choice(3, p=row) for row in softmax(z, axis=1)])
    return labels, softmax(z * temperature, axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_recovered(temperature):
    labels, p = simulated(6000, temperature=temperature)
    assert fit_temperature(labels, p) == pytest.approx(temperature, rel=0.06)


def test_no_other_temperature_has_a_lower_nll():
    labels, p = simulated(300, temperature=2)
    best = fit_temperature(labels, p)
    least = log_loss(labels, apply_temperature(p, temperature=best))
    assert all(log_loss(labels, apply_temperature(p, temperature=t)) > least for t in (best * 0.97, best * 1.03))


def test_the_fit_is_that_of_logistic_regression_on_two_classes():
    """Temperature scaling of two classes is a logistic regression of the logit difference without intercept."""
    labels, p = simulated(500, temperature=2)
    kept = labels < 2
    two = p[kept, :2] / p[kept, :2].sum(axis=1, keepdims=True)
    model = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-10)
    model.fit(np.log(two[:, 1:] / two[:, :1]), labels[kept])
    assert fit_temperature(labels[kept], two) == pytest.approx(1 / model.coef_[0, 0], rel=1e-4)


def test_what_is_fitted_is_what_the_predictor_applies():
    _, p = simulated(50, temperature=1)
    applied = calibrate(p.astype(np.float32), temperature=1.7)
    np.testing.assert_allclose(applied, apply_temperature(p.astype(np.float32), temperature=1.7), atol=1e-6)


def test_without_an_error_there_is_no_temperature():
    labels = np.arange(30) % 3
    assert fit_temperature(labels, np.eye(3)[labels] * 0.7 + 0.1) is None
    facts = fit_calibration(answers(labels, np.ones(30, dtype=bool)))
    assert facts["temperature"] == 1.0
    assert facts["before"] == facts["after"]
    assert "stay as they are" in facts["note"]


def test_adaptive_ece_by_hand():
    # Two bins of two: confidences .5, .6 (one right) and .8, .9 (both right).
    p = np.array([[0.5, 0.5], [0.6, 0.4], [0.8, 0.2], [0.9, 0.1]])
    assert adaptive_ece([0, 1, 0, 0], p, bins=2) == pytest.approx((abs(1 - 1.1) + abs(2 - 1.7)) / 4)


def test_adaptive_ece_is_small_when_the_probabilities_are_true_and_ignores_the_order():
    labels, p = simulated(5000, temperature=1)
    assert adaptive_ece(labels, p) < 0.03
    overdone = apply_temperature(p, temperature=0.3)
    assert adaptive_ece(labels, overdone) > 0.1
    turned = np.random.default_rng(1).permutation(5000)
    rounded = np.round(p, 1)
    assert adaptive_ece(labels[turned], rounded[turned]) == pytest.approx(adaptive_ece(labels, rounded))


def test_facts_improve_the_nll_and_survive_the_way_back():
    labels = np.arange(300) % 3
    raw = answers(labels, np.random.default_rng(0).random(300) < 0.8)
    facts = fit_calibration(raw)
    assert facts["after"]["nll"] < facts["before"]["nll"]
    assert facts["labels"] == dict.fromkeys(CLASSES, 100)
    columns = [f"p_{name}" for name in CLASSES]
    table = raw.table.copy()
    table[columns] = apply_temperature(raw.probabilities, temperature=facts["temperature"])
    tested = compare_calibration(type(raw)(table, CLASSES, raw.failures), temperature=facts["temperature"])
    assert tested["before"] == pytest.approx(facts["before"])
    assert tested["after"] == pytest.approx(facts["after"])


def test_too_few_images_or_a_missing_class_are_refused():
    with pytest.raises(InputRefused, match="calibrate on: 19"):
        fit_calibration(answers(np.arange(19) % 3, np.ones(19, dtype=bool)))
    with pytest.raises(InputRefused, match="none of virus"):
        fit_calibration(answers(np.arange(40) % 2, np.ones(40, dtype=bool)))


def test_reweighting_is_the_bayes_rule_of_the_new_population():
    """Two normal densities: the posterior under any prevalence is known in closed form."""
    x = np.linspace(-3, 4, 50)
    density = np.stack([np.exp(-((x - mean) ** 2) / 2) for mean in (0, 1)], axis=1)

    def posterior(prior):
        joint = density * prior
        return joint / joint.sum(axis=1, keepdims=True)

    moved = reweight_to_prevalence(posterior([0.5, 0.5]), old=[0.5, 0.5], new=[0.95, 0.05])
    np.testing.assert_allclose(moved, posterior([0.95, 0.05]), rtol=1e-12)
    np.testing.assert_allclose(
        reweight_to_prevalence(moved, old=[0.95, 0.05], new=[0.5, 0.5]), posterior([0.5, 0.5]), rtol=1e-12
    )
    assert reweight_to_prevalence([[1.0, 0.0]], old=[0.5, 0.5], new=[0.0, 1.0]).tolist() == [[0.0, 1.0]]
    with pytest.raises(ValueError, match="sum to 1"):
        reweight_to_prevalence(moved, old=[0.5, 0.5], new=[0.5, 0.6])


def test_prevalences_are_read_and_the_rest_is_shared_out():
    old = {"covid": 0.2, "normal": 0.6, "virus": 0.2}
    assert parse_prevalence("covid=0.05", CLASSES, old=old) == pytest.approx([0.05, 0.7125, 0.2375])
    assert parse_prevalence("covid=0.1, normal=0.2, virus=0.7", CLASSES, old=old) == pytest.approx([0.1, 0.2, 0.7])
    for wrong in ("flu=0.1", "covid=2", "covid", "covid=0.7,normal=0.6", "covid=0.1,normal=0.1,virus=0.1"):
        with pytest.raises(UsageError):
            parse_prevalence(wrong, CLASSES, old=old)


def test_a_confidence_on_the_edge_of_a_bin_is_in_the_lower_bin():
    """Confidences 0.6, 0.7 and 0.9 in two bins, whose edge is the median 0.7: (0.6, 0.7] and (0.7, 0.9]."""
    p = np.array([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1]])
    assert adaptive_ece([0, 1, 0], p, bins=2) == pytest.approx((abs(1 - 1.3) + abs(1 - 0.9)) / 3)
