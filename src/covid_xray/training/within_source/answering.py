"""Turn a network that ranks ill above well into one that answers with classes."""

from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from covid_xray.config import Training
from covid_xray.errors import UsageError
from covid_xray.models import zoo
from covid_xray.models.two_step import ILL, KNOWN, POOL, WHICH, with_two_steps
from covid_xray.training.batches import Part, prefetch, shown
from covid_xray.training.within_source.heads import Described, Linear, fit_background, fit_known, fit_scores

# Logits of the background are multiplied by this, so that one illness has nearly all of it: the most probable class is
# then an illness where its P(ill) is above one half.
SHARP = 8.0
SURE = 20.0  # logit of `known` where every illness of the data is answered
CLEAR = 1.5  # logit of P(well) for the median healthy image of the source that decides; the temperature is then near 1
FEW = 20  # healthy images of a source that can set the threshold
MOST = 400  # images of one class and source that the heads are fitted to
BATCH = 64


def answers(classes: Sequence[str], settings: Training) -> tuple[str, ...]:
    """Return the classes that the network predicts, in the order of `classes`.

    Raises:
        UsageError: the healthy label is not among them, or nothing ill is.
    """
    if settings.objective != "within_source":
        return tuple(classes)
    kept = tuple(name for name in classes if name not in settings.unanswered)
    if settings.well not in kept or len(kept) < 2:
        raise UsageError(
            f"objective=within_source needs the healthy label well={settings.well} and at least one illness to answer; "
            f"the data has {', '.join(classes)}. Name the healthy label with --set well=LABEL."
        )
    return kept


def assemble(settings: Training, classes: Sequence[str], ranker: keras.Model, part: Part, val: Part) -> keras.Model:
    """Assemble the final network in float32: the ranker's features, and heads that are fitted to them.

    P(illness) is P(ill) of that illness times the share of its background (`heads`). P(ill) is one half at the score
    that `false_positives` of the healthy validation images pass, in the source where that score is highest: an unseen
    hospital is more like the worst known one than like the mean.
    """
    answered = answers(classes, settings)
    illnesses = tuple(name for name in answered if name != settings.well)
    trunk = zoo.build(settings.model_copy(update={"weights": None}), 2)
    model = with_two_steps(trunk, answers=len(answered), well=answered.index(settings.well))
    for layer in model.layers:
        if layer.weights and layer.name not in (ILL, WHICH, KNOWN):
            layer.set_weights(ranker.get_layer(layer.name).get_weights())
    train = described(model, part, _at_most(part, settings.seed))
    scores = fit_scores(train, illnesses, well=settings.well)
    background = fit_background(train, illnesses, well=settings.well)
    healthy = described(model, val, np.flatnonzero(_names(val) == settings.well))
    heads = {
        ILL: at_thresholds(scores, background, healthy, false_positives=settings.false_positives),
        WHICH: Linear(SHARP * background.kernel, SHARP * background.bias),
        KNOWN: _known(train, illnesses, settings),
    }
    for name, head in heads.items():
        model.get_layer(name).set_weights([head.kernel.astype(np.float32), head.bias.astype(np.float32)])
    return model


def at_thresholds(scores: Linear, background: Linear, healthy: Described, *, false_positives: float) -> Linear:
    """Shift and scale the scores to logits of P(ill), 0 at the threshold of each illness.

    At most `false_positives` of the healthy images of any source have the background of the illness and a score above
    its threshold; sources with fewer than `FEW` count together. The slope gives the median healthy image -`CLEAR`.
    """
    if not len(healthy.features):
        return scores
    found, nearest = scores(healthy.features), background(healthy.features).argmax(axis=1)
    groups = [healthy.sources == name for name in sorted(set(healthy.sources))]
    groups = [group for group in groups if group.sum() >= FEW] or [np.ones(len(found), dtype=bool)]
    slopes, thresholds = [], []
    for place in range(found.shape[1]):
        limits = [_limit(found[group, place], nearest[group] == place, false_positives) for group in groups]
        threshold, median = max(limits)
        if not np.isfinite(threshold):  # no healthy image looks like the pictures of this illness
            threshold = float(np.quantile(found[:, place], 1 - false_positives))
        slopes.append(CLEAR / max(threshold - median, 1e-6))
        thresholds.append(threshold)
    slope, zero = np.array(slopes), np.array(thresholds)
    return Linear(scores.kernel * slope, (scores.bias - zero) * slope)


def _limit(scores: NDArray[np.float64], own: NDArray[np.bool_], false_positives: float) -> tuple[float, float]:
    """Find the score that `false_positives` of all images pass, where only `own` ones count, and the median score.

    Where so few are `own` that they cannot be too many, minus infinity.
    """
    allowed = int(false_positives * len(scores))
    above = np.sort(scores[own])[::-1]
    limit = above[allowed] if len(above) > allowed else -np.inf
    return float(limit), float(np.median(scores[own] if own.sum() >= FEW else scores))


def _known(train: Described, illnesses: Sequence[str], settings: Training) -> Linear:
    """Apply `fit_known`, or where the data has no other illness a head that is always sure."""
    if set(train.classes) <= {*illnesses, settings.well}:
        return Linear(np.zeros((train.features.shape[1], 1)), np.full(1, SURE))
    return fit_known(train, illnesses, well=settings.well)


def described(model: keras.Model, part: Part, rows: NDArray[np.int64]) -> Described:
    """Compute pooled features of some images of a part, unaugmented, with their classes and sources."""
    pooled = keras.Model(model.input, model.get_layer(POOL).output)
    features = _in_batches(lambda x: np.asarray(pooled.predict_on_batch(x)), part, rows)
    return Described(features.reshape(len(rows), pooled.output.shape[-1]), _names(part)[rows], _sources(part)[rows])


def _names(part: Part) -> NDArray[np.object_]:
    return np.array(part.classes, dtype=object)[part.labels]


def _sources(part: Part) -> NDArray[np.object_]:
    return np.array(part.sources or [""] * len(part), dtype=object)


def _at_most(part: Part, seed: int) -> NDArray[np.int64]:
    """Draw at most `MOST` images of each class and source."""
    names, sources = _names(part), _sources(part)
    kept: dict[tuple[str, str], list[int]] = {}
    for row in np.random.default_rng(seed).permutation(len(part)).tolist():
        kept.setdefault((names[row], sources[row]), []).append(row)
    return np.sort(np.concatenate([np.array(group[:MOST], dtype=np.int64) for group in kept.values()]))


def scores(predict: Callable[[NDArray[np.float32]], NDArray[np.float32]], part: Part) -> NDArray[np.float32]:
    """Compute the score of every image of a part, N, unaugmented; `predict` scores a batch."""
    return _in_batches(predict, part, np.arange(len(part)))[:, 0]


def _in_batches(
    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]], part: Part, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    def batches() -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH].tolist()
            yield np.stack([shown(part, index) for index in chosen])[..., None].astype(np.float32)

    found = [predict(batch) for batch in prefetch(batches())]
    return np.concatenate(found) if found else np.empty((0, 1), np.float32)
