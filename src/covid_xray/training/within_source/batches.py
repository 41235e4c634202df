"""Draw the training batches of `objective=within_source`, and judge a network on a part by its contrasts."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from covid_xray.config import Training
from covid_xray.training.batches import Batch, Part, altered
from covid_xray.training.within_source.answering import scores
from covid_xray.training.within_source.contrasts import LEAST, Contrast, draw_batch, find_contrasts
from covid_xray.training.within_source.objective import targets


def contrasts_of(part: Part, settings: Training, *, least: int = LEAST) -> tuple[Contrast, ...]:
    """Find the contrasts of a part. Raises `InputRefused` where there are none."""
    sources = part.sources or ("",) * len(part)
    return find_contrasts(ill_images(part, settings).tolist(), sources, seed=settings.seed, least=least)


def ill_images(part: Part, settings: Training) -> NDArray[np.bool_]:
    """Say of each image whether it is ill, N booleans."""
    return np.array([part.classes[label] != settings.well for label in part.labels], dtype=bool)


def steps_in(part: Part, settings: Training) -> int:
    """Count the batches of one epoch."""
    return -(-(settings.samples_per_epoch or len(part)) // settings.batch_size)


def contrast_batches(part: Part, *, settings: Training, epoch: int) -> Iterator[Batch]:
    """Yield the batches of one epoch: half healthy, half ill, in pairs of one contrast, augmented.

    A function of (seed, epoch) alone, as `batches.training_batches`.
    """
    contrasts = contrasts_of(part, settings)
    ill, hospital = ill_images(part, settings), _numbers(part)
    for step in range(steps_in(part, settings)):
        random = np.random.default_rng((settings.seed, epoch, step, 3))
        chosen, number = draw_batch(contrasts, pairs=settings.batch_size // 2, random=random)
        pixels = [
            altered(part, index, settings, (settings.seed, epoch, step, place))
            for place, index in enumerate(chosen.tolist())
        ]
        yield Batch(
            images=tuple(part.images[index] for index in chosen),
            x=np.stack(pixels)[..., None].astype(np.float32),
            y=targets(ill[chosen], number, hospital[chosen]),
            weight=np.ones(len(chosen), np.float32),
            groups=number,
        )


def sources_in(part: Part) -> int:
    """Number of different sources of a part."""
    return len(set(part.sources)) or 1


def judge(
    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]], part: Part, *, settings: Training
) -> tuple[float, float, float]:
    """Measure how well scores separate ill from well inside each contrast of `part`.

    Returns:
        The mean pairwise logistic loss, the mean AUROC over the contrasts, and the lowest of them.
    """
    found = scores(predict, part).astype(np.float64)
    losses, areas = [], []
    for contrast in contrasts_of(part, settings, least=1):
        well, ill = (found[np.concatenate(side)] for side in (contrast.well, contrast.ill))
        losses.append(float(np.logaddexp(0, well[None] - ill[:, None]).mean()))
        truth = np.concatenate([np.zeros(len(well)), np.ones(len(ill))])
        areas.append(float(roc_auc_score(truth, np.concatenate([well, ill]))))
    return float(np.mean(losses)), float(np.mean(areas)), float(np.min(areas))


def _numbers(part: Part) -> NDArray[np.int64]:
    if not part.sources:
        return np.zeros(len(part), np.int64)
    return np.unique(np.array(part.sources), return_inverse=True)[1].astype(np.int64)
