"""Split an ONNX network into layers with weights, the last feature maps, and the head behind them.

This allows looking into a bundle without Keras: features as an extra output, layers randomised from the output down,
and the head as a list of steps that `head_gradient` differentiates.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from covid_xray.errors import InputRefused

Floats = NDArray[np.float32]

WEIGHTED = ("Conv", "MatMul", "Gemm")
DENSE = ("MatMul", "Gemm", "Add", "Relu", "Identity", "Dropout")
POOLING = ("GlobalAveragePool", "ReduceMean", "Flatten", "Reshape", "Squeeze", "Transpose", "MaxPool", "Identity",
           "Dropout")  # fmt: skip
REDUCING = ("GlobalAveragePool", "ReduceMean", "Flatten", "Reshape")


@dataclass(frozen=True)
class Layer:
    """A layer with weights: the name of its node, and its trained tensors."""

    name: str
    weights: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Step:
    """One node of the head: its operation, attributes, and constant inputs by position (shapes left out)."""

    kind: str
    options: Mapping[str, Any]
    constants: Mapping[int, str]


class NetworkGraph:
    """The network of a bundle, split into parts.

    Args:
        model: bytes of `model.onnx` with the output `probabilities`: softmax of a head of dense layers behind global
            average pooling or flatten, behind feature maps N x K x h x w.

    Raises:
        InputRefused: a head of another form (code `unknown-head`).
    """

    def __init__(self, model: bytes) -> None:
        self._model = onnx.load_model_from_string(model)
        graph = self._model.graph
        self._producers = {name: node for node in graph.node for name in node.output}
        self.weights: dict[str, Floats] = {
            tensor.name: numpy_helper.to_array(tensor)
            for tensor in graph.initializer
            if tensor.data_type == onnx.TensorProto.FLOAT
        }
        self._constants = {tensor.name for tensor in graph.initializer}
        self.features, self.head = self._take_apart()
        self.layers = self._layers()

    def randomised(self, layers: Iterable[Layer], *, seed: int) -> dict[str, Floats]:
        """Return all weights, with the values of these layers shuffled within each tensor."""
        found = dict(self.weights)
        for layer in layers:
            for name in layer.weights:
                # Each tensor has a stream of its own, so that a layer is shuffled alike whatever else is.
                random = np.random.default_rng((seed, *name.encode()))
                values = found[name]
                found[name] = random.permutation(values.reshape(-1)).reshape(values.shape)
        return found

    def runner(self, weights: Mapping[str, Floats] | None = None) -> "Runner":
        """Return a runner of the network up to the feature maps, with these weights instead of the file's."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        if weights is not None:
            for tensor in model.graph.initializer:
                if tensor.name in weights and weights[tensor.name] is not self.weights[tensor.name]:
                    tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
        del model.graph.output[:]
        model.graph.output.append(helper.make_tensor_value_info(self.features, onnx.TensorProto.FLOAT, None))
        return Runner(model.SerializeToString(), self.features)

    def below_head(self, layer: Layer) -> bool:
        """Tell whether the feature maps depend on this layer."""
        head = {name for step in self.head for name in step.constants.values()}
        return not set(layer.weights) <= head

    def _take_apart(self) -> tuple[str, tuple[Step, ...]]:
        """Walk back from the softmax to the feature maps."""
        node = self._producers["probabilities"]
        if node.op_type != "Softmax":
            raise self._unknown(node)
        steps: list[Step] = []
        reduced = False
        tensor = node.input[0]
        while True:
            before = self._producers.get(tensor)
            if before is None or (not reduced and before.op_type not in DENSE + POOLING):
                raise self._unknown(before)
            if reduced and before.op_type not in POOLING:
                return tensor, tuple(steps[::-1])
            reduced = reduced or before.op_type in REDUCING
            steps.append(self._step(before))
            tensor = self._data(before)

    def _step(self, node: Any) -> Step:
        options = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type == "ReduceMean" and "axes" not in options:
            options["axes"] = self._integers(node.input[1])
        constants = {place: name for place, name in enumerate(node.input) if name in self.weights}
        return Step(node.op_type, options, constants)

    def _integers(self, name: str) -> list[int]:
        tensor = next(item for item in self._model.graph.initializer if item.name == name)
        return [int(value) for value in numpy_helper.to_array(tensor).reshape(-1)]

    def _data(self, node: Any) -> str:
        """Return the input that depends on the picture, and not on shapes alone."""
        moving = [name for name in node.input if name and name not in self._constants]
        if not moving or (len(moving) > 1 and node.op_type != "Reshape"):
            raise self._unknown(node)
        return str(moving[0])

    def _layers(self) -> tuple[Layer, ...]:
        """Return the layers on the way to the probabilities, from the input to the output."""
        needed = self._ancestors("probabilities")
        found: list[tuple[str, list[str]]] = []
        for node in self._model.graph.node:
            if not needed & set(node.output):
                continue
            own = [name for name in node.input if name in self.weights and self.weights[name].size > 1]
            if node.op_type in WEIGHTED and own:
                found.append((node.name or node.output[0], own))
            elif own and found:
                found[-1][1].extend(own)
        names = _short([name for name, _ in found])
        return tuple(Layer(name, tuple(weights)) for name, (_, weights) in zip(names, found, strict=True))

    def _ancestors(self, tensor: str) -> set[str]:
        known: set[str] = set()
        waiting = [tensor]
        while waiting:
            name = waiting.pop()
            if name not in known:
                known.add(name)
                waiting += list(self._producers[name].input) if name in self._producers else []
        return known

    @staticmethod
    def _unknown(node: Any) -> InputRefused:
        return InputRefused(
            f"Unknown head: it contains {node.op_type if node is not None else 'the end of the graph'}. "
            "Known are global average pooling or flatten, and dense layers with ReLU.",
            code="unknown-head",
        )


class Runner:
    """Runs a network up to its feature maps."""

    def __init__(self, model: bytes, features: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._features = features

    def features(self, pixels: NDArray[np.uint8], *, batch: int = 16) -> Floats:
        """Return the feature maps, N x K x h' x w' float32, of N x h x w uint8."""
        parts = [
            self._session.run([self._features], {"image": pixels[first : first + batch, ..., None].astype(np.float32)})
            for first in range(0, len(pixels), batch)
        ]
        return np.concatenate([part[0] for part in parts])


def group_layers(layers: Sequence[Layer], *, count: int) -> list[tuple[Layer, ...]]:
    """Split the layers into at most `count` even groups of neighbours; the last layer is a group by itself."""
    if len(layers) <= count:
        return [(layer,) for layer in layers]
    parts = np.array_split(np.arange(len(layers) - 1), count - 1)
    return [*(tuple(layers[i] for i in part) for part in parts), (layers[-1],)]


def _short(names: Sequence[str]) -> list[str]:
    """Shorten `vgg_1/block1_conv1_1/BiasAdd` to `block1_conv1`, the part that names the layer."""
    parts = [[part for part in name.split("/") if part] for name in names]
    layers = [found[-2] if len(found) > 1 else found[0] for found in parts]
    if all(layer.endswith("_1") for layer in layers):
        layers = [layer.removesuffix("_1") for layer in layers]
    return layers
