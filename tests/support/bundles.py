"""Small real bundles, made in milliseconds: a convolution, global average pooling, a dense layer and softmax in ONNX.

The network tells pictures by their mean grey: dark is `normal`, middle is `virus`, bright is `covid`. Its class map of
`covid` is the picture itself, smoothed; those of the others are zero, since no bright pixel speaks for them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from covid_xray.bundle.bundle import OUTPUTS, write_bundle
from covid_xray.images.pixels import PIXELS_VERSION

CLASSES = ("covid", "normal", "virus")
SIZE = 24
GREYS = {"normal": 30, "virus": 128, "covid": 225}  # far inside the range of each class
# Rows of the head for (smoothed grey 0..1, vertical edges), one line over the mean for each class: the upper envelope
# of 60m - 40, 20 - 60m and 0 changes at m = 1/3 and m = 2/3.
_WEIGHTS = np.array([[60, 0], [-60, 0], [0, 0]], np.float32)
_BIAS = np.array([-40, 20, 0], np.float32)


def network(*, classes: int = 3, size: int = SIZE, sharpness: float = 1.0, extra: tuple[str, ...] = ()) -> bytes:
    """The ONNX file of the network; `sharpness` multiplies the logits, `extra` outputs are left out."""
    kernel = np.zeros((2, 1, 3, 3), np.float32)
    kernel[0, 0] = 1 / 9
    kernel[1, 0] = np.array([[-1, 0, 1]] * 3, np.float32) / 6
    weights, bias = _WEIGHTS[:classes] * sharpness, _BIAS[:classes] * sharpness
    tensors = {
        "white": np.array(1 / 255, np.float32),
        "kernel": kernel,
        "weights": weights,
        "bias": bias,
        "weights_1x1": weights[:, :, None, None],
    }
    nodes = [
        helper.make_node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["nchw", "white"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "kernel"], ["convolved"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["convolved"], ["features"]),
        helper.make_node("GlobalAveragePool", ["features"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
        helper.make_node("Gemm", ["embedding", "weights", "bias"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("Conv", ["features", "weights_1x1"], ["signed_maps"]),
        helper.make_node("Relu", ["signed_maps"], ["class_maps"]),
    ]
    shapes = {
        "probabilities": ["batch", classes],
        "class_maps": ["batch", classes, size, size],
        "embedding": ["batch", 2],
    }
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", size, size, 1])],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in shapes.items() if k not in extra],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def facts(*, size: int = SIZE, **others: Any) -> dict[str, Any]:
    """What `bundle.json` of the network says."""
    about = {
        "height": size,
        "width": size,
        "channels": 1,
        "range": [0, 255],
        "pixels_version": PIXELS_VERSION,
        "resize": "bilinear",
    }
    return {
        "name": "small",
        "version": "1",
        "classes": list(CLASSES),
        "input": about,
        "outputs": list(OUTPUTS),
        "temperature": 1.0,
        **others,
    }


def make_bundle(folder: Path, *, model: bytes | None = None, size: int = SIZE, **others: Any) -> Path:
    """Write the bundle of the network, or of the ONNX file `model`, to `folder`."""
    write_bundle(folder, model=network(size=size) if model is None else model, facts=facts(size=size, **others))
    return folder


def grey(label: str, *, height: int = 40, width: int = 30, seed: int = 0) -> np.ndarray:
    """A picture that the network takes for `label`: its grey with a little noise."""
    random = np.random.default_rng((sorted(GREYS).index(label), seed))
    return np.clip(GREYS[label] + random.normal(0, 8, (height, width)), 0, 255).astype(np.uint8)
