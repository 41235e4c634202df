"""Add the network in int8 to a bundle.

Static quantisation: weights in int8 for each channel, activations in uint8 with ranges measured on training images,
never on test images. The last layer and the class maps stay in float32. The loss of accuracy is measured on the
validation part and stored in `bundle.json` under `int8`.
"""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from covid_xray.bundle.bundle import INT8_FILE, Bundle, identity_of, load_bundle, networks, unsealed, write_bundle
from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import BadSplit
from covid_xray.inference.finding import Finding
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.selftest import references

CALIBRATION_IMAGES = 96
LEAST_IMAGES = 12
_BATCH = 8


def add_int8(
    folder: Path, manifest: Manifest, split: pd.Series, *, count: int = CALIBRATION_IMAGES, seed: int = 0
) -> dict[str, Any]:
    """Write the bundle in `folder` anew with `model_int8.onnx`; returns what is stored about it.

    Args:
        folder: of the bundle.
        manifest: holds the images that the network was trained on.
        split: image -> part, of the run that made the network; `train` calibrates, `val` measures the cost.
        count: number of training images, the same from each class where there are so many.
        seed: of their choice.

    Returns:
        `calibration` (images, part, method), `agreement` (share of equal labels), `macro_f1_difference` (int8 minus
        float32), `largest_difference` of a probability, `checked_images`.

    Raises:
        BadSplit: fewer than 12 images of the training part are in the manifest.
    """
    bundle = load_bundle(folder)
    plain = Predictor(bundle)
    part = split.reindex(manifest.table["image"]).to_numpy()
    chosen = choose(manifest, part, count=count, seed=seed)
    pixels = np.stack([plain.read(manifest.path(image)) for image in chosen])
    model = quantise(bundle.model, pixels)
    facts: dict[str, Any] = {"calibration": {"images": len(chosen), "part": "train", "method": "MinMax"}}
    quantised = Predictor(_with_int8(bundle, model, facts))
    facts |= compare(plain, quantised, manifest.take(part == "val"))
    facts["reference"] = references(quantised)
    write_bundle(folder, **{**networks(folder), "int8": model}, facts={**bundle.facts, "int8": facts})
    return facts


def choose(manifest: Manifest, part: NDArray[Any], *, count: int, seed: int) -> list[str]:
    """Choose about `count` images of the part `train`, as many of each class, drawn by `seed`."""
    table = manifest.table[part == "train"]
    if len(table) < LEAST_IMAGES:
        raise BadSplit(
            f"Too few images to calibrate int8: the data holds {len(table)} of the run's training part, and "
            f"{LEAST_IMAGES} are needed. Give the data set that the run was trained on."
        )
    random = np.random.default_rng(seed)
    images: list[str] = []
    for _, rows in table.sort_values("image").groupby("label"):
        names = rows["image"].to_numpy()
        images += random.permutation(names)[: max(1, count // table["label"].nunique())].tolist()
    return images


def quantise(model: bytes, images: NDArray[np.uint8]) -> bytes:
    """Convert an ONNX file to int8 weights and uint8 activations, in QDQ form.

    Args:
        model: float32 network of a bundle.
        images: N x height x width uint8, to measure the ranges of the activations on.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as name, _quiet():
        plain, prepared, result = (Path(name) / file for file in ("plain.onnx", "prepared.onnx", "int8.onnx"))
        plain.write_bytes(model)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        proto = onnx.load(prepared)
        for number, node in enumerate(proto.graph.node):
            node.name = node.name or f"node{number}"  # nodes are kept out by name
        onnx.save(proto, prepared)
        quantize_static(
            prepared,
            result,
            _Reader(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_kept_in_float(proto.graph),
        )
        return result.read_bytes()


def compare(plain: Predictor, quantised: Predictor, manifest: Manifest) -> dict[str, Any]:
    """Compare int8 with float32: share of equal labels, difference of macro-F1, largest difference of a probability."""
    if manifest.table.empty:
        return {"agreement": None, "macro_f1_difference": None, "largest_difference": None, "checked_images": 0}
    paths = [manifest.path(image) for image in manifest.table["image"]]
    labels, answers = [], []
    for label, first, second in zip(
        manifest.table["label"], plain.predict_many(paths), quantised.predict_many(paths), strict=True
    ):
        if isinstance(first, Finding) and isinstance(second, Finding):
            labels.append(label)
            answers.append((first, second))
    before, after = ([_most_probable(pair[k]) for pair in answers] for k in (0, 1))
    differences = [abs(a.probabilities[name] - b.probabilities[name]) for a, b in answers for name in plain.classes]
    scores = [f1_score(labels, found, average="macro", zero_division=0) for found in (before, after)]
    return {
        "agreement": float(np.mean([a == b for a, b in zip(before, after, strict=True)])),
        "macro_f1_difference": float(scores[1] - scores[0]),
        "largest_difference": float(max(differences)),
        "checked_images": len(labels),
    }


class _Reader:
    """The images in batches, in the form that ONNX Runtime's calibration asks for."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = (images[i : i + _BATCH] for i in range(0, len(images), _BATCH))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next batch, `None` after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {"image": batch[..., None].astype(np.float32)}


def _kept_in_float(graph: Any) -> list[str]:
    """List the nodes of the last layer and of the class maps: few operations that decide the last digits."""
    kept, wanted = set(), {"probabilities", "class_maps"}
    for node in reversed(graph.node):
        # From the outputs back to the last layer that has weights; class maps are a graph of their own.
        if set(node.output) & wanted or "class_maps" in node.name:
            kept.add(node.name)
            if node.op_type in ("Softmax", "Add") and "class_maps" not in node.name:
                wanted |= set(node.input)
    return sorted(kept)


def _with_int8(bundle: Bundle, model: bytes, facts: dict[str, Any]) -> Bundle:
    known = {**bundle.facts, "int8": {**facts, **identity_of(model, INT8_FILE)}}
    lungs = bundle.lungs.model if bundle.lungs else None
    return unsealed(known, model, folder=bundle.folder, int8=True, lungs=lungs)


def _most_probable(finding: Finding) -> str:
    return max(finding.probabilities, key=finding.probabilities.__getitem__)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the advice of the quantiser; errors still come as exceptions."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
