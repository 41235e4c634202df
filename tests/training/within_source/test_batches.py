"""Batches of pairs inside sources, and the judgement of scores by contrasts."""

import numpy as np
import pytest

pytest.importorskip("keras")

from covid_xray.config import Training
from covid_xray.training.batches import Part
from covid_xray.training.cache import PixelCache
from covid_xray.training.within_source.batches import contrast_batches, judge, sources_in, steps_in

SETTINGS = Training(objective="within_source", batch_size=8, samples_per_epoch=20, augment=False, image_size=32)


def part(each: int = 12) -> Part:
    """Two sources; the grey of an image is 100 in one and 200 in the other, and 10 more where it is ill."""
    images, labels, sources, pixels = [], [], [], []
    for source, grey in (("a", 100), ("b", 200)):
        for label in (0, 1):
            for number in range(each):
                images.append(f"{source}{label}{number}")
                labels.append(label)
                sources.append(source)
                pixels.append(np.full((4, 4), grey + 10 * (label == 0), np.uint8))
    cache = PixelCache(np.stack(pixels), {image: row for row, image in enumerate(images)})
    codes = np.array(labels)
    return Part(tuple(images), codes, ("covid", "normal"), cache, codes, sources=tuple(sources))


def test_a_batch_is_half_healthy_half_ill_in_pairs_of_one_source() -> None:
    batches = list(contrast_batches(part(), settings=SETTINGS, epoch=1))
    assert len(batches) == steps_in(part(), SETTINGS) == 3
    for batch in batches:
        ill, contrast, hospital = batch.y.T
        assert ill.tolist() == [0] * 4 + [1] * 4
        assert contrast[:4].tolist() == contrast[4:].tolist()
        assert hospital.tolist() == contrast.tolist(), "no source is pooled here"
        grey = batch.x[:, 0, 0, 0]
        assert (grey == np.where(contrast == 0, 100, 200) + 10 * ill).all()


def test_an_epoch_is_the_same_again_and_another_epoch_is_not() -> None:
    first, again, other = (
        [batch.images for batch in contrast_batches(part(), settings=SETTINGS, epoch=epoch)] for epoch in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_scores_are_judged_inside_sources() -> None:
    assert sources_in(part()) == 2

    def by_grey(x: np.ndarray) -> np.ndarray:
        return x[:, 0, 0, :1] / 10

    loss, mean, worst = judge(by_grey, part(), settings=SETTINGS)
    assert (mean, worst) == (1.0, 1.0), "the difference between the sources does not count"
    assert loss == pytest.approx(np.log1p(np.exp(-1)), rel=1e-5)
    assert judge(lambda x: -by_grey(x), part(), settings=SETTINGS)[1:] == (0.0, 0.0)
