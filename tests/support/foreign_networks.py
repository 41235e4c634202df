"""ONNX classifiers as PyTorch exports them: channels first, a dense block, pooling, one dense layer."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def densenet(
    path: Path, *, channels: int = 1, outputs: int = 3, size: int | None = 24, end: str = "Sigmoid",
    batch: object = "n", pooled: str = "GlobalAveragePool", seed: int = 0,
) -> Path:  # fmt: skip
    """A small network of torchxrayvision's architecture: convolution, two dense layers of a block, norm, pooling."""
    random = np.random.default_rng(seed)

    def weight(*shape: int) -> np.ndarray:
        return (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    tensors = {
        "conv0": weight(6, channels, 3, 3), "conv1": weight(4, 6, 3, 3), "conv2": weight(4, 10, 3, 3),
        "scale": np.abs(weight(14)) + 1, "bias": weight(14), "mean": weight(14), "var": np.abs(weight(14)) + 1,
        "classifier.weight": weight(outputs, 14) * 4, "classifier.bias": weight(outputs),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["input", "conv0"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "conv1"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Concat", ["b", "c"], ["d"], axis=1),
        helper.make_node("Conv", ["d", "conv2"], ["e"], pads=[1, 1, 1, 1]),
        helper.make_node("Concat", ["d", "e"], ["f"], axis=1),
        helper.make_node("BatchNormalization", ["f", "scale", "bias", "mean", "var"], ["normed"]),
        helper.make_node("Relu", ["normed"], ["/features/Relu_output_0"], name="/features/Relu"),
    ]
    options = {"axes": [2, 3]} if pooled == "ReduceMean" else {}
    nodes += [
        helper.make_node(pooled, ["/features/Relu_output_0"], ["image"], **options),  # a name that is one of ours
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Gemm", ["flat", "classifier.weight", "classifier.bias"], ["logits"], transB=1),
    ]
    nodes += [helper.make_node(end, ["logits"], ["probabilities"])] if end else []
    graph = helper.make_graph(
        nodes,
        "main_graph",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, channels, size, size])],
        [helper.make_tensor_value_info("probabilities" if end else "logits", TensorProto.FLOAT, [batch, outputs])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path
