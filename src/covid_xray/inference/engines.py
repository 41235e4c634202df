"""Open the network of a verified bundle with ONNX Runtime or OpenVINO, on the processor or on a GPU.

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

# Engines of a GPU: the execution provider of ONNX Runtime or the device of OpenVINO, and what must be installed.
GPU = {
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu, CUDA 12 and cuDNN 9"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu and TensorRT 10"),
    "openvino-gpu": ("GPU", '"covid-xray[openvino]" and the driver of an Intel GPU'),
}
ENGINES = ("onnxruntime", "openvino", *GPU)
PRECISIONS = ("float32", "bfloat16", "int8")
# Images in one call of ONNX Runtime: with more, the activations of EfficientNet-Lite0 no longer fit into the
# processor's cache (docs/results/images_per_call.md). On one thread the results are the same bits.
PIECE = 4


class Engine(Protocol):
    """Runs one network. Thread-safe."""

    piece: int  # images in one call; larger batches are split

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
    piece: int = PIECE,
) -> Engine:
    """Open the network of `bundle`.

    Args:
        bundle: loaded in int8 when `precision` is `int8`.
        engine: `onnxruntime` or `openvino`; on a GPU `cuda`, `tensorrt` or `openvino-gpu`.
        precision: `float32`; `int8` where the bundle has it; `bfloat16` on OpenVINO where the processor has it.
        threads: threads of the network; 0 for one on each core.
        few: for only a few images: start sooner, each may take a little longer.
        shares: other threads need the processor between two runs: those of the network sleep then instead of spinning.
        piece: images in one call of the engine.

    Raises:
        UsageError: an engine or precision that does not exist, or not together, or a GPU that cannot be used.
        MissingPackage: the engine is not installed.
        BadBundle: the engine cannot open the network, or its inputs and outputs are not those of the bundle.
    """
    _check_choice(engine, precision)
    device = GPU[engine][0] if engine in GPU else "CPU"
    if engine.startswith("openvino"):
        return _OpenVino(bundle, engine=engine, device=device, precision=precision, threads=threads, piece=piece)
    provider = "CPUExecutionProvider" if device == "CPU" else device
    return _OnnxRuntime(bundle, engine=engine, provider=provider, threads=threads, few=few, shares=shares, piece=piece)


class _OnnxRuntime:
    def __init__(
        self, bundle: Bundle, *, engine: str, provider: str, threads: int, few: bool, shares: bool, piece: int
    ) -> None:
        import onnxruntime

        if provider not in onnxruntime.get_available_providers():
            raise _missing(engine)
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
            self._session = onnxruntime.InferenceSession(skeleton.model, options, providers=[provider])
        except Exception:
            raise _refused(bundle, "ONNX Runtime") from None
        if provider not in self._session.get_providers():  # without a device ONNX Runtime goes on without it
            raise _unusable(engine)
        self._weights = (bundle.model, skeleton.weights)  # the session reads them where they lie
        self.piece = piece
        self.version = _version("onnxruntime", onnxruntime.__version__, engine)
        check_graph(
            bundle,
            inputs={tensor.name: tensor.shape for tensor in self._session.get_inputs()},
            outputs={tensor.name: tensor.shape for tensor in self._session.get_outputs()},
        )

    def run(self, x: NDArray[np.float32], outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        found = [self._session.run(list(outputs), {"image": part}) for part in _pieces(x, self.piece)]
        return {name: _concatenate(parts) for name, parts in zip(outputs, zip(*found, strict=True), strict=True)}


class _OpenVino:
    def __init__(self, bundle: Bundle, *, engine: str, device: str, precision: str, threads: int, piece: int) -> None:
        openvino = _openvino()
        core = openvino.Core()
        if not any(name.startswith(device) for name in core.available_devices):  # GPU, GPU.0 ...
            raise _unusable(engine)
        if precision == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise UsageError("This processor has no bfloat16. Choose --precision float32.")
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            **({"INFERENCE_NUM_THREADS": threads} if device == "CPU" else {}),
        }
        try:
            self._model = core.compile_model(core.read_model(model=bundle.model, weights=b""), device, settings)
        except Exception:
            raise _refused(bundle, "OpenVINO") from None
        self.piece = piece
        self.version = _version("openvino", openvino.__version__, engine)
        check_graph(bundle, inputs=_shapes(self._model.inputs), outputs=_shapes(self._model.outputs))

    def run(self, x: NDArray[np.float32], outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        request = self._model.create_infer_request()  # one for each call: requests are not thread-safe
        found = []
        for part in _pieces(x, self.piece):
            request.infer({"image": part})
            found.append([np.array(request.get_tensor(name).data) for name in outputs])
        return {name: _concatenate(parts) for name, parts in zip(outputs, zip(*found, strict=True), strict=True)}


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


def _pieces(x: NDArray[np.float32], size: int) -> list[NDArray[np.float32]]:
    return [x[start : start + size] for start in range(0, len(x), size)] or [x]


def _concatenate(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _check_choice(engine: str, precision: str) -> None:
    if engine not in ENGINES:
        raise UsageError(f"No such engine: {engine}. Choose auto or one of {', '.join(ENGINES)}.")
    if precision not in PRECISIONS:
        raise UsageError(f"No such precision: {precision}. Choose one of {', '.join(PRECISIONS)}.")
    if precision == "bfloat16" and engine != "openvino":
        raise UsageError(f"{engine} has no bfloat16 here. Choose --engine openvino, or another precision.")


def _openvino() -> Any:
    # The import alone would report itself to Google Analytics; without that package OpenVINO uses a stub of its own.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ModuleNotFoundError:
        raise MissingPackage('OpenVINO is not installed. Run pip install "covid-xray[openvino]".') from None
    return openvino


def _version(package: str, version: str, engine: str) -> str:
    return f"{package} {version} ({engine})" if engine in GPU else f"{package} {version}"


def _missing(engine: str) -> MissingPackage:
    return MissingPackage(f"The engine {engine} is not installed. It needs {GPU[engine][1]}.")


def _unusable(engine: str) -> UsageError:
    return UsageError(f"The engine {engine} finds no GPU that it can use. It needs {GPU[engine][1]}.")


def _shapes(ports: Any) -> dict[str, list[Any]]:
    return {
        port.get_any_name(): [int(side.get_length()) if side.is_static else None for side in port.get_partial_shape()]
        for port in ports
    }


def _refused(bundle: Bundle, engine: str) -> BadBundle:
    return BadBundle(f"{engine} cannot open the network in {bundle.folder}. Export the bundle again.", code="format")
