"""Prepare an ONNX file for storage: check and align it, and store its weights in 16 bits where that is set.

Weights in 16 bits halve the file on disk and in the wheel. The arithmetic stays in float32: each weight is widened
once, when the network is opened.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.bundle import OUTPUTS
from covid_xray.bundle.onnx_file import ALIGNED, largest_weight
from covid_xray.errors import CovidXrayError
from covid_xray.images.pixels import PIXELS_VERSION

SMALLEST = 256  # elements; smaller tensors (biases, constants of the preprocessing) stay as they are
# A classifier's early layers are small and their errors grow on the way: below this many elements they stay, which
# costs a seventh of the saving and divides the largest change of a probability by five (EfficientNet-Lite0).
CLASSIFIER_SMALLEST = 40_000
TOLERANCE = 2e-3  # largest change of a probability that 16 bits may make


class ExportFailed(CovidXrayError):
    """The exported graph differs from Keras, or does not fit a bundle."""

    default_code = "export-failed"


def default_facts(height: int, width: int, *, crop: str) -> dict[str, Any]:
    """Return facts that every bundle holds; the later ones are filled by calibration and evaluation."""
    size = {"height": height, "width": width, "channels": 1, "range": [0, 255], "crop": crop}
    resize = "bilinear with antialiasing to height x width, aspect ratio not kept"
    return {
        "input": {**size, "resize": resize, "pixels_version": PIXELS_VERSION},
        "outputs": list(OUTPUTS),
        "temperature": 1.0,
        "operating_points": {},
        "conformal": None,
        "gate": None,
        "metrics": None,
    }


def stored(data: bytes, images: NDArray[np.uint8], *, precision: str) -> tuple[bytes, dict[str, Any]]:
    """Store the weights of a bundle's ONNX file in the wished precision; return the file and facts for `bundle.json`.

    Args:
        data: a network whose parity with Keras is proved, weights in float32.
        images: N x height x width uint8, the images of that proof.
        precision: `float32`, which changes nothing, or `float16`. Where that would change a probability by more than
            2e-3, the weights that change it most stay in float32, all of them if need be: a run of hours must not end
            without a bundle.

    Returns:
        The file, and `weights` as they are stored; for float16 also the `largest_difference` of a probability that it
        makes, and `checked_images`.
    """
    if precision == "float32":
        return data, {"weights": "float32"}
    exact = _probabilities(data, images)

    def change(names: Sequence[str]) -> float:
        return float(np.abs(_probabilities(half_precision(data, names=names), images) - exact).max())

    names = _large(data, CLASSIFIER_SMALLEST)
    difference = change(names)
    if difference > TOLERANCE:
        names = sorted(names, key=lambda name: change([name]))
        while names and difference > TOLERANCE:
            names.pop()
            difference = change(names) if names else difference
    facts = {"weights": "float16" if names else "float32", "largest_difference": difference}
    return half_precision(data, names=names) if names else data, {**facts, "checked_images": len(images)}


def half_precision(data: bytes, *, names: Sequence[str] | None = None) -> bytes:
    """Store the float32 weights of `SMALLEST` elements or more, or those of `names`, as float16.

    A weight beyond the range of float16 (65,504) stays in float32.
    """
    import onnx
    from onnx import numpy_helper

    proto = onnx.load_from_string(data)
    chosen = set(_large(data, SMALLEST) if names is None else names)
    widened = []
    for tensor in list(proto.graph.initializer):
        name, values = tensor.name, numpy_helper.to_array(tensor)
        if name not in chosen or np.abs(values).max() > np.finfo(np.float16).max:
            continue
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_float16"))
        widened.append(_widen(onnx, f"{name}_float16", name))
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*widened, *nodes])  # a weight is widened before it is used
    proto.doc_string = ""
    return aligned(proto)


def _large(data: bytes, smallest: int) -> list[str]:
    """List the names of the float32 weights of so many elements or more."""
    import onnx

    weights = onnx.load_from_string(data).graph.initializer
    return [w.name for w in weights if w.data_type == onnx.TensorProto.FLOAT and np.prod(w.dims) >= smallest]


def aligned(proto: Any) -> bytes:
    """Check an ONNX model and serialise it with its largest weight aligned, so that ONNX Runtime need not copy it."""
    import onnx

    onnx.checker.check_model(proto)
    # The comment stands before the graph in the file: as many spaces as bring the largest weight to a multiple of 16
    # bytes, where ONNX Runtime can use it as it is (see `bundle.onnx_file`).
    proto.doc_string = " "
    at = largest_weight(proto.SerializeToString())
    proto.doc_string = " " * (1 + (-at) % ALIGNED)
    return bytes(proto.SerializeToString())


def _probabilities(data: bytes, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {"image": images[..., None].astype(np.float32)})
    return np.asarray(probabilities, np.float32)


def _widen(onnx: Any, stored: str, name: str) -> Any:
    return onnx.helper.make_node("Cast", [stored], [name], name=f"widen_{name}", to=onnx.TensorProto.FLOAT)
