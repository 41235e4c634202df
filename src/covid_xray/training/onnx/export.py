"""Export a Keras network as a bundle, after checking that ONNX Runtime and Keras agree on it.

Parity: a largest difference of 1e-4 in probabilities, and of 1e-4 of the largest value in embedding and class maps.
"""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.bundle import MODEL_FILE, identity_of, load_bundle, unsealed, write_bundle
from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.bundle.lung_network_folder import read_network
from covid_xray.bundle.trained import Trained, read_trained
from covid_xray.config import Training
from covid_xray.errors import BadBundle, InputRefused, UsageError
from covid_xray.files import sha256_bytes
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.selftest import references
from covid_xray.models import zoo
from covid_xray.models.heatmap_head import with_class_maps
from covid_xray.training import precision
from covid_xray.training.lung_crop import FOLDER
from covid_xray.training.onnx.canonical import canonical
from covid_xray.training.onnx.conversion import convert
from covid_xray.training.onnx.storage import ExportFailed, aligned, default_facts, stored

TOLERANCE = 1e-4
# Facts that were fitted and measured on this very network.
FITTED = ("temperature", "calibration", "conformal", "operating_points", "gate", "metrics", "fusion")


def export(
    model: keras.Model,
    folder: Path,
    *,
    facts: Mapping[str, Any],
    images: NDArray[np.uint8],
    lungs: LungNetwork | None = None,
    before: Mapping[str, Any] | None = None,
    fusion: bytes | None = None,
    trained: Trained | None = None,
) -> dict[str, float]:
    """Write the bundle of `model` to `folder` and return the parity: the largest difference of each output.

    Args:
        model: a float32 network of `zoo.build`, trained.
        folder: of the bundle; it appears complete, or stays as it was.
        facts: for bundle.json: `name`, `version`, `classes` and any others; of the settings under `training` the crop
            and the storage of the weights are followed.
        images: N x height x width uint8 to prove parity on, some tens of real inputs.
        lungs: the lung network that goes into the bundle.
        before: `bundle.json` of an earlier export. When it is of the same network and input (same SHA-256 of the ONNX
            files, same crop), what was fitted and measured on it is kept: `FITTED`.
        fusion: the `fusion.onnx` of that export, kept in the same case.
        trained: the images that the network knows.

    Raises:
        ExportFailed: no parity, external data, or a graph without the three outputs.
    """
    outputs = with_class_maps(model)
    height, width = model.input.shape[1:3]
    data = to_onnx(outputs, inputs=("image",), outputs=tuple(outputs.output))
    parity = _parity(outputs, data, images)
    settings = facts.get("training", {}).get("settings", {})
    data, storage = stored(data, images, precision=settings.get("storage", "float32"))
    known = {**default_facts(height, width, crop=settings.get("crop", "none")), **facts}
    known |= {"outputs": list(outputs.output), "parity": parity, "storage": storage} | (
        {"lungs": dict(lungs.facts)} if lungs else {}
    )
    lung_model = lungs.model if lungs else None
    kept = _kept(before or {}, known["input"], data, lung_model)
    known |= {name: value for name, value in kept.items() if name != "fusion" or fusion}
    known["reference"] = _references(known, data, lung_model)
    known |= {"trained": trained.about} if trained else {}
    write_bundle(
        folder, model=data, facts=known, lungs=lung_model, fusion=fusion if "fusion" in known else None,
        trained=trained.to_bytes() if trained else None,
    )  # fmt: skip
    return parity


def prove_export(settings: Training, *, classes: int = 2) -> dict[str, float]:
    """Export the untrained network of `settings` and return its parity: what cannot be exported is not trained.

    Raises:
        UsageError: the network has no head that heat maps can be computed from.
        ExportFailed: as `export`.
    """
    with precision.policy("float32"):
        model = zoo.build(settings.model_copy(update={"weights": None}), classes)
    try:
        outputs = with_class_maps(model)
    except ValueError as error:
        raise UsageError(str(error)) from None
    data = to_onnx(outputs, inputs=("image",), outputs=tuple(outputs.output))
    return _parity(outputs, data, probe_images(*model.input.shape[1:3], count=3))


