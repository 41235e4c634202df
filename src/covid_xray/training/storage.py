"""An ONNX file in, the same network with its weights stored in 16 bits out: half the size on disk and in the wheel.

The arithmetic stays in float32: each weight is widened once, when the network is opened.
"""

from typing import Any

import numpy as np

from covid_xray.training.export import aligned

SMALLEST = 256  # elements; what is smaller (biases, constants of the preprocessing) stays as it is


def half_precision(data: bytes) -> bytes:
    """The ONNX file `data` with every float32 weight of 256 elements or more stored as float16.

    A weight beyond the range of float16 (65,504) stays in float32.
    """
    import onnx
    from onnx import numpy_helper

    proto = onnx.load_from_string(data)
    widened = []
    for tensor in list(proto.graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALLEST or np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_float16"))
        widened.append(_widen(onnx, f"{name}_float16", name))
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*widened, *nodes])  # a weight is widened before it is used
    proto.doc_string = ""
    return aligned(proto)


def _widen(onnx: Any, stored: str, name: str) -> Any:
    return onnx.helper.make_node("Cast", [stored], [name], name=f"widen_{name}", to=onnx.TensorProto.FLOAT)
