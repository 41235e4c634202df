"""A Keras network in, a bundle out, with proof: no bundle appears before ONNX Runtime and Keras agreed on it.

Parity: a largest difference of 1e-4 in probabilities, and of 1e-4 of the largest value in embedding and class maps.
"""

import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.bundle import MODEL_FILE, OUTPUTS, identity_of, unsealed, write_bundle
from covid_xray.bundle.onnx_file import ALIGNED, largest_weight
from covid_xray.bundle.predictor import Predictor
from covid_xray.bundle.selftest import references
from covid_xray.errors import CovidXrayError, InputRefused
from covid_xray.images.pixels import PIXELS_VERSION
from covid_xray.models.heatmap_head import with_class_maps

TOLERANCE = 1e-4


class ExportFailed(CovidXrayError):
    """The exported graph is not what Keras computes, or not what a bundle needs."""

    default_code = "export-failed"


def export(
    model: keras.Model, folder: Path, *, facts: Mapping[str, Any], images: NDArray[np.uint8]
) -> dict[str, float]:
    """Write the bundle of `model` to `folder` and return the parity: the largest difference of each output.

    Args:
        model: a float32 network of `zoo.build`, trained.
        folder: of the bundle; it appears complete, or stays as it was.
        facts: for bundle.json: `name`, `version`, `classes` and whatever else is known.
        images: N x height x width uint8 to prove parity on, some tens of real inputs.

    Raises:
        ExportFailed: no parity, external data, or a graph without the three outputs.
    """
    outputs = with_class_maps(model)
    height, width = model.input.shape[1:3]
    data = to_onnx(outputs, inputs=("image",), outputs=OUTPUTS)
    parity = _parity(outputs, data, images)
    known = {**_defaults(height, width), **facts, "parity": parity}
    write_bundle(folder, model=data, facts={**known, "reference": _references(known, data)})
    return parity


def export_run(run: Path, folder: Path) -> dict[str, float]:
    """Write the bundle of the finished run `run` anew to `folder`; returns the parity.

    Raises:
        InputRefused: `run` is not a finished run folder.
    """
    try:
        facts = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["bundle"]
    except (OSError, ValueError, KeyError):
        raise InputRefused(f"expected a finished run with manifest.json in {run}. Received: none there") from None
    if not (run / "model.keras").is_file():
        raise InputRefused(f"expected model.keras in {run}. Received: no such file")
    # compile=False and safe_mode: weights and layers of ours, nothing that runs code from the archive.
    model = keras.saving.load_model(run / "model.keras", compile=False, safe_mode=True)
    height, width = model.input.shape[1:3]
    return export(model, folder, facts=facts, images=probe_images(height, width))


def probe_images(height: int, width: int, *, count: int = 8, seed: int = 0) -> NDArray[np.uint8]:
    """N x height x width uint8 test pictures: smooth random fields, one black, one white."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (count, 8, 8)).astype(np.float32)
    fields = keras.ops.convert_to_numpy(keras.ops.image.resize(coarse[..., None], (height, width)))[..., 0]
    fields[0], fields[-1] = 0, 255
    return np.clip(fields.round(), 0, 255).astype(np.uint8)


def _defaults(height: int, width: int) -> dict[str, Any]:
    """Facts that every bundle holds; the later ones are filled by calibration and evaluation."""
    size = {"height": height, "width": width, "channels": 1, "range": [0, 255]}
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


def to_onnx(model: keras.Model, *, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """A Keras model with these names of inputs and outputs as one ONNX file, checked. Raises `ExportFailed`."""
    model(np.zeros((1, *model.input.shape[1:]), np.float32))  # Keras exports only what was called once
    return _tidy(_exported(model), inputs=inputs, outputs=outputs)


def _exported(outputs: keras.Model) -> bytes:
    with tempfile.TemporaryDirectory() as name, _quiet():
        path = Path(name) / "model.onnx"
        outputs.export(path, format="onnx", verbose=False)
        extra = [p.name for p in Path(name).iterdir() if p != path]
        if extra:
            raise ExportFailed(f"expected one ONNX file. Received: external data in {', '.join(sorted(extra))}")
        return path.read_bytes()


def _references(facts: Mapping[str, Any], data: bytes) -> dict[str, Any]:
    """Answers to the drawn images of `covid-xray selftest`, by the same code that will check them."""
    identity = identity_of(data, MODEL_FILE)
    return references(Predictor(unsealed({**facts, "model": identity}, data, folder=Path())))


def _tidy(data: bytes, *, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Name the batch axis, drop what names the machine, check the graph, align the largest weight."""
    import onnx

    proto = onnx.load_from_string(data)
    for tensor in [*proto.graph.input, *proto.graph.output]:
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    names = {tensor.name for tensor in proto.graph.output}
    if names != set(outputs) or {tensor.name for tensor in proto.graph.input} != set(inputs):
        raise ExportFailed(f"expected a graph from image to {', '.join(outputs)}. Received: outputs {sorted(names)}")
    proto.doc_string = ""
    return aligned(proto)


def aligned(proto: Any) -> bytes:
    """The checked bytes of an ONNX model, with its largest weight where ONNX Runtime can use it as it lies."""
    import onnx

    onnx.checker.check_model(proto)
    # The comment stands before the graph in the file: as many spaces as bring the largest weight to a multiple of 16
    # bytes, where ONNX Runtime can use it as it is (see `bundle.onnx_file`).
    proto.doc_string = " "
    at = largest_weight(proto.SerializeToString())
    proto.doc_string = " " * (1 + (-at) % ALIGNED)
    return bytes(proto.SerializeToString())


def _parity(outputs: keras.Model, data: bytes, images: NDArray[np.uint8]) -> dict[str, float]:
    import onnxruntime

    x = images[..., None].astype(np.float32)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    received = dict(zip(OUTPUTS, session.run(list(OUTPUTS), {"image": x}), strict=True))
    expected = outputs.predict_on_batch(x)
    parity = {}
    for name in OUTPUTS:
        scale = 1.0 if name == "probabilities" else max(1.0, float(np.abs(expected[name]).max()))
        parity[name] = float(np.abs(received[name] - expected[name]).max()) / scale
        if not parity[name] <= TOLERANCE:
            raise ExportFailed(
                f"expected {name} within {TOLERANCE} of Keras. Received: a difference of {parity[name]:.2e}"
            )
    return parity


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The converters print and warn about their own old idioms; errors still come as exceptions."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
