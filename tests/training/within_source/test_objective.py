"""The ranking loss: what is constant in a source cannot pay."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from covid_xray.training.within_source.objective import RankingLoss, ranked_right, targets

ILL = np.array([0, 0, 1, 1, 0, 1], bool)
CONTRAST = np.array([0, 0, 0, 0, 1, 1])
HOSPITAL = np.array([0, 0, 0, 0, 1, 1])
Y = targets(ILL, CONTRAST, HOSPITAL)


def loss(scores: np.ndarray, **options: float) -> float:
    made = RankingLoss(2, **{"smoothing": 0.0, "alignment": 0.0, **options})
    return float(np.mean(keras.ops.convert_to_numpy(made(Y, scores[:, None].astype(np.float32)))))


def test_it_is_the_mean_logistic_loss_of_the_pairs_of_one_contrast() -> None:
    scores = np.array([0.0, 1.0, 2.0, 0.5, 3.0, 2.5])
    ahead = [2 - 0, 2 - 1, 0.5 - 0, 0.5 - 1, 2.5 - 3]
    assert loss(scores) == pytest.approx(np.mean(np.log1p(np.exp(-np.array(ahead)))), rel=1e-5)


def test_a_shift_of_a_whole_contrast_changes_nothing() -> None:
    scores = np.array([0.0, 1.0, 2.0, 0.5, 3.0, 2.5])
    assert loss(scores + 7.0 * CONTRAST) == pytest.approx(loss(scores), rel=1e-5)


def test_alignment_asks_the_healthy_of_all_sources_to_score_alike() -> None:
    scores = np.array([0.0, 1.0, 2.0, 0.5, 3.0, 2.5])
    well = {0: [0.0, 1.0], 1: [3.0]}
    means, counts = [np.mean(v) for v in well.values()], [len(v) for v in well.values()]
    spread = np.average((np.array(means) - np.average(means, weights=counts)) ** 2, weights=counts)
    assert loss(scores, alignment=0.5) - loss(scores) == pytest.approx(0.5 * spread, rel=1e-4)
    assert loss(scores - 2.5 * CONTRAST, alignment=0.5) < loss(scores, alignment=0.5)


def test_ranked_right_counts_pairs_of_one_contrast() -> None:
    scores = np.array([[0.0], [1.0], [2.0], [0.5], [3.0], [2.5]], np.float32)
    assert float(np.mean(keras.ops.convert_to_numpy(ranked_right(Y, scores)))) == pytest.approx(3 / 5)


def test_the_loss_is_kept_with_its_arguments() -> None:
    again = RankingLoss.from_config(RankingLoss(3, smoothing=0.1, alignment=0.2).get_config())
    assert (again.hospitals, again.smoothing, again.alignment) == (3, 0.1, 0.2)
