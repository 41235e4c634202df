"""A lung network that was never trained, and pictures that it understands: dark is lung. Made in milliseconds."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from covid_xray.bundle.lung_network import LUNGS_VERSION, LungNetwork
from covid_xray.bundle.lung_network_folder import write_network
from covid_xray.files import sha256_bytes

SIDE = 64


def lung_network(*, size: int = SIDE, output: str = "lungs") -> bytes:
    """ONNX: the mean of 2 x 2 pixels, lung where it is below grey 100; N x size/2 x size/2 x 1."""
    tensors = {"grey": np.array(100, np.float32), "steep": np.array(-0.2, np.float32)}
    nodes = [
        helper.make_node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["nchw"], ["small"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Sub", ["small", "grey"], ["over"]),
        helper.make_node("Mul", ["over", "steep"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["found"]),
        helper.make_node("Transpose", ["found"], [output], perm=[0, 2, 3, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "dark is lung",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", size, size, 1])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", size // 2, size // 2, 1])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def lung_facts(*, size: int = SIDE, margin: float = 0.06) -> dict[str, Any]:
    """What `bundle.json` says of it under `lungs`."""
    data = lung_network(size=size)
    return {"image_size": size, "margin": margin, "version": LUNGS_VERSION, "sha256": sha256_bytes(data)}


def chest(
    *, height: int = 128, width: int = 128, body: int = 180, lung: int = 40, top: float = 0.2, bottom: float = 0.8
) -> np.ndarray:
    """height x width uint8: two dark rectangles, from 0.15 to 0.42 and from 0.58 to 0.85 of the width."""
    pixels = np.full((height, width), body, np.uint8)
    rows = slice(round(top * height), round(bottom * height))
    for left, right in ((0.15, 0.42), (0.58, 0.85)):
        pixels[rows, round(left * width) : round(right * width)] = lung
    return pixels


def write_lung_run(folder: Path) -> Path:
    """A folder with this lung network, as `train-lungs` leaves one."""
    write_network(folder, LungNetwork(lung_network(), lung_facts()))
    return folder