def export_run(run: Path, folder: Path) -> dict[str, float]:
    """Write the bundle of the finished run `run` anew to `folder`; return the parity.

    Temperature, sets, operating points, gate, metrics and clinical input of the run's bundle are kept when the network
    is the same.

    Raises:
        InputRefused: `run` is not a finished run folder.
    """
    try:
        facts = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["bundle"]
    except (OSError, ValueError, KeyError):
        raise InputRefused(
            f"Not a finished run: {run} has no valid manifest.json. Give a folder of covid-xray train."
        ) from None
    if not (run / "model.keras").is_file():
        raise InputRefused(f"No such file: {run / 'model.keras'}. Give a folder of covid-xray train.")
    # compile=False and safe_mode: weights and layers of ours, nothing that runs code from the archive.
    model = keras.saving.load_model(run / "model.keras", compile=False, safe_mode=True)
    height, width = model.input.shape[1:3]
    lungs = read_network(run / FOLDER) if (run / FOLDER).is_dir() else None
    images, (before, fusion) = probe_images(height, width), _before(run / "bundle")
    trained = read_trained(run / "bundle") if before else None
    return export(model, folder, facts=facts, images=images, lungs=lungs, before=before, fusion=fusion, trained=trained)


def probe_images(height: int, width: int, *, count: int = 8, seed: int = 0) -> NDArray[np.uint8]:
    """Draw N x height x width uint8 test pictures: smooth random fields, one black, one white."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (count, 8, 8)).astype(np.float32)
    fields = keras.ops.convert_to_numpy(keras.ops.image.resize(coarse[..., None], (height, width)))[..., 0]
    fields[0], fields[-1] = 0, 255
    return np.clip(fields.round(), 0, 255).astype(np.uint8)


def _before(folder: Path) -> tuple[dict[str, Any], bytes | None]:
    """Read the facts of an earlier export and its `fusion.onnx`."""
    try:
        bundle = load_bundle(folder)
    except BadBundle:  # none, or a damaged one: this export replaces it
        return {}, None
    return dict(bundle.facts), bundle.fusion.model if bundle.fusion else None


def _kept(before: Mapping[str, Any], about: Any, data: bytes, lungs: bytes | None) -> dict[str, Any]:
    """Select the facts that were fitted on the same network and input, with the same crop and lung network."""
    same = (before.get("model") or {}).get("sha256") == sha256_bytes(data) and before["input"] == about
    same = same and (before.get("lungs") or {}).get("sha256") == (sha256_bytes(lungs) if lungs else None)
    return {name: before[name] for name in FITTED if name in before} if same else {}


def to_onnx(model: keras.Model, *, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Export a Keras model as one checked ONNX file with these inputs and outputs. Raises `ExportFailed`."""
    empty = {tensor.name: np.zeros((1, *tensor.shape[1:]), np.float32) for tensor in model.inputs}
    model(list(empty.values()) if len(empty) > 1 else next(iter(empty.values())))  # Keras exports what was called once
    with _quiet():
        proto = convert(model)
    return _tidy(proto, inputs=inputs, outputs=outputs)


def _references(facts: Mapping[str, Any], data: bytes, lungs: bytes | None) -> dict[str, Any]:
    """Compute the references of `covid-xray selftest`, by the same code that will check them."""
    identity = identity_of(data, MODEL_FILE)
    return references(Predictor(unsealed({**facts, "model": identity}, data, folder=Path(), lungs=lungs)))


def _tidy(proto: Any, *, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Name the batch axis, drop what names the machine or the process, check the graph, align the largest weight."""
    for tensor in [*proto.graph.input, *proto.graph.output]:
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    for kind, found, wanted in (("outputs", proto.graph.output, outputs), ("inputs", proto.graph.input, inputs)):
        names = {tensor.name for tensor in found}
        if names != set(wanted):
            raise ExportFailed(f"The exported graph has the {kind} {sorted(names)} instead of {', '.join(wanted)}.")
    proto.doc_string = ""
    canonical(proto.graph)
    return aligned(proto)


def _parity(outputs: keras.Model, data: bytes, images: NDArray[np.uint8]) -> dict[str, float]:
    import onnxruntime

    x = images[..., None].astype(np.float32)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = list(outputs.output)
    exported = dict(zip(names, session.run(names, {"image": x}), strict=True))
    return check_parity(exported, outputs.predict_on_batch(x), relative=set(names) - {"probabilities", "known"})


def check_parity(
    exported: Mapping[str, NDArray[Any]], trained: Mapping[str, NDArray[Any]], *, relative: Collection[str] = ()
) -> dict[str, float]:
    """Return the largest difference of each output from Keras; of the `relative` ones as a share of the largest value.

    Raises:
        ExportFailed: a difference above 1e-4.
    """
    parity = {}
    for name, values in exported.items():
        scale = max(1.0, float(np.abs(trained[name]).max())) if name in relative else 1.0
        parity[name] = float(np.abs(values - trained[name]).max()) / scale
        if not parity[name] <= TOLERANCE:
            raise ExportFailed(
                f"The exported network differs from Keras: {name} by {parity[name]:.2e}, above {TOLERANCE}. Nothing "
                "was written."
            )
    return parity


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the converters, which print and warn about their own code; errors still come as exceptions."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
