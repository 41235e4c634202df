"""Adapt a bundle to a hospital without training: an offset of its features, a threshold, a temperature.

Each is tried by cross-validation and kept only where it helps: false positives fall, and the sensitivity at the
hospitals left out of training does not. Offsets come from the healthy alone: a mixture would learn the prevalence.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from covid_xray.evaluation.site.answers import Answers, Share
from covid_xray.evaluation.site.reference import Healthy, Reference
from covid_xray.evaluation.site.rule import Rule, threshold_rank
from covid_xray.inference.site.correction import MARGIN, Correction

Array = NDArray[np.float64]
Fit = Callable[[Array], Correction]  # from the features of healthy images
PRIOR = 50.0  # images that the variances of training count for
LARGEST = 2.0  # most that a feature is stretched or shrunk
FEWEST_ILL = 20  # of each kind, for a temperature


@dataclass(frozen=True, eq=False)
class Trial:
    """What one way of adapting is worth: false positives in folds that it was not fitted to, and sensitivity."""

    name: str
    correction: Correction
    false_positives: Share
    sensitivity: float | None  # at the hospitals of the reference
    kept: bool


def offset_trials(answers: Answers, reference: Reference | None, rule: Rule, *, temperature: float) -> list[Trial]:
    """Try to bring the features of the site's healthy to those of the healthy of training.

    Args:
        answers: of the site.
        reference: of the bundle; without its `direction` there is nothing to try.
        rule: folds.
        temperature: of the bundle: features move uncalibrated log odds.
    """
    target = reference.pooled() if reference else None
    features = answers.embeddings[answers.healthy]
    if reference is None or reference.direction is None or target is None or len(features) < rule.least_images:
        return []
    weights = reference.direction / temperature
    ways = {"mean of the features": False}
    ways |= {"mean and variance of the features": True} if len(features) >= rule.provisional_below else {}
    before = _false_positives(answers, lambda _: Correction(), rule)
    trials = []
    for name, scaled in ways.items():

        def fit(rows: Array, scaled: bool = scaled) -> Correction:
            return feature_offset(rows, target, weights, scaled=scaled)

        correction, after = fit(features), _false_positives(answers, fit, rule)
        then, now = (_sensitivity(reference, one, temperature) for one in (Correction(), correction))
        kept = after.count < before.count and now is not None and then is not None and now >= then
        trials.append(Trial(name, correction, after, now, kept))
    return trials


def feature_offset(features: Array, target: Healthy, weights: Array, *, scaled: bool) -> Correction:
    """Move n x D features to the mean (and, with `scaled`, the variance) of `target`, seen by a linear score.

    Args:
        features: of the healthy of the site.
        target: healthy of training.
        weights: D, of the calibrated log odds.
        scaled: also stretch each feature; its variance counts `PRIOR` images of training.
    """
    mean = features.mean(axis=0)
    if not scaled:
        return Correction(constant=float(weights @ (target.mean - mean)))
    count = len(features)
    variance = (count * features.var(axis=0) + PRIOR * target.variance) / (count + PRIOR)
    stretch = np.sqrt(target.variance / np.maximum(variance, 1e-12)).clip(1 / LARGEST, LARGEST)
    stretch = np.where(target.variance > 0, stretch, 1.0)
    return Correction(
        constant=float(weights @ (target.mean - stretch * mean)),
        weights=weights * (stretch - 1),
    )


def site_threshold(scores: Array, rule: Rule) -> float | None:
    """The score of the healthy that serves as threshold (`rule.threshold_rank`); `None` where they are too few."""
    rank = threshold_rank(len(scores), false_positives=rule.false_positives, confidence=rule.confidence)
    return float(np.sort(scores)[-rank]) + MARGIN if rank else None


def with_threshold(answers: Answers, base: Correction, rule: Rule) -> Correction | None:
    """`base` with the threshold of the site's healthy; `None` where they are too few for one."""
    scores = answers.scores[answers.healthy] + base.offset(answers.embeddings[answers.healthy])
    threshold = site_threshold(scores, rule)
    return None if threshold is None else replace(base, threshold=threshold)


def threshold_in_folds(answers: Answers, rule: Rule) -> Share:
    """False positives of thresholds chosen without the fold that they are counted in, by the same rank of fewer."""
    scores = answers.scores[answers.healthy]
    share = threshold_rank(len(scores), false_positives=rule.false_positives, confidence=rule.confidence) / len(scores)
    hits = 0
    for inside in _folds(len(scores), rule):
        rank = max(1, int(share * (~inside).sum()))
        hits += int((scores[inside] > np.sort(scores[~inside])[-rank] + MARGIN).sum())
    return Share(hits, len(scores))


def with_temperature(answers: Answers, base: Correction, rule: Rule) -> Correction:
    """`base` with a temperature of the site, where ill and healthy are enough and held-out log loss falls."""
    known = answers.healthy | answers.ill
    y = answers.ill[known]
    if min(int(y.sum()), int((~y).sum())) < FEWEST_ILL:
        return base
    z = answers.scores[known] + base.offset(answers.embeddings[known]) - base.threshold
    before = after = 0.0
    for inside in _folds(len(z), rule):
        fitted = _fit_temperature(z[~inside], y[~inside])
        before += _loss(z[inside], y[inside])
        after += _loss(z[inside] / fitted, y[inside])
    return replace(base, temperature=_fit_temperature(z, y)) if after < before else base


def _fit_temperature(z: Array, y: NDArray[np.bool_]) -> float:
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(lambda log: _loss(z / np.exp(log), y), bounds=(-2.5, 2.5), method="bounded")
    return round(float(np.exp(found.x)), 4)


def _loss(z: Array, y: NDArray[np.bool_]) -> float:
    return float(np.logaddexp(0.0, np.where(y, -z, z)).sum())


def _false_positives(answers: Answers, fit: Fit, rule: Rule) -> Share:
    """Healthy above the threshold, each with the correction of the folds that it is not in."""
    healthy = answers.healthy
    features, scores = answers.embeddings[healthy], answers.scores[healthy]
    hits = 0
    for inside in _folds(len(scores), rule):
        moved = scores[inside] + fit(features[~inside]).offset(features[inside])
        hits += int((moved > 0).sum())
    return Share(hits, len(scores))


def _sensitivity(reference: Reference, correction: Correction, temperature: float) -> float | None:
    """Of the hospitals left out for a constant; where features are stretched, the lower of that and of ill images.

    The bundle has no features of hospitals left out (they are of other networks), so the effect of stretching is taken
    from ill images that trained nothing.
    """
    features = reference.ill_embeddings
    if correction.weights is None or not len(features) or reference.direction is None:
        return reference.sensitivity(-correction.constant)
    scores = (features @ reference.direction + reference.intercept) / temperature
    gained = np.mean(scores + correction.offset(features) > 0) - np.mean(scores > 0)
    known = reference.sensitivity(0.0)
    return None if known is None else known + float(gained)


def _folds(count: int, rule: Rule) -> Iterator[NDArray[np.bool_]]:
    fold = np.random.default_rng(0).permutation(count) % rule.folds
    for number in range(min(rule.folds, count)):
        yield fold == number
