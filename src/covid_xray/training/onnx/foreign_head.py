"""Find the head of a classifier in an ONNX file: feature maps, average pooling, one dense layer."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import InputRefused, UsageError

Floats = NDArray[np.float32]
ENDS = ("Softmax", "LogSoftmax", "Sigmoid", "Identity", "Cast")  # between logits and output
BETWEEN = ("Flatten", "Reshape", "Squeeze", "Identity", "Dropout")  # between pooling and the dense layer


@dataclass(frozen=True, eq=False)
class Head:
    """Tensors of a head by name, and its weights.

    Args:
        features: N x K x h x w, or N x h x w x K with `channels_last`.
        embedding: N x K, their mean.
        logits: N x C.
        kernel: K x C.
        channels_last: the order of `features`.
    """

    features: str
    embedding: str
    logits: str
    kernel: Floats
    channels_last: bool


def find_head(proto: Any, *, layer: str | None = None) -> Head:
    """Find the head of the network in an `onnx.ModelProto`.

    Args:
        proto: the network; its first output is probabilities or logits.
        layer: tensor or node that must be its last feature maps; `None` accepts any.

    Raises:
        InputRefused: a head of another form (code `unknown-head`).
        UsageError: `layer` is another one.
    """
    from onnx import numpy_helper

    makers = {name: node for node in proto.graph.node for name in node.output}
    values = {tensor.name: tensor for tensor in proto.graph.initializer}
    values |= {node.output[0]: node.attribute[0].t for node in proto.graph.node if node.op_type == "Constant"}

    def array(name: str) -> Floats | None:
        return numpy_helper.to_array(values[name]) if name in values else None

    logits = _before(proto.graph.output[0].name, makers, ENDS)
    dense = makers.get(logits)
    if dense is not None and dense.op_type == "Add":  # the bias of a product without one
        dense = next((makers[name] for name in dense.input if name in makers and name not in values), None)
    if dense is None or dense.op_type not in ("Gemm", "MatMul"):
        raise _unknown("no dense layer before its output")
    kernel = array(dense.input[1])
    if kernel is None or kernel.ndim != 2:
        raise _unknown("the weights of its last layer are no constants")
    kernel = kernel.T if _attribute(dense, "transB", 0) else kernel
    pooled = _before(dense.input[0], makers, BETWEEN)
    pool = makers.get(pooled)
    last = _axes(pool, array) if pool is not None else None
    if pool is None or last is None:
        raise _unknown("no global average pooling before its last layer")
    features = pool.input[0]
    _require_layer(layer, features, makers)
    return Head(features, dense.input[0], logits, np.asarray(kernel, np.float32), channels_last=last)


def _axes(pool: Any, array: Any) -> bool | None:
    """Say whether a pooling node averages rows and columns of channels-last maps; `None`: it is no such node."""
    if pool.op_type == "GlobalAveragePool":
        return False
    if pool.op_type != "ReduceMean":
        return None
    axes = array(pool.input[1]) if len(pool.input) > 1 else _attribute(pool, "axes", ())
    found = {int(axis) % 4 for axis in axes} if axes is not None else set()
    return {frozenset({2, 3}): False, frozenset({1, 2}): True}.get(frozenset(found))


def _require_layer(layer: str | None, features: str, makers: dict[str, Any]) -> None:
    named = {features, makers[features].name} if features in makers else {features}
    if layer is not None and layer not in named:
        raise UsageError(
            f"The layer {layer} is not what the network pools: that is {features}. Give --layer {features}, or leave "
            "it out."
        )


def _before(name: str, makers: dict[str, Any], kinds: tuple[str, ...]) -> str:
    """Go back over nodes of these kinds, and return the tensor before them."""
    while name in makers and makers[name].op_type in kinds:
        name = makers[name].input[0]
    return name


def _attribute(node: Any, name: str, default: Any) -> Any:
    from onnx import helper

    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)


def _unknown(problem: str) -> InputRefused:
    return InputRefused(
        f"The head of the network is unknown: {problem}. It must be feature maps, global average pooling, one dense "
        "layer.",
        code="unknown-head",
    )
