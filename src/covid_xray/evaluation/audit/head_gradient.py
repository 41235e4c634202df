"""Compute the gradient of a class logit with respect to the feature maps, in numpy alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import InputRefused
from covid_xray.evaluation.audit.network_graph import Step

Floats = NDArray[np.float32]
Back = Callable[[Floats], Floats]
Weights = Mapping[str, Floats]
Options = Mapping[str, Any]
Constants = Mapping[int, Any]


def logits_and_gradient(
    head: Sequence[Step], weights: Weights, features: Floats, classes: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Return the logits (N x C) and the gradient of one of them per image (shape of `features`).

    Args:
        head: of `NetworkGraph.head`.
        weights: tensors by name.
        features: N x K x h x w.
        classes: N class codes.

    Raises:
        InputRefused: the head holds an unknown operation (code `unknown-head`).
    """
    value, ways_back = features, []
    for step in head:
        value, back = _step(step, weights, value)
        ways_back.append(back)
    gradient = np.zeros_like(value)
    gradient[np.arange(len(value)), classes] = 1
    for back in ways_back[::-1]:
        gradient = back(gradient)
    return value, gradient


def _step(step: Step, weights: Weights, x: Floats) -> tuple[Floats, Back]:
    constants = {place: weights[name] for place, name in step.constants.items()}
    forward = _FORWARD.get(step.kind)
    if forward is None:
        raise InputRefused(f"Unknown operation in the head: {step.kind}.", code="unknown-head")
    return forward(x, step.options, constants)


def _reshape(x: Floats, options: Options, constants: Constants) -> tuple[Floats, Back]:
    """Flatten to N x D, which flatten, squeeze and reshape all do in a head."""
    return x.reshape(len(x), -1), lambda g: g.reshape(x.shape)


def _transpose(x: Floats, options: Options, constants: Constants) -> tuple[Floats, Back]:
    order = list(options["perm"])
    return x.transpose(order), lambda g: g.transpose(np.argsort(order))


def _mean(axes: tuple[int, ...], x: Floats, *, keep: bool) -> tuple[Floats, Back]:
    count = int(np.prod([x.shape[axis] for axis in axes]))

    def back(g: Floats) -> Floats:
        wide = g if keep else np.expand_dims(g, axes)
        return np.broadcast_to(wide / np.float32(count), x.shape)

    return x.mean(axis=axes, keepdims=keep), back


def _global_average(x: Floats, options: Options, constants: Constants) -> tuple[Floats, Back]:
    return _mean((2, 3), x, keep=True)


def _reduce_mean(x: Floats, options: Options, constants: Constants) -> tuple[Floats, Back]:
    axes = tuple(sorted(axis % x.ndim for axis in options["axes"]))
    return _mean(axes, x, keep=bool(options.get("keepdims", 1)))


def _max_pool(x: Floats, options: Options, constants: Constants) -> tuple[Floats, Back]:
    """Pool over windows without overlap or padding; the first of equal maxima gets the gradient."""
    size, strides = tuple(options["kernel_shape"]), tuple(options.get("strides", (1, 1)))
    if size != strides or any(options.get("pads", ())) or options.get("ceil_mode", 0):
        raise InputRefused(f"Overlapping pooling in the head: {size} by {strides}.", code="unknown-head")
    (n, k, h, w), (a, b) = x.shape, size
    rows, columns = h // a, w // b
    windows = x[:, :, : rows * a, : columns * b].reshape(n, k, rows, a, columns, b).transpose(0, 1, 2, 4, 3, 5)
    windows = windows.reshape(n, k, rows, columns, a * b)
    first = windows.argmax(axis=-1)[..., None]

    def back(g: Floats) -> Floats:
        spread = np.zeros_like(windows)
        np.put_along_axis(spread, first, g[..., None], axis=-1)
        whole = np.zeros_like(x)
        spread = spread.reshape(n, k, rows, columns, a, b).transpose(0, 1, 2, 4, 3, 5)
        whole[:, :, : rows * a, : columns * b] = spread.reshape(n, k, rows * a, columns * b)
        return whole

    return windows.max(axis=-1), back


def _matmul(x: Floats, options: Options, constants: Constants) -> tuple[Floats, Back]:
    kernel = constants[1]
    return x @ kernel, lambda g: g @ kernel.T


def _gemm(x: Floats, options: Options, constants: Constants) -> tuple[Floats, Back]:
    kernel = constants[1].T if options.get("transB", 0) else constants[1]
    kernel = kernel * np.float32(options.get("alpha", 1.0))
    bias = constants.get(2, np.float32(0)) * np.float32(options.get("beta", 1.0))
    return x @ kernel + bias, lambda g: g @ kernel.T


def _add(x: Floats, options: Options, constants: Constants) -> tuple[Floats, Back]:
    (constant,) = constants.values()
    return x + constant, lambda g: g


def _relu(x: Floats, options: Options, constants: Constants) -> tuple[Floats, Back]:
    return np.maximum(x, 0), lambda g: g * (x > 0)


def _identity(x: Floats, options: Options, constants: Constants) -> tuple[Floats, Back]:
    return x, lambda g: g


_FORWARD = {
    "Add": _add, "Dropout": _identity, "Flatten": _reshape, "Gemm": _gemm, "GlobalAveragePool": _global_average,
    "Identity": _identity, "MatMul": _matmul, "MaxPool": _max_pool, "ReduceMean": _reduce_mean, "Relu": _relu,
    "Reshape": _reshape, "Squeeze": _reshape, "Transpose": _transpose,
}  # fmt: skip
