"""Quantiles by hand, coverage that is what was promised, and calibration parts that are too small."""

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from mapie.conformity_scores import APSConformityScore, LACConformityScore, RAPSConformityScore
from mapie.utils import _compute_classification_quantile
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from covid_xray.errors import InputRefused
from covid_xray.evaluation.metrics.conformal import (
    conformal_quantile,
    coverage_band,
    fit_conformal,
    measure_coverage,
    quantile_rank,
)
from covid_xray.inference.prediction_sets import FREE_RANKS, METHODS, PENALTY, nonconformity, prediction_sets
from support.scored import CLASSES, answers


def drawn(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and the probabilities of a network that is too sure and leans to one class."""
    z = random.normal(0, 1.2, (count, 3))
    truth = softmax(z, axis=1).cumsum(axis=1)
    labels = (random.random((count, 1)) > truth).sum(axis=1).clip(max=2)
    return labels, softmax(2 * z + [0.5, 0, 0], axis=1)


def test_the_rank_and_what_is_too_few():
    assert [quantile_rank(n, coverage=0.9) for n in (9, 10, 19, 100, 1000)] == [9, 10, 18, 91, 901]
    assert quantile_rank(19, coverage=0.95) == 19
    for count, coverage, least in ((8, 0.9, 9), (18, 0.95, 19), (98, 0.99, 99)):
        with pytest.raises(InputRefused, match=f"at least {least}[.]"):
            quantile_rank(count, coverage=coverage)


def test_quantiles_by_hand():
    p = [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.3, 0.6, 0.1], [0.2, 0.3, 0.5]]
    labels = [0, 1, 1, 0]
    # 4 images at coverage 0.6: the third smallest. LAC: .3, .6, .4, .8; APS: .7, .9, .6, 1; RAPS: .7, .95, .6, 1.1.
    assert conformal_quantile(labels, p, coverage=0.6) == pytest.approx(0.6)
    assert conformal_quantile(labels, p, coverage=0.6, method="aps") == pytest.approx(0.9)
    assert conformal_quantile(labels, p, coverage=0.6, method="raps") == pytest.approx(0.95)


@pytest.mark.parametrize("method", METHODS)
def test_the_coverage_is_at_least_what_was_promised_over_many_calibrations(method):
    random = np.random.default_rng(1)
    shares = []
    for _ in range(300):
        q = conformal_quantile(*drawn(random, 100), coverage=0.9, method=method)
        labels, p = drawn(random, 200)
        kept = prediction_sets(p, quantile=q, method=method)
        shares.append(kept[np.arange(200), labels].mean())
    assert np.mean(shares) >= 0.893  # 0.9 less three standard errors
    if method == "lac":
        assert np.mean(shares) <= 0.92  # and little more: 1 / (n + 1), and the top class that is always kept


def test_the_band_holds_19_of_20_coverages():
    random = np.random.default_rng(2)
    low, high = coverage_band(150, calibration=80, coverage=0.9)
    inside = 0
    for _ in range(1000):
        scores = random.random(80)
        q = np.sort(scores)[quantile_rank(80, coverage=0.9) - 1]
        inside += low <= (random.random(150) <= q).mean() <= high
    assert 0.935 <= inside / 1000 <= 0.98


def test_facts_count_each_class_and_source():
    labels = np.arange(90) % 3
    right = np.random.default_rng(0).random(90) < 0.8
    calibration, tested = answers(labels, right), answers(labels, right, seed=4)
    facts = fit_conformal(calibration, coverage=0.8)
    assert set(facts.quantiles["lac"]) == {"0.8", "0.9", "0.95"}
    rows = measure_coverage(tested, facts, sources=["a", "b"] * 45)
    assert len(rows) == 9
    for row in rows:
        for table in (row["by_class"], row["by_source"]):
            assert sum(part["images"] for part in table.values()) == 90
            covered = sum(part["images"] * part["covered"] for part in table.values())
            assert covered == pytest.approx(90 * row["overall"]["covered"])
        assert set(row["by_class"]) == set(CLASSES)
        assert row["overall"]["mean_size"] >= 1
    sizes = {row["coverage"]: row["overall"]["mean_size"] for row in rows if row["method"] == "lac"}
    assert sizes[0.8] <= sizes[0.9] <= sizes[0.95]


def test_sets_are_never_promised_from_too_few_images():
    with pytest.raises(InputRefused):
        fit_conformal(answers(np.arange(15) % 3, np.ones(15, dtype=bool)))


class Given(ClassifierMixin, BaseEstimator):
    """A classifier for mapie whose input are the probabilities themselves."""

    def fit(self, X, y):
        self.classes_ = np.arange(X.shape[1])
        return self

    def predict_proba(self, X):
        return X

    def predict(self, X):
        return X.argmax(axis=1)


class NoChance(np.random.RandomState):
    """mapie takes a random part of the true class off the APS score; ours is the score without that step."""

    def uniform(self, low=0.0, high=1.0, size=None):
        return np.zeros(size)


class OurRaps(RAPSConformityScore):
    """mapie chooses rank and penalty on a part of the images; ours are fixed, and all images make the quantile."""

    def split_data(self, X, y, y_enc, sample_weight=None, groups=None):
        found = super().split_data(X, y, y_enc, sample_weight, groups)
        self.n_samples_ = len(y)
        return X, y, y_enc, *found[3:]

    def get_conformity_score_quantiles(self, conformity_scores, alpha_np, cv, **others):
        self.k_star, self.lambda_star = np.full(len(alpha_np), FREE_RANKS), PENALTY
        scores = self._regularize_conformity_score(self.k_star, self.lambda_star, conformity_scores, self.cutoff)
        return _compute_classification_quantile(scores, alpha_np)


SCORES = {"lac": LACConformityScore, "aps": APSConformityScore, "raps": OurRaps}


def mapie_sets(method, labels, p, tested, coverage):
    model = SplitConformalClassifier(
        Given().fit(p, labels), coverage, conformity_score=SCORES[method](), random_state=NoChance(0)
    )
    model.conformalize(p, labels)
    others = {} if method == "lac" else {"include_last_label": False}
    return model.predict_set(tested, conformity_score_params=others)[1][:, :, 0]


@pytest.mark.parametrize("coverage", [0.9, 0.95])
@pytest.mark.parametrize("spread", [3.0, 4.0])  # mixed, and as sure as trained networks mostly are
@pytest.mark.parametrize("method", METHODS)
def test_the_sets_are_those_of_mapie(method, spread, coverage):
    """Two differences: ours always keep the most probable class, which LAC may leave out; and mapie takes differences
    below 1e-8 for none, so that pairs so near to the border are not compared.
    """
    random = np.random.default_rng(3)
    p = softmax(random.normal(0, spread, (1400, 3)), axis=1)
    labels = (random.random((1400, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=2)
    tested = p[400:]
    q = conformal_quantile(labels[:400], p[:400], coverage=coverage, method=method)
    expected = mapie_sets(method, labels[:400], p[:400], tested, coverage)
    expected[np.arange(1000), tested.argmax(axis=1)] = True
    clear = (np.abs(nonconformity(tested, method=method) - q) > 1e-7) & (tested > 1e-7)
    received = prediction_sets(tested, quantile=q, method=method)
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(received[clear], expected[clear])
    assert 1 < expected.sum(axis=1).mean() < 2.9
