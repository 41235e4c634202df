"""Turn a network that ranks ill above well into one that answers with classes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from covid_xray.config import Training
from covid_xray.errors import UsageError
from covid_xray.models import zoo
from covid_xray.models.two_step import ILL, KNOWN, POOL, WHICH, with_two_steps
from covid_xray.training.batches import Part, prefetch, shown
from covid_xray.training.head.probe import fit_head, scaling

# scikit-learn's C of the second step: small, since illnesses come from different hospitals and little of what tells
# them apart is disease.
WHICH_STRENGTH, KNOWN_STRENGTH = 1e-3, 1e-2
# Logits of the illnesses are multiplied by this, so that one of them has nearly all of P(ill): the most probable class
# is then an illness where P(ill) is above one half, and P(illness) ranks as P(ill) does.
SHARP = 8.0
FLAT = 1e-2  # least scale of a feature, as a share of the largest
SURE = 20.0  # logit of `known` where every illness of the data is answered
FEW = 20  # healthy images of a source that can set the threshold
MOST = 300  # images of one illness and source that the second step is fitted to
BATCH = 64


def answers(classes: Sequence[str], settings: Training) -> tuple[str, ...]:
    """The classes that the network answers with, in the order of `classes`.

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
    """The answering network in float32: the ranker's weights, its threshold, and a second step.

    P(ill) is one half at the score that `false_positives` of the healthy validation images pass, in the source where
    that score is highest: a hospital that nobody has seen is more like the worst known one than like the mean.

    The second step is a logistic regression on the pooled features of the ill images of `part`, weighted so that
    illnesses count alike and the sources of an illness too. It does not move the features: which illness it is can
    hardly be told apart from which hospital it is, and what would be learned there would harm the first step.
    """
    answered = answers(classes, settings)
    trunk = zoo.build(settings.model_copy(update={"weights": None}), 2)
    model = with_two_steps(trunk, answers=len(answered), well=answered.index(settings.well))
    for layer in model.layers:
        if layer.weights and layer.name not in (WHICH, KNOWN):
            layer.set_weights(ranker.get_layer(layer.name).get_weights())
    kernel, bias = model.get_layer(ILL).get_weights()
    model.get_layer(ILL).set_weights([kernel, bias - threshold(ranker, val, settings)])
    _fit_second_step(model, part, classes, settings)
    return model


def threshold(ranker: keras.Model, val: Part, settings: Training) -> float:
    """The score that `false_positives` of the healthy images pass, the highest of the sources with `FEW` or more.

    Where no source has so many, the healthy of all sources together; 0 where there are none.
    """
    found = scores(lambda x: np.asarray(ranker.predict_on_batch(x)), val)
    healthy = np.array(val.classes, dtype=object)[val.labels] == settings.well
    sources = np.array(val.sources or [""] * len(val), dtype=object)
    groups = [found[healthy & (sources == name)] for name in sorted(set(sources))]
    groups = [group for group in groups if len(group) >= FEW] or [found[healthy]]
    return max((float(np.quantile(group, 1 - settings.false_positives)) for group in groups if len(group)), default=0.0)


def _fit_second_step(model: keras.Model, part: Part, classes: Sequence[str], settings: Training) -> None:
    """Set the layers `which` and `known`, in place; where there is nothing to tell apart, to one share and to 1."""
    names = np.array(classes, dtype=object)[part.labels]
    rows = _at_most(np.flatnonzero(names != settings.well), names, part, settings.seed)
    sources = np.array(part.sources or [""] * len(part), dtype=object)[rows]
    illnesses = [name for name in answers(classes, settings) if name != settings.well]
    known = np.isin(names[rows], illnesses)
    features = embed(model, part, rows)
    width = features.shape[1]
    mean, scale = scaling(features, "each")
    # A feature that hardly varies would get a huge weight, and rounding would decide the answer.
    scaled_by = mean, np.maximum(scale, FLAT * scale.max())
    which = np.zeros((width, len(illnesses))), np.zeros(len(illnesses))
    if len(illnesses) > 1:
        codes = np.array([illnesses.index(name) for name in names[rows][known]])
        weights = balanced_weights(codes, sources[known]) * np.bincount(codes)[codes]
        kernel, bias = fit_head(features[known], codes, weights, strength=WHICH_STRENGTH, scaled_by=scaled_by)
        which = SHARP * kernel, SHARP * bias
    sure = np.zeros((width, 1)), np.full(1, SURE)
    if not known.all():
        codes = known.astype(np.int64)
        weights = balanced_weights(codes, sources)
        kernel, bias = fit_head(features, codes, weights, strength=KNOWN_STRENGTH, scaled_by=scaled_by)
        sure = kernel[:, 1:] - kernel[:, :1], bias[1:] - bias[:1]
    for name, (kernel, bias) in ((WHICH, which), (KNOWN, sure)):
        model.get_layer(name).set_weights([kernel.astype(np.float32), bias.astype(np.float32)])


def _at_most(rows: NDArray[np.int64], names: NDArray[Any], part: Part, seed: int) -> NDArray[np.int64]:
    """At most `MOST` of the rows of each illness and source, drawn at random."""
    sources = np.array(part.sources or [""] * len(part), dtype=object)
    shuffled = np.random.default_rng(seed).permutation(rows)
    kept: dict[tuple[str, str], list[int]] = {}
    for row in shuffled.tolist():
        kept.setdefault((names[row], sources[row]), []).append(row)
    return np.sort(np.concatenate([np.array(group[:MOST], dtype=np.int64) for group in kept.values()]))


def balanced_weights(codes: NDArray[np.int64], sources: NDArray[Any]) -> NDArray[np.float64]:
    """N weights, mean 1: illnesses alike, the sources of one illness alike, images of one source alike."""
    weights = np.zeros(len(codes))
    for code in np.unique(codes):
        own = sorted(set(sources[codes == code]))
        for source in own:
            rows = (codes == code) & (sources == source)
            weights[rows] = 1 / (len(own) * rows.sum())
    return weights / weights.mean()


def embed(model: keras.Model, part: Part, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Pooled features N x D of some images, as they are."""
    pooled = keras.Model(model.input, model.get_layer(POOL).output)
    return _in_batches(lambda x: np.asarray(pooled.predict_on_batch(x)), part, rows)


def scores(predict: Callable[[NDArray[np.float32]], NDArray[np.float32]], part: Part) -> NDArray[np.float32]:
    """The score of every image of a part, N, as it is; `predict` answers a batch."""
    return _in_batches(predict, part, np.arange(len(part)))[:, 0]


def _in_batches(
    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]], part: Part, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    def batches() -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH].tolist()
            yield np.stack([shown(part, index) for index in chosen])[..., None].astype(np.float32)

    return np.concatenate([predict(batch) for batch in prefetch(batches())])
