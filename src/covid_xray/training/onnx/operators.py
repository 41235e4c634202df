"""Read the convolutions and dense layers of an ONNX file with their weights, in the order of the graph.

The converter folds batch normalisation into the convolution before it (kernel and bias), or leaves it behind as a
product and a sum for each channel; weights stored in 16 bits are widened.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.training.onnx.canonical import in_order

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Operator:
    """One convolution or dense layer: y = kernel x, then y * scale + shift for each channel.

    Args:
        kernel: as Keras keeps it: rows x columns x in x out; depthwise rows x columns x channels x 1; dense in x out.
        scale, shift: one value for each output; `None` where the graph has none.
    """

    kernel: Floats
    scale: Floats | None = None
    shift: Floats | None = None

    def times(self, values: Floats) -> "Operator":
        """Add a product behind it."""
        scale = values if self.scale is None else self.scale * values
        return replace(self, scale=scale, shift=None if self.shift is None else self.shift * values)

    def plus(self, values: Floats) -> "Operator":
        """Add a sum behind it."""
        return replace(self, shift=values if self.shift is None else self.shift + values)


def operators(model: bytes, *, output: str = "probabilities") -> list[Operator]:
    """Read the operators that `output` depends on, each after those whose results it uses.

    Args:
        model: an ONNX file as `training.onnx.export` writes it, weights in float32 or float16.
        output: name of an output of the graph.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(model).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found: list[Operator] = []
    place: dict[str, int] = {}  # result of a node -> the operator that it ends
    for node in in_order(graph.node, [output]):
        weights = [constants[name] for name in node.input if name in constants]
        before = next((place[name] for name in node.input if name in place), None)
        if node.op_type == "Cast" and weights:
            constants[node.output[0]] = weights[0].astype(np.float32)
        elif node.op_type in ("Conv", "MatMul") and node.input[1] in constants:
            place[node.output[0]] = len(found)
            found.append(_operator(node, weights))
        elif node.op_type in ("Mul", "Add") and len(weights) == 1 and before is not None:
            step = found[before].times if node.op_type == "Mul" else found[before].plus
            found[before] = step(weights[0].ravel())
            place[node.output[0]] = before
    return found


def _operator(node: Any, constants: list[NDArray[Any]]) -> Operator:
    kernel, *bias = constants
    if node.op_type == "MatMul":
        return Operator(kernel)
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    # ONNX: out x in x rows x columns; depthwise channels x 1 x rows x columns, as many groups as channels.
    axes = (2, 3, 0, 1) if groups > 1 else (2, 3, 1, 0)
    return Operator(kernel.transpose(axes), shift=bias[0] if bias else None)
