"""Gradients of heads against differences of their logits."""

import numpy as np
import pytest

from covid_xray.errors import InputRefused
from covid_xray.evaluation.audit.head_gradient import logits_and_gradient
from covid_xray.evaluation.audit.network_graph import Step

RANDOM = np.random.default_rng(0)
K, H, W, U, C = 3, 5, 4, 6, 3


def normal(*shape):
    return RANDOM.normal(size=shape)  # float64: differences of float32 would be too coarse


FLATTEN = (
    [
        Step("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}, {}),
        Step("Transpose", {"perm": [0, 2, 3, 1]}, {}),
        Step("Reshape", {}, {}),
        Step("MatMul", {}, {1: "w1"}),
        Step("Add", {}, {1: "b1"}),
        Step("Relu", {}, {}),
        Step("Gemm", {"transB": 1, "alpha": 0.5}, {1: "w2", 2: "b2"}),
    ],
    {"w1": normal(K * 2 * 2, U), "b1": normal(U), "w2": normal(C, U), "b2": normal(C)},
)
AVERAGE = (
    [
        Step("GlobalAveragePool", {}, {}),
        Step("Squeeze", {}, {}),
        Step("MatMul", {}, {1: "w"}),
        Step("Add", {}, {0: "b"}),
    ],
    {"w": normal(K, C), "b": normal(C)},
)
MEAN = (
    [Step("Transpose", {"perm": [0, 2, 3, 1]}, {}), Step("ReduceMean", {"axes": [1, -2], "keepdims": 0}, {}),
     Step("Identity", {}, {}), Step("MatMul", {}, {1: "w"})],
    {"w": normal(K, C)},
)  # fmt: skip


@pytest.mark.parametrize(("head", "weights"), [FLATTEN, AVERAGE, MEAN], ids=["flatten", "average", "mean"])
def test_the_gradient_is_the_difference_quotient(head, weights):
    features = normal(2, K, H, W)
    classes = np.array([2, 0])
    logits, gradient = logits_and_gradient(head, weights, features, classes)
    assert logits.shape == (2, C)
    step = 1e-6
    for place in np.ndindex(features.shape):
        moved = features.copy()
        moved[place] += step
        image = place[0]
        after = logits_and_gradient(head, weights, moved, classes)[0]
        slope = (after - logits)[image, classes[image]] / step
        assert gradient[place] == pytest.approx(slope, abs=1e-5)


def test_an_edge_that_pooling_drops_has_no_gradient():
    head, weights = FLATTEN
    _, gradient = logits_and_gradient(head, weights, normal(1, K, H, W), np.array([0]))
    assert (gradient[:, :, 4] == 0).all()  # 5 rows: the fifth is in no window
    assert ((gradient != 0).sum(axis=(2, 3)) <= 4).all()  # one position for each of the 2 x 2 windows


@pytest.mark.parametrize(
    "step",
    [Step("Sigmoid", {}, {}), Step("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2]}, {})],
    ids=["unknown", "overlapping"],
)
def test_what_it_cannot_walk_back_is_refused(step):
    with pytest.raises(InputRefused) as caught:
        logits_and_gradient([step], {}, normal(1, K, H, W), np.array([0]))
    assert caught.value.code == "unknown-head"
