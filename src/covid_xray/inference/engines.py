"""Open the network of a verified bundle with ONNX Runtime, or with OpenVINO.

An engine is opened from the bytes that were hashed, never from a path that may have changed since.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.bundle import OUTPUTS, Bundle
from covid_xray.bundle.onnx_file import split_weights
from covid_xray.errors import BadBundle, MissingPackage, UsageError

ENGINES = ("onnxruntime", "openvino")
PRECISIONS = ("float32", "bfloat16", "int8")
# Images in one call of ONNX Runtime: with more, the activations of EfficientNet-Lite0 no longer fit into the
# processor's cache (docs/results/images_per_call.md). On one thread the results are the same bits.
PIECE = 4


class Engine(Protocol):
    """Runs one network. Thread-safe."""

    @property
    def version(self) -> str:
        """Return name and version of the package that runs the network."""
        ...

    def run(self, x: NDArray[np.float32], outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Compute the named outputs for N x height x width x 1 float32 in 0..255."""
        ...


def open_engine(
    bundle: Bundle,
    *,
    engine: str = "onnxruntime",
    precision: str = "float32",
    threads: int = 0,
    few: bool = False,
    shares: bool = True,
) -> Engine:
    """Open the network of `bundle`.

    Args:
        bundle: loaded in int8 when `precision` is `int8`.
        engine: `onnxruntime` or `openvino`.
        precision: `float32`; `int8` where the bundle has it; `bfloat16` on OpenVINO where the processor has it.
        threads: threads of the network; 0 for one on each core.
        few: for only a few images: start sooner, each may take a little longer.
        shares: other threads need the processor between two runs: those of the network sleep then instead of spinning.

    Raises:
        UsageError: an engine or precision that does not exist, or not together.
        MissingPackage: the engine is not installed.
        BadBundle: the engine cannot open the network, or its inputs and outputs are not those of the bundle.
    """
    _check_choice(engine, precision)
    if engine == "openvino":
        return _OpenVino(bundle, precision=precision, threads=threads)
    return _OnnxRuntime(bundle, threads=threads, few=few, shares=shares)


class _OnnxRuntime:
    def __init__(self, bundle: Bundle, *, threads: int, few: bool, shares: bool) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # errors come as exceptions; the runtime's own log would repeat them
        if few:  # packed weights make many images a little faster, and delay the first one
            options.add_session_config_entry("session.disable_prepacking", "1")
        options.add_session_config_entry("session.intra_op.allow_spinning", "0" if shares else "1")
        try:
            skeleton = split_weights(bundle.model)
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(weight) for weight in skeleton.weights.values()]
            if values:
                options.add_external_initializers(list(skeleton.weights), values)
            self._session = onnxruntime.InferenceSession(skeleton.model, options, providers=["CPUExecutionProvider"])
        except Exception:
            raise _refused(bundle, "ONNX Runtime") from None
        self._weights = (bundle.model, skeleton.weights)  # the session reads them where they lie
        self.version = f"onnxruntime {onnxruntime.__version__}"
        check_graph(
            bundle,
            inputs={tensor.name: tensor.shape for tensor in self._session.get_inputs()},
            outputs={tensor.name: tensor.shape for tensor in self._session.get_outputs()},
        )

    def run(self, x: NDArray[np.float32], outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        pieces = [x[start : start + PIECE] for start in range(0, len(x), PIECE)] or [x]
        found = [self._session.run(list(outputs), {"image": piece}) for piece in pieces]
        return {name: _concatenate(parts) for name, parts in zip(outputs, zip(*found, strict=True), strict=True)}


class _OpenVino:
    def __init__(self, bundle: Bundle, *, precision: str, threads: int) -> None:
        openvino = _openvino()
        core = openvino.Core()
        if precision == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise UsageError("This processor has no bfloat16. Choose --precision float32.")
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
        }
        try:
            self._model = core.compile_model(core.read_model(model=bundle.model, weights=b""), "CPU", settings)
        except Exception:
            raise _refused(bundle, "OpenVINO") from None
        self.version = f"openvino {openvino.__version__}"
        check_graph(bundle, inputs=_shapes(self._model.inputs), outputs=_shapes(self._model.outputs))

    def run(self, x: NDArray[np.float32], outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        request = self._model.create_infer_request()  # one for each call: requests are not thread-safe
        request.infer({"image": x})
        return {name: np.array(request.get_tensor(name).data) for name in outputs}


def check_graph(bundle: Bundle, *, inputs: Mapping[str, list[Any]], outputs: Mapping[str, list[Any]]) -> None:
    """Compare inputs and outputs (name to shape) of the network with `bundle.json`. Raises `BadBundle`."""
    stated = {"image": [bundle.height, bundle.width, 1]}
    found = {name: list(shape[1:]) for name, shape in inputs.items()}
    if found != stated or not set(OUTPUTS) <= set(outputs):
        raise BadBundle(
            f"The network does not fit bundle.json: it maps {found} to {', '.join(sorted(outputs))} and not {stated} "
            f"to {', '.join(OUTPUTS)}. Export the bundle again.",
            code="format",
        )
    classes = outputs["probabilities"][-1]
    if classes != len(bundle.classes):
        raise BadBundle(
            f"bundle.json names {len(bundle.classes)} classes and the network has {classes}. Export the bundle again.",
            code="format",
        )


def _concatenate(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _check_choice(engine: str, precision: str) -> None:
    if engine not in ENGINES:
        raise UsageError(f"No such engine: {engine}. Choose {' or '.join(ENGINES)}.")
    if precision not in PRECISIONS:
        raise UsageError(f"No such precision: {precision}. Choose one of {', '.join(PRECISIONS)}.")
    if precision == "bfloat16" and engine == "onnxruntime":
        raise UsageError("onnxruntime has no bfloat16 on a processor. Choose --engine openvino, or another precision.")


def _openvino() -> Any:
    # The import alone would report itself to Google Analytics; without that package OpenVINO uses a stub of its own.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ModuleNotFoundError:
        raise MissingPackage('OpenVINO is not installed. Run pip install "covid-xray[openvino]".') from None
    return openvino


def _shapes(ports: Any) -> dict[str, list[Any]]:
    return {
        port.get_any_name(): [int(side.get_length()) if side.is_static else None for side in port.get_partial_shape()]
        for port in ports
    }


def _refused(bundle: Bundle, engine: str) -> BadBundle:
    return BadBundle(f"{engine} cannot open the network in {bundle.folder}. Export the bundle again.", code="format")
